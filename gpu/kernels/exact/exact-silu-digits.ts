/**
 * exact-silu-mul.ts and exact-digits.ts in one, for many rows: gate[i] = mul(silu(gate[i]), up[i]), and its digits, P = 4, and exponents. gate, up [T, K] words,
 * K % 32 = 0; digits [T, 8, B] vec4<u32>, B = K/32, exponents [T], as exact-digits.ts lays them out; no sums of digits, which tiles do not read. A workgroup per
 * row: products and the largest of them, then their digits, from what a lane wrote itself. Workgroup memory: 4 bytes per lane and 16. Limited by integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  exactIntegers,
  exactNumbers,
  exactPower,
  exactReciprocal,
  exactRowOf,
  exactRows,
  exactRows32,
  exactSilu,
  rowGrid,
} from "../../wgsl/exact.ts";
import { exactDigitWords, exactRowMax, exactWordOf, rowMaxBytes } from "../../wgsl/exact-row.ts";
import { digitBytes } from "./exact-digits.ts";

/** `lanes`, `unit`, `step`: as for exact-digits.ts. */
export type ExactSiluDigitsShape = Readonly<{ K: number; lanes?: number; unit?: number; step?: number }>;

export const exactSiluDigits: Card<"gate" | "up" | "digits" | "exponents", ExactSiluDigitsShape> = makeCard({
  name: "exact-silu-digits",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override LANES: u32 = 256u;
@group(0) @binding(0) var<storage, read_write> gate: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> up: array<vec4<u32>>; // only read; may be of one buffer with gate
@group(0) @binding(2) var<storage, read_write> digits: array<u32>;
@group(0) @binding(3) var<storage, read_write> exponents: array<i32>;
${exactIntegers}${exactNumbers}${exactPower}${exactReciprocal}${exactSilu}${exactRows}${exactRows32}${exactRowMax}${exactRowOf}${exactWordOf}${exactDigitWords}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = row_of(wg);
  let row = t * (K / 4u);
  var top = vec4<u32>(0u);
  for (var i = lane; i < K / 4u; i += LANES) {
    let g = gate[row + i];
    let u = up[row + i];
    let y = vec4<u32>(mulf(siluf(g.x), u.x), mulf(siluf(g.y), u.y), mulf(siluf(g.z), u.z), mulf(siluf(g.w), u.w));
    gate[row + i] = y;
    top = max(top, y & vec4<u32>(0x7fffffffu));
  }
  let biased = row_biased(row_max(lane, max(max(top.x, top.y), max(top.z, top.w))));
  for (var i = lane; i < K / 4u; i += LANES) {
    let y = gate[row + i];
    put_digits(word_of(fix32(y.x, biased), fix32(y.y, biased), fix32(y.z, biased), fix32(y.w, biased)).digits, t, 4u, i, K / 32u);
  }
  if (lane == 0u) { exponents[t] = biased - 157; }
}
`,
  workgroupBytes: ({ lanes = 256 }) => rowMaxBytes(lanes),
  call: ({ K, lanes = 256, unit = 1, step = 0 }) => ({
    overrides: { K, LANES: lanes, UNIT: unit, STEP: step },
    workgroups: (T) => rowGrid(1, T),
  }),
  sizes: ({ K, step }, T) => {
    const { digits, exponents } = digitBytes(K, 4, T, step);
    return { gate: 4 * T * K, up: 4 * T * K, digits, exponents };
  },
});
