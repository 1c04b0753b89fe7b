/**
 * x[t, f] = f16(silu(y[t, f]) · y[t, F + f]) in eights (wgsl/eights.ts); y [T, 2F] f32, gate then up, as one product
 * leaves them. One workgroup per row. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";

/** F a multiple of 8. */
export const prefillSiluMulF16: Card<"y" | "x", { readonly F: number }> = makeCard({
  name: "prefill-silu-mul-f16",
  wgsl: /* wgsl */ `
override F: u32 = 14336u;

@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;
${eightsWgsl}
fn silu_mul(i: u32) -> vec4<f32> {
  let g = y[i];
  let e = exp(-abs(g));
  return g * (select(e, vec4<f32>(1.0), g >= vec4<f32>(0.0)) / (1.0 + e)) * y[i + F / 4u];
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  for (var i = tid; i < F / 8u; i += 256u) {
    let at = wg.x * (F / 2u) + 2u * i;
    x[wg.x * (F / 8u) + i] = eight(silu_mul(at), silu_mul(at + 1u));
  }
}
`,
  call: ({ F }) => ({ overrides: { F }, workgroups: (T) => [T, 1, 1] }),
  sizes: ({ F }, T) => ({ y: 8 * T * F, x: 2 * T * F }),
});
