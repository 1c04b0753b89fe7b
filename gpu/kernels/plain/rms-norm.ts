/**
 * out[t, d] = x[t, d] / √(mean_d x[t, d]² + eps) · weight[d]; all [T, D] f32. Twin of core/ops/rms-norm.ts.
 * One workgroup of 256 per row: each invocation sums every 256th square, two folds in workgroup memory (1 KiB) join
 * them. With LAST_ROW only row T − 1 is read and becomes row 0 of `out`: all that the head needs to predict one token.
 * Limited by latency: two passes over a row that stays in cache.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/**
 * `lastRow`: see above. With `heads` all are [T, heads, D], and each head is a row. `out` is another buffer than `x`.
 */
export type RmsNormShape = Readonly<{ D: number; eps: number; lastRow?: boolean; heads?: number }>;

export const rmsNorm: Card<"step" | "x" | "weight" | "out", RmsNormShape> = makeCard({
  name: "rms-norm",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { D: u32, eps: f32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override LAST_ROW: bool = false;
const WORKGROUP = 256u;
const FOLDED = 16u;
var<workgroup> partial: array<f32, WORKGROUP>;
var<workgroup> folded: array<f32, FOLDED>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = select(workgroup.x, step.T - 1u, LAST_ROW) * params.D;
  let outRow = workgroup.x * params.D;
  var squares = 0.0;
  for (var d = lane; d < params.D; d += WORKGROUP) {
    let value = x[row + d];
    squares += value * value;
  }
  partial[lane] = squares;
  workgroupBarrier();
  if (lane < FOLDED) {
    var sum = 0.0;
    for (var i = lane; i < WORKGROUP; i += FOLDED) { sum += partial[i]; }
    folded[lane] = sum;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < FOLDED; i++) { total += folded[i]; }
  let scale = inverseSqrt(total / f32(params.D) + params.eps);
  for (var d = lane; d < params.D; d += WORKGROUP) { out[outRow + d] = x[row + d] * scale * weight[d]; }
}
`,
  workgroupBytes: 4 * (256 + 16),
  call: ({ D, eps, lastRow = false, heads = 1 }) => ({
    params: { D, eps },
    overrides: { LAST_ROW: lastRow },
    workgroups: (T) => [lastRow ? 1 : T * heads, 1, 1],
  }),
  sizes: ({ D, lastRow, heads = 1 }, T) => ({ x: 4 * T * heads * D, weight: 4 * D, out: 4 * (lastRow ? 1 : T * heads) * D }),
});
