/** The commit that this page was built from, as vite.config.ts found it; null outside a checkout. */
declare const __COMMIT__: string | null;

export const BUILD: string | null = __COMMIT__;
