/**
 * x[t, f] = f16(silu(y[t, f]) · y[t, F + f]) in eights (wgsl/eights.ts); y [T, 2F] f32, gate then up, as one product
 * leaves them; to which first their biases [2F] are added, where there are some. One invocation per eight. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";

/** F a multiple of 8; without `hasBias`, `bias` is not read. */
export const prefillSiluMulF16: Card<"y" | "bias" | "x", Readonly<{ F: number; hasBias?: boolean }>> = makeCard({
  name: "prefill-silu-mul-f16",
  wgsl: /* wgsl */ `
override F: u32 = 14336u;
override HAS_BIAS: bool = false;

@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<u32>>;
${eightsWgsl}
fn silu_mul(row: u32, i: u32) -> vec4<f32> {
  var g = y[row + i];
  var u = y[row + i + F / 4u];
  if (HAS_BIAS) {
    g += bias[i];
    u += bias[i + F / 4u];
  }
  let e = exp(-abs(g));
  return g * (select(e, vec4<f32>(1.0), g >= vec4<f32>(0.0)) / (1.0 + e)) * u;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = wg.y * 256u + tid;
  if (i < F / 8u) {
    let row = wg.x * (F / 2u);
    x[wg.x * (F / 8u) + i] = eight(silu_mul(row, 2u * i), silu_mul(row, 2u * i + 1u));
  }
}
`,
  call: ({ F, hasBias = false }) => ({ overrides: { F, HAS_BIAS: hasBias }, workgroups: (T) => [T, Math.ceil(F / 2048), 1] }),
  sizes: ({ F, hasBias = false }, T) => ({ y: 8 * T * F, bias: hasBias ? 8 * F : 0, x: 2 * T * F }),
});
