/**
 * digits, scales = fixed16(x) in blocks of 128 (wgsl/digits.ts): what awq-prefill-fixed16-matrix.ts multiplies. x [T,
 * K] f32; digits [T, K/128, 16] vec4<u32>; scales [T, K/128] f32, NaN for a block that holds NaN or an infinity. K %
 * 128 = 0. A workgroup 32 blocks of a row, an invocation sixteen values. Workgroup memory 1 KB. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { DIGITS_BLOCK, digitsWgsl } from "../../wgsl/digits.ts";

/** K a multiple of 128. */
export const prefillDigits: Card<"x" | "digits" | "scales", { readonly K: number }> = makeCard({
  name: "prefill-digits",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;
${digitsWgsl}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = wg.y * 32u + tid / 8u;
  let at = wg.x * (K / 128u) + min(block, K / 128u - 1u);
  let i = 32u * at + 4u * (tid & 7u);
  put_digits(at, block < K / 128u, tid, x[i], x[i + 1u], x[i + 2u], x[i + 3u]);
}
`,
  workgroupBytes: 4 * 256,
  call: ({ K }) => ({ overrides: { K }, workgroups: (T) => [T, Math.ceil(K / (32 * DIGITS_BLOCK)), 1] }),
  sizes: ({ K }, T) => ({ x: 4 * T * K, digits: 2 * T * K, scales: (4 * T * K) / DIGITS_BLOCK }),
});
