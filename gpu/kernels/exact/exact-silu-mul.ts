/** gate[i] = mul(silu(gate[i]), up[i]) in `exact` (docs/exact.md); [T, F] words each. An invocation takes four elements, 64 apart; limited by integer instructions. */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers, exactPower, exactReciprocal, exactSilu } from "../../wgsl/exact.ts";
import type { ExactWidth } from "./exact-add.ts";

export const exactSiluMul: Card<"gate" | "up", ExactWidth> = makeCard({
  name: "exact-silu-mul",
  wgsl: /* wgsl */ `
struct Params { width: u32 }
@group(0) @binding(0) var<storage, read_write> gate: array<u32>;
@group(0) @binding(1) var<storage, read_write> up: array<u32>; // only read; may be of one buffer with gate
@group(0) @binding(2) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exactPower}${exactReciprocal}${exactSilu}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  // All loads on their way before the first is needed.
  var g: array<u32, 4>;
  var u: array<u32, 4>;
  for (var j = 0u; j < 4u; j++) {
    let i = wg.x * 256u + 64u * j + lane;
    if (i < params.width) {
      g[j] = gate[wg.y * params.width + i];
      u[j] = up[wg.y * params.width + i];
    }
  }
  for (var j = 0u; j < 4u; j++) {
    let i = wg.x * 256u + 64u * j + lane;
    if (i < params.width) { gate[wg.y * params.width + i] = mulf(siluf(g[j]), u[j]); }
  }
}
`,
  call: ({ width }) => ({ params: { width }, workgroups: (T) => [Math.ceil(width / 256), T, 1] }),
  sizes: ({ width }, T) => ({ gate: 4 * T * width, up: 4 * T * width }),
});
