/**
 * RMS norm of `exact`: out[t, d] = mul(mul(x[t, d], r_t), weight[d]), r_t from the exact sum of the row's squares (docs/exact.md); words all.
 * x [T, D], weight [D], out [T, D], or [1, D] of row T − 1 with LAST_ROW. A workgroup of LANES per row, which it holds in its registers.
 * Workgroup memory: 20 bytes per lane and 48. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactReciprocal, exactRoot, exactRowOf, exactRows, rowGrid } from "../../wgsl/exact.ts";
import { exactHeldRow, exactNormFactor, exactRowMax, exactRowSum, quadsOf, rowMaxBytes, rowSumBytes } from "../../wgsl/exact-row.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** `inverse`, `eps`: words of rn(1/D) and of eps. With `heads` all are [T, heads, D], and each head is a row. */
export type ExactNormShape = Readonly<{ D: number; inverse: number; eps: number; lastRow?: boolean; heads?: number }>;

/** Four components each, and at most 256 lanes. */
const lanesFor = (D: number): number => Math.min(256, 2 ** Math.ceil(Math.log2(Math.max(D / 4, 1))));

export const exactNorm: Card<"step" | "x" | "weight" | "out", ExactNormShape> = makeCard({
  name: "exact-norm",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { inverse: u32, eps: u32, heads: u32 }
const QUADS = 1u;
override D: u32 = 4096u;
override LAST_ROW: bool = false;
override LANES: u32 = 256u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactRows}${exactReciprocal}${exactRoot}${exactRowOf}${exactRowMax}${exactRowSum}${exactHeldRow}${exactNormFactor}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let t = row_of(wg);
  if (t >= step.T * params.heads) { return; } // workgroups past the rows, which z rounds up to
  let from_row = select(t, step.T - 1u, LAST_ROW) * D;
  var row: array<vec4<u32>, QUADS>;
  for (var i = 0u; i < QUADS; i++) {
    for (var c = 0u; c < 4u; c++) {
      let d = 4u * (i * LANES + lane) + c;
      row[i][c] = select(0u, x[from_row + min(d, D - 1u)], d < D);
    }
  }
  let r = norm_factor(lane, row, params.inverse, params.eps);
  for (var i = 0u; i < QUADS; i++) {
    for (var c = 0u; c < 4u; c++) {
      let d = 4u * (i * LANES + lane) + c;
      if (d < D) { out[t * D + d] = mulf(mulf(row[i][c], r), weight[d]); }
    }
  }
}
`,
  emits: ["QUADS"],
  workgroupBytes: ({ D }) => rowMaxBytes(lanesFor(D)) + rowSumBytes(lanesFor(D)) + 16,
  call: ({ D, inverse, eps, lastRow = false, heads = 1 }) => ({
    params: { inverse, eps, heads },
    overrides: { D, LAST_ROW: lastRow, LANES: lanesFor(D) },
    emitted: { QUADS: `${quadsOf(D, lanesFor(D))}u` },
    workgroups: (T) => rowGrid(1, lastRow ? 1 : T * heads),
  }),
  sizes: ({ D, lastRow = false, heads = 1 }, T) => ({ x: 4 * T * heads * D, weight: 4 * D, out: 4 * (lastRow ? 1 : T * heads) * D }),
});
