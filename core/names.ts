/** Names by pattern, `*` standing for any run of characters. */

const source = (pattern: string, run: string): string =>
  pattern
    .split("*")
    .map((literal) => literal.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
    .join(run);

/** Whether `pattern` occurs anywhere in a name: "mul*webgpu" in "awq-matmul webgpu/awq-matmul". */
export function occursIn(pattern: string): (name: string) => boolean {
  const wanted = new RegExp(source(pattern, ".*"), "s");
  return (name) => wanted.test(name);
}

/**
 * Whether `pattern` is a whole dotted name, `*` standing for something within one part: "layers.*.q" is "layers.3.q".
 */
export function namesParts(pattern: string): (name: string) => boolean {
  const wanted = new RegExp(`^${source(pattern, "[^.]*")}$`);
  return (name) => wanted.test(name);
}
