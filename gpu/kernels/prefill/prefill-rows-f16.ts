/**
 * x[t] = f16(y[t]) in eights (wgsl/eights.ts); y [T, K] f32: the attention's result on its way into o_proj.
 * One invocation eight values. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";

/** K a multiple of 8. */
export const prefillRowsF16: Card<"y" | "x", { readonly K: number }> = makeCard({
  name: "prefill-rows-f16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;

@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<u32>>;
${eightsWgsl}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = wg.x * (K / 8u);
  for (var i = row + tid; i < row + K / 8u; i += 256u) { x[i] = eight(y[2u * i], y[2u * i + 1u]); }
}
`,
  call: ({ K }) => ({ overrides: { K }, workgroups: (T) => [T, 1, 1] }),
  sizes: ({ K }, T) => ({ y: 4 * T * K, x: 2 * T * K }),
});
