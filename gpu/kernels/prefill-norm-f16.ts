/**
 * x[t] = f16(residual[t] · rsqrt(mean residual[t]² + eps) ∘ norm) in eights (wgsl/eights.ts); residual [T, K] f32, norm [K] f32.
 * One workgroup a row, two passes over it. Sums of a row in fixed order. Limited by memory.
 */
import type { Kernel } from "../kernel.ts";
import { type BufferArg, type Recorder, record } from "../recorder.ts";
import { eightsWgsl } from "../wgsl/eights.ts";

export const prefillNormF16: Kernel<"residual" | "norm" | "x", never> = {
  name: "prefill-norm-f16",
  bindings: { residual: "read", norm: "read", x: "readWrite" },
  params: {},
  overrides: { K: "u32", EPS: "f32" },
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override EPS: f32 = 1e-5;

@group(0) @binding(0) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<u32>>;
var<workgroup> sums: array<f32, 256>;
var<workgroup> sixteenths: array<f32, 16>;
${eightsWgsl}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = wg.x * (K / 4u);
  var s = 0.0;
  for (var i = tid; i < K / 4u; i += 256u) { let r = residual[row + i]; s += dot(r, r); }
  sums[tid] = s;
  workgroupBarrier();
  if (tid < 16u) {
    var t = 0.0;
    for (var i = tid; i < 256u; i += 16u) { t += sums[i]; }
    sixteenths[tid] = t;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < 16u; i++) { total += sixteenths[i]; }
  let inverse = inverseSqrt(total / f32(K) + EPS);
  for (var i = tid; i < K / 8u; i += 256u) {
    x[row / 2u + i] = eight(residual[row + 2u * i] * inverse * norm[2u * i], residual[row + 2u * i + 1u] * inverse * norm[2u * i + 1u]);
  }
}
`,
};

/** K a multiple of 8. */
export function recordPrefillNormF16(
  recorder: Recorder,
  buffers: { residual: BufferArg; norm: BufferArg; x: BufferArg },
  { K, eps }: { readonly K: number; readonly eps: number },
  label: string = prefillNormF16.name,
): void {
  record(recorder, { kernel: prefillNormF16, buffers, params: {}, overrides: { K, EPS: eps }, workgroups: (T) => [T, 1, 1], label });
}
