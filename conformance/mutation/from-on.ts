/**
 * Faults that act only from a size, a position, a head or a group on, as an optimisation leaves them that was tried on
 * small shapes: an index past n is clamped to it, a loop, a table or a stride ends at n, a mask is wrong from position
 * n on. Below n each computes what its kernel computes, so only a case that reaches n can notice it. Each n is below
 * what the supported models reach (docs/supported.md).
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { fixedText, type Mutant, type Place, placed, withoutComments } from "./text.ts";

/** Where sizes stop being right. Numbers of a kernel go by the names that docs/notation.md gives them. */
const sizes: Readonly<Record<string, number>> = {
  ...{ K: 8192, D: 8192, width: 8192, F: 8192, N: 16384, columns: 16384, V: 100_000, rows: 100_000 },
  ...{ rowWords: 4096, words: 2048, blocks: 256, BLOCKS: 256, GROUPS: 64, OCTETS: 1024, FIRST: 100_000, firstColumn: 8192 },
  ...{ H: 32, heads: 32, G: 16, Hd: 64, HD: 64, HEAD: 64, halfDim: 32, groupSize: 128, GROUP: 128 },
  ...{ WINDOW: 4096, window: 4096, STRIDE: 8192, S: 8192, splits: 128, "step.start": 8192, "step.T": 512 },
};

/** Where an index stops counting, by the name of what holds it. */
const indices: Readonly<Record<string, number>> = {
  ...{ h: 32, head: 32, kv: 16, group: 16, t: 512, row0: 512, position: 8192, last: 8192, s: 8192, key: 8192, slot: 8192 },
  ...{ n: 16384, column: 16384, row: 16384, id: 100_000, pair: 2048 },
};

/** The last element that an access of a binding finds: 16 bits of an index, or what its few dimensions allow. */
const LAST = 65_535;
const lasts: Readonly<Record<string, number>> = {
  ...{
    bias: 8192,
    norm: 2048,
    next_norm: 2048,
    ids: 512,
    blocks: 256,
    digits: 1024,
    exponents: 1024,
    stats: 4096,
    scales: 16_384,
    qzeros: 8192,
  },
  ...{
    groups: 16_384,
    rotations: 65_535,
    x_in: 2048,
    residual: 2048,
    scaled: 2048,
    sums: 1024,
    seen: 4096,
    logits: 100_000,
    scores: 100_000,
    up: 65_535,
  },
};

/** From the bracket at `open` to the one that closes it. */
function closing(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    if (code[at] === "[") depth++;
    if (code[at] === "]" && --depth === 0) return at;
  }
  return -1;
}

const inside = (ranges: readonly (readonly [number, number])[], at: number): boolean => ranges.some(([from, to]) => at >= from && at < to);

/** Every fault of a kernel that acts from some n on. */
export function fromOnMutants(kernel: Kernel): Mutant[] {
  const code = withoutComments(kernel.wgsl);
  const fixed = fixedText(code);
  const places: Place[] = [];
  // A size: a param, a field of `step`, an override.
  for (const m of code.matchAll(/\bparams\.(\w+)|\bstep\.(?:T|start)\b|(?<![\w.])[A-Z]\w*\b/g)) {
    const word = m[0];
    const known = m[1] === undefined ? word.includes(".") || (kernel.overrides && word in kernel.overrides) : kernel.params[m[1]] === "u32";
    const n = Object.hasOwn(sizes, m[1] ?? word) ? sizes[m[1] ?? word] : undefined;
    // Whether a size is 0 it says either way.
    if (n === undefined || !known || inside(fixed, m.index) || / > 0u/y.test(code.slice(m.index + word.length))) continue;
    places.push({ operator: `a size counts up to ${n}`, at: m.index, length: word.length, after: `min(${word}, ${n}u)` });
  }
  // An index with a name.
  for (const m of code.matchAll(/\blet (\w+) = ([^;]+);/g)) {
    const [text, name, value] = m as unknown as [string, string, string];
    // What is counted within a workgroup alone stays small.
    if (Object.hasOwn(indices, name) && !/^\(?(?:lane|tid|local)\b[^+]*$/.test(value))
      places.push({
        operator: `an index is clamped at ${indices[name]}`,
        at: m.index,
        length: text.length,
        after: `let ${name} = min(${value}, ${indices[name]}u);`,
      });
  }
  // An element of a storage buffer.
  for (const [name, kind] of Object.entries(kernel.bindings)) {
    if (kind === "uniform") continue;
    for (const m of code.matchAll(new RegExp(`(?<![\\w.])${name}\\[`, "g"))) {
      const open = m.index + m[0].length - 1;
      const close = closing(code, open);
      if (close < 0 || inside(fixed, m.index)) continue;
      // The weight of a norm is one row.
      const n = name === "weight" && /norm/.test(kernel.name) ? 8192 : Object.hasOwn(lasts, name) ? lasts[name]! : LAST;
      places.push({
        operator: `an element past ${n} is another`,
        at: open,
        length: close + 1 - open,
        after: `[min(${code.slice(open + 1, close)}, ${n}u)]`,
      });
    }
  }
  return placed(kernel, "from n on", places);
}
