/**
 * What the page may load and run: its own files and nothing else. `wasm-unsafe-eval` lets the CPU's kernels compile, blob workers are their
 * threads.
 */
const policy: Readonly<Record<string, string>> = {
  "default-src": "'none'",
  "script-src": "'self' 'wasm-unsafe-eval'",
  "style-src": "'self'",
  "img-src": "'self'",
  "connect-src": "'self'",
  "worker-src": "'self' blob:",
  "base-uri": "'none'",
  "form-action": "'none'",
};

/** For a `<meta>` element, and for a header. */
export const POLICY: string = Object.entries(policy)
  .map(([name, value]) => `${name} ${value}`)
  .join("; ");
