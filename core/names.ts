/** Names by pattern, `*` standing for any run of characters; in time that grows as name and pattern do, whatever the stars. */

/** Where the literals stand one after the other in a text, each as early as it can: the end of the last, or −1. */
function endOf(literals: readonly string[], text: string, from: number): number {
  let at = from;
  for (const literal of literals) {
    const found = text.indexOf(literal, at);
    if (found < 0) return -1;
    at = found + literal.length;
  }
  return at;
}

/** Whether `pattern` occurs anywhere in a name: "mul*webgpu" in "awq-matmul webgpu/awq-matmul". */
export function occursIn(pattern: string): (name: string) => boolean {
  const literals = pattern.split("*");
  return (name) => endOf(literals, name, 0) >= 0;
}

/** Whether the whole of a text is the literals with anything between them. */
function isMade([first, ...rest]: readonly string[], text: string): boolean {
  if (rest.length === 0) return text === first;
  const last = rest.at(-1)!;
  if (!text.startsWith(first!)) return false;
  const end = endOf(rest.slice(0, -1), text, first!.length);
  return end >= 0 && text.endsWith(last) && text.length - last.length >= end;
}

/**
 * Whether `pattern` is a whole dotted name, `*` standing for something within one part: "layers.*.q" is "layers.3.q".
 */
export function namesParts(pattern: string): (name: string) => boolean {
  const parts = pattern.split(".").map((part) => part.split("*"));
  return (name) => {
    const given = name.split(".");
    return given.length === parts.length && parts.every((literals, i) => isMade(literals, given[i]!));
  };
}
