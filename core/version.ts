/** The package's version. Written by `npm run docs` from package.json, which browsers do not have. */
export const VERSION = "0.1.0";
