/**
 * x[t] = f16(residual[t] · rsqrt(mean residual[t]² + eps) ∘ norm) in eights (wgsl/eights.ts); residual [T, K] f32, norm [K] f32.
 * PIECES > 0: first residual[t] += Σ_p residual[16 p + t], 1 ≤ p ≤ PIECES ascending: what awq-rows16-f16-matrix.ts left for at most 16 rows.
 * One workgroup a row, two passes over it, an invocation the same elements in both. Sums of a row in fixed order. Limited by memory.
 */
import type { Kernel } from "../../pipeline/kernel.ts";
import { type BufferArg, type Recorder, record } from "../../pipeline/recorder.ts";
import { eightsWgsl } from "../../wgsl/eights.ts";
import { rowWorkgroups } from "./awq-rows16-f16-matrix.ts";

export const prefillNormF16: Kernel<"residual" | "norm" | "x", never> = {
  name: "prefill-norm-f16",
  bindings: { residual: "readWrite", norm: "read", x: "readWrite" },
  params: {},
  overrides: { K: "u32", EPS: "f32", PIECES: "u32" },
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override EPS: f32 = 1e-5;
override PIECES: u32 = 0u;

@group(0) @binding(0) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<u32>>;
var<workgroup> sums: array<f32, 256>;
var<workgroup> sixteenths: array<f32, 16>;
${eightsWgsl}
fn joined(at: u32) -> vec4<f32> {
  var r = residual[at];
  for (var p = 1u; p <= PIECES; p++) { r += residual[at + p * (4u * K)]; }
  return r;
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = wg.x * (K / 4u);
  var s = 0.0;
  for (var i = row + 2u * tid; i < row + K / 4u; i += 512u) {
    let a = joined(i);
    let b = joined(i + 1u);
    if (PIECES > 0u) {
      residual[i] = a;
      residual[i + 1u] = b;
    }
    s += dot(a, a) + dot(b, b);
  }
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

/** K a multiple of 8. With pieces for at most 16 rows, else from `from` rows on; others are skipped, so that both can be recorded. */
export function recordPrefillNormF16(
  recorder: Recorder,
  buffers: { residual: BufferArg; norm: BufferArg; x: BufferArg },
  { K, eps, pieces = 0 }: { readonly K: number; readonly eps: number; readonly pieces?: number },
  from: number = 1,
  label: string = prefillNormF16.name,
): void {
  const overrides = { K, EPS: eps, PIECES: pieces };
  const workgroups = rowWorkgroups(pieces > 0, from);
  record(recorder, { kernel: prefillNormF16, buffers, params: {}, overrides, workgroups, label });
}
