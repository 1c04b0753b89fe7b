/** The bindings of a kernel that is spliced from parts, numbered in their order. */
export const bindingsWgsl = (declarations: readonly string[]): string =>
  declarations.map((declaration, i) => `@group(0) @binding(${i}) var<${declaration};`).join("\n");
