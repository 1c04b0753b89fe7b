/**
 * residual = embedding[ids[count − 1]] (f16 rows [V, K]); scaled = residual ∘ norm; squares = Σ residual² of four: all in planes
 * (wgsl/fixed16.ts), as awq-add-fixed16.ts leaves them. Work: a thread four values. Limit: latency.
 */
export const embedFixed16Wgsl: string = /* wgsl */ `
override K: u32;

@group(0) @binding(0) var<storage, read> embedding: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> squares: array<f32>;
@group(0) @binding(6) var<uniform> state: vec4<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i >= K / 4u) { return; }
  let e = embedding[ids[state.y - 1u] * (K / 4u) + i];
  let x = vec4<f32>(unpack2x16float(e.x), unpack2x16float(e.y));
  let at = (i & 7u) * (K / 32u) + (i >> 3u);
  residual[at] = x;
  scaled[at] = x * norm[at];
  squares[i] = dot(x, x);
}
`;
