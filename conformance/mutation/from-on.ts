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
  ...{ rowWords: 4096, words: 2048, blocks: 256, BLOCKS: 256, GROUPS: 64, OCTETS: 1024, firstColumn: 8192 },
  ...{ H: 32, heads: 32, G: 16, Hd: 32, HD: 32, HEAD: 32, halfDim: 32, groupSize: 128, GROUP: 128 },
  ...{ WINDOW: 4096, window: 4096, STRIDE: 8192, S: 8192, splits: 128, "step.start": 8192, "step.T": 512 },
};

/** Where an index stops counting, by the name of what holds it. */
const indices: Readonly<Record<string, number>> = {
  ...{ h: 32, head: 32, kv: 16, group: 16, t: 512, row0: 512, position: 8192, last: 8192, s: 8192, key: 8192, slot: 8192 },
  ...{ n: 16384, column: 16384, row: 16384, id: 100_000, pair: 2048 },
};

/** The last element that an access of a binding finds: 16 bits of words, or what its few dimensions allow. */
const LAST_WORD = 65_535;
const lasts: Readonly<Record<string, number>> = {
  ...{
    bias: 1024,
    h: 2048,
    norm: 1024,
    next_norm: 1024,
    ids: 512,
    blocks: 128,
    out_blocks: 128,
    digits: 1024,
    out_digits: 1024,
    exponents: 1024,
  },
  ...{ stats: 4096, scales: 16_384, qzeros: 8192, groups: 4096, rotations: 65_535, x_in: 256, residual: 1024, scaled: 128, sums: 1024 },
  ...{ seen: 4096, logits: 100_000, scores: 100_000, up: 65_535 },
};

/**
 * Where a model's numbers are smaller than those of the widest: a residual stream is at most 8192 wide, and so is what
 * a normed row is multiplied with, and what is added to it; products of prompts meet their widest outputs with few
 * rows.
 */
const narrower: readonly { readonly of: RegExp; readonly numbers: Readonly<Record<string, number>> }[] = [
  { of: /-add\b|-add-/, numbers: { N: 4096, columns: 4096, n: 4096, column: 4096, row: 4096, digits: 256 } },
  { of: /qkv-rope|gate-up|norm|embed|head/, numbers: { K: 4096, D: 4096, width: 4096, BLOCKS: 128, blocks: 128, GROUPS: 32, digits: 128 } },
  { of: /qkv-rope/, numbers: { N: 4096, row: 4096, n: 4096, column: 4096, groups: 1024, q_out: 4096 } },
  { of: /^penalize$|^sample-|^logits-/, numbers: { row: 64, t: 64, step: 64, ids: 64, border: 64, partials: 4096, results: 256 } },
  { of: /^cache-write$/, numbers: { width: 4096 } },
  { of: /^attention/, numbers: { BLOCKS: 128, joined: 512 } },
  { of: /^attention-decode$/, numbers: { q: 512 } },
  { of: /^head-norm-rope$/, numbers: { raw: 2048, q_norm: 32, k_norm: 32, q_out: 4096 } },
  { of: /^prefill-digits$/, numbers: { scales: 4096 } },
  // Rows in splits are at most 64; biases and norms of heads are a row of q, k and v in twos.
  { of: /^prefill-rows-f16$/, numbers: { stats: 2048 } },
  { of: /^awq-(?:repack|unpack)$/, numbers: { column: 2048, slot: 256 } },
  // A column is a quad of a head; keys are counted within a turn, rows of tiles by query and head.
  { of: /^(?:attention|attention-tile|batch-attention)$/, numbers: { column: 16, row: 512 } },
  { of: /^attention-decode$/, numbers: { s: 32, stats: 128 } },
  // Up to position 831, in at most 32 groups of lanes.
  {
    of: /^attention-shuffle$/,
    numbers: { GROUPS: 16, q: 512, out: 4096, column: 128, position: 256, "step.start": 256, s: 256, WINDOW: 256 },
  },
  // All heads of four: 64 at most, of 16 kv heads; groups of 16 lanes are eight, and splits of all heads some thousand.
  { of: /^attention-heads$/, numbers: { GROUPS: 4, q: 512, column: 16, stats: 128 } },
  // All heads' splits are at most twice as many as the workgroups that run at once.
  { of: /^attention-combine$/, numbers: { stats: 128 } },
  // A batch has at most 128 rows, each of a sequence of its own.
  { of: /^batch-/, numbers: { t: 64, slot: 64, noted: 64 } },
  { of: /-rope-f16$/, numbers: { extras: 2048 } },
  {
    of: /-matrix$|-tile(?:16|64)$/,
    numbers: { K: 4096, N: 4096, columns: 4096, n: 4096, column: 4096, row: 4096, x: 4096, scales: 4096, s: 128 },
  },
  { of: /-gate-up-matrix$/, numbers: { s: 64 } },
  // Chunks of `exact` have at most 1,024 rows; a chain of tokens has 8 results, and parts of logits are 64.
  { of: /^exact-/, numbers: { exponents: 512, slot: 128 } },
  { of: /^exact-digits$/, numbers: { rows: 16_384 } },
  { of: /^exact-scores-matrix$/, numbers: { row: 512 } },
  // Gate and up have fewer than 65,536 rows together; what is multiplied with one row has at most 32,768 inputs.
  { of: /^exact-awq-/, numbers: { bases: 16_384 } },
  { of: /^exact-scale-bases$/, numbers: { bases: 16_384, rows: 16_384 } },
  { of: /^exact-awq-(?:row|words)$/, numbers: { out: 16_384, sums: 256 } },
  { of: /^exact-awq-row$/, numbers: { bases: 4096 } },
  { of: /^exact-awq-words$/, numbers: { x: 1024, scale: 1024 } },
  { of: /^exact-handed-digits$/, numbers: { x: 2048, sums: 256 } },
  // One row, and keys that a workgroup holds.
  { of: /^exact-attention-row$/, numbers: { q: 1024, k: 1024, v: 1024, out: 1024, WINDOW: 256, "step.start": 256, last: 256 } },
  { of: /^exact-greedy/, numbers: { results: 4, partials: 32 } },
  { of: /^awq-rows16-gate-up-matrix$/, numbers: { x: 2048 } },
  // A workgroup has four heads at most; rows of a split follow those of the split before, 64 apart.
  { of: /^batch-attention-f16$/, numbers: { h: 2, column: 16, row: 128 } },
];
const numbersOf = (kernel: Kernel, table: Readonly<Record<string, number>>): Readonly<Record<string, number>> =>
  Object.assign({ ...table }, ...narrower.filter(({ of }) => of.test(kernel.name)).map(({ numbers }) => numbers));

