/** gate[i] = mul(silu(gate[i]), up[i]) in `exact` (docs/exact.md); [T, F] words each. An invocation per element; limited by integer instructions. */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactPower, exactReciprocal, exactSilu } from "../../wgsl/exact.ts";
import type { ExactWidth } from "./exact-add.ts";

export const exactSiluMul: Card<"gate" | "up", ExactWidth> = makeCard({
  name: "exact-silu-mul",
  wgsl: /* wgsl */ `
struct Params { width: u32 }
@group(0) @binding(0) var<storage, read_write> gate: array<u32>;
@group(0) @binding(1) var<storage, read> up: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactPower}${exactReciprocal}${exactSilu}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = wg.x * 64u + lane;
  if (i < params.width) {
    let at = wg.y * params.width + i;
    gate[at] = mulf(siluf(gate[at]), up[at]);
  }
}
`,
  call: ({ width }) => ({ params: { width }, workgroups: (T) => [Math.ceil(width / 64), T, 1] }),
  sizes: ({ width }, T) => ({ gate: 4 * T * width, up: 4 * T * width }),
});
