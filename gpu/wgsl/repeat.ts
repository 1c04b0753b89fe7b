/** Lines of WGSL that a kernel repeats with other numbers. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const each = (n: number, line: (i: number) => string, between = " "): string => range(n).map(line).join(between);