/** What is counted within a workgroup alone stays small. */
const isLocal = (value: string): boolean =>
  (value.match(/[A-Za-z_]\w*/g) ?? []).every((word) => /^(?:lane|tid|local|round|u|x|y|LANES|min|select)$/.test(word));
/** The bits of a number, what it is times another, what lanes exchange, a vector: no index, whatever its name. */
const isNumber = (value: string): boolean =>
  /<<|countLeadingZeros|bitcast|significand|mulhi|\bvec\d|\bsubgroup|\.a \* |>> (?:24|31)u|& (?:0x|low)|^u32\(|^digits_of/.test(value);

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
  const [sizesHere, indicesHere, lastsHere] = [numbersOf(kernel, sizes), numbersOf(kernel, indices), numbersOf(kernel, lasts)];
  // A size: a param, a field of `step`, an override.
  for (const m of code.matchAll(/\bparams\.(\w+)|\bstep\.(?:T|start)\b|(?<![\w.])[A-Z]\w*\b/g)) {
    const word = m[0];
    const known = m[1] === undefined ? word.includes(".") || (kernel.overrides && word in kernel.overrides) : kernel.params[m[1]] === "u32";
    const n = Object.hasOwn(sizesHere, m[1] ?? word) ? sizesHere[m[1] ?? word] : undefined;
    if (n === undefined || !known || inside(fixed, m.index)) continue;
    // What is multiplied with 0, or 0 with a rest, is 0.
    if (/\b0u [*%] $/.test(code.slice(0, m.index))) continue;
    // A number below n has the same rest by n as by more.
    const divided = /\b(\d+)u % $/.exec(code.slice(0, m.index))?.[1];
    if (divided !== undefined && Number(divided) < n) continue;
    // Whether a size is above less than n it says either way.
    const least = /^ > (\d+)u/.exec(code.slice(m.index + word.length))?.[1];
    if (least !== undefined && Number(least) < n) continue;
    places.push({ operator: `a size counts up to ${n}`, at: m.index, length: word.length, after: `min(${word}, ${n}u)` });
  }
  // An index with a name.
  for (const m of code.matchAll(/\blet (\w+) = ([^;]+);/g)) {
    const [text, name, value] = m as unknown as [string, string, string];
    if (Object.hasOwn(indicesHere, name) && !isLocal(value) && !isNumber(value) && !inside(fixed, m.index))
      places.push({
        operator: `an index is clamped at ${indicesHere[name]}`,
        at: m.index,
        length: text.length,
        after: `let ${name} = min(${value}, ${indicesHere[name]}u);`,
      });
  }
  // An element of a storage buffer.
  for (const [name, kind] of Object.entries(kernel.bindings)) {
    if (kind === "uniform") continue;
    const wide = Number(new RegExp(`\\b${name}\\s*:\\s*array<vec(\\d)`).exec(code)?.[1] ?? 1);
    for (const m of code.matchAll(new RegExp(`(?<![\\w.])${name}\\[`, "g"))) {
      const open = m.index + m[0].length - 1;
      const close = closing(code, open);
      if (close < 0 || inside(fixed, m.index)) continue;
      const index = code.slice(open + 1, close);
      if (isLocal(index)) continue;
      // The weight of a norm is one row.
      const known = name === "weight" && /norm/.test(kernel.name) ? 4096 : Object.hasOwn(lastsHere, name) ? lastsHere[name] : undefined;
      // One of several parts of a row, the parts side by side.
      const parts = Number(/^(?:(\d+)u \* )?BLOCKS \+ b$/.exec(index)?.[1] ?? (index.startsWith("BLOCKS") ? 1 : 0));
      const n = (known ?? Math.floor(LAST_WORD / wide)) * (parts + 1);
      places.push({
        operator: `an element past ${n} is another`,
        at: open,
        length: close + 1 - open,
        after: `[min(${index}, ${n}u)]`,
      });
    }
  }
  return placed(kernel, "from n on", places);
}
