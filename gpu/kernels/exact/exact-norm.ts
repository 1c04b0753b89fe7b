/**
 * RMS norm of `exact`: out[t, d] = mul(mul(x[t, d], r_t), weight[d]), r_t from the exact sum of the row's squares (docs/exact.md); words all.
 * x [T, D], weight [D], out [T, D], or [1, D] of row T − 1 with LAST_ROW. A workgroup of LANES writes PER components of a row per lane; each takes the
 * whole row's largest word and sum of squares by itself, integers of 64 bits. Workgroup memory: 12 bytes per lane. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  exactIntegers,
  exactNormFactor,
  exactNumbers,
  exactReciprocal,
  exactRoot,
  exactRowMax,
  exactRowSum,
  exactRows,
} from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** `inverse`, `eps`: words of rn(1/D) and of eps. `lanes`: of a workgroup, one component each; absent: 256 of four. With `heads` all are [T, heads, D], and each head is a row. */
export type ExactNormShape = Readonly<{ D: number; inverse: number; eps: number; lastRow?: boolean; heads?: number; lanes?: number }>;

export const exactNorm: Card<"step" | "x" | "weight" | "out", ExactNormShape> = makeCard({
  name: "exact-norm",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { D: u32, inverse: u32, eps: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;
override LAST_ROW: bool = false;
override LANES: u32 = 256u;
override PER: u32 = 4u; // components of a lane
${exactIntegers}${exactNumbers}${exactRows}${exactReciprocal}${exactRoot}${exactRowMax}${exactRowSum}${exactNormFactor}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = select(wg.y, step.T - 1u, LAST_ROW) * params.D;
  let r = norm_factor(row, lane, params.D, params.inverse, params.eps);
  for (var d = wg.x * LANES * PER + lane; d < min(params.D, (wg.x + 1u) * LANES * PER); d += LANES) {
    out[wg.y * params.D + d] = mulf(mulf(x[row + d], r), weight[d]);
  }
}
`,
  workgroupBytes: ({ lanes = 256 }) => 12 * lanes,
  call: ({ D, inverse, eps, lastRow = false, heads = 1, lanes }) => ({
    params: { D, inverse, eps },
    overrides: { LAST_ROW: lastRow, ...(lanes ? { LANES: lanes, PER: 1 } : {}) },
    workgroups: (T) => [Math.ceil(D / (lanes ?? 1024)), lastRow ? 1 : T * heads, 1],
  }),
  sizes: ({ D, lastRow = false, heads = 1 }, T) => ({ x: 4 * T * heads * D, weight: 4 * D, out: 4 * (lastRow ? 1 : T * heads) * D }),
});
