/**
 * out[t, n] = Σ_p pieces[p, t, n] + bias[n], p ascending, f32: what the tiles (wgsl/tile.ts) leave of a linear whose K
 * they cut. pieces [pieces, T, N], out [T, N]. One invocation per element, a loop beyond 65535 workgroups. Limited by
 * memory.
 */
import { type Card, makeCard, workgroupsFor } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Without `hasBias`, `bias` is bound and not read. */
export type JoinShape = Readonly<{ N: number; pieces: number; hasBias: boolean }>;

export const joinPieces: Card<"step" | "parts" | "bias" | "out", JoinShape> = makeCard({
  name: "join-pieces",
  wgsl: /* wgsl */ `
${stepWgsl}
struct Params { N: u32, pieces: u32, hasBias: u32 }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> parts: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 256u;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  let all = step.T * params.N;
  for (var i = global.x; i < all; i += workgroups.x * WORKGROUP) {
    var sum = parts[i];
    for (var p = 1u; p < params.pieces; p++) { sum += parts[p * all + i]; }
    if (params.hasBias > 0u) { sum += bias[i % params.N]; }
    out[i] = sum;
  }
}
`,
  call: ({ N, pieces, hasBias }) => ({
    params: { N, pieces, hasBias: hasBias ? 1 : 0 },
    workgroups: (T) => [workgroupsFor(T * N, 256), 1, 1],
  }),
  sizes: ({ N, pieces, hasBias }, T) => ({ parts: 4 * pieces * T * N, bias: hasBias ? 4 * N : 0, out: 4 * T * N }),
});
