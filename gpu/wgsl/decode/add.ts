/**
 * residual[n] += Σ_k x[k] · W[n, k] + bias[n] of one row, by any product: o_proj and down_proj with their residual add;
 * and, for the next norm and linear, scaled = residual ∘ next_norm, its digits, and Σ residual² a block (1/rms is a
 * factor of that linear's result). x_in [K] f32 in planes (fixed16.ts); residual, next_norm, scaled [N] f32 in planes;
 * out_digits, out_blocks: ⌈N / 32⌉ blocks, what lies past N as zeros. N % 4 = 0. A workgroup owns 32 rows.
 */
import { type Card, makeCard, type TunedCard, workgroupBytes } from "../../pipeline/kernel.ts";
import { blockBytes, blocksOf, digitBytes, fixed16Quantize, planeBytes } from "../fixed16.ts";
import { HELD, MOST_LANES, MULTIPROCESSORS, type WorkgroupLimits } from "../teams.ts";
import { bindingsWgsl } from "./bindings.ts";
import type { Product } from "./products.ts";
import { teamBytes, teamSums } from "./team-sums.ts";

/** N outputs, by `teams` teams of `team` lanes, which divide 8. */
export type AddShape<M> = M & Readonly<{ N: number; team: number; teams: number }>;

export type AddKernel<X extends string, W extends string, M> = TunedCard<X | W | Outputs, M & { readonly N: number }, AddShape<M>>;
type Outputs = "residual" | "next_norm" | "scaled" | "out_digits" | "out_blocks";

const overrides = /* wgsl */ `override N: u32 = 4096u;
override TEAMS: u32 = 2u;
override QUADS: u32 = 8u / TEAMS;
override THREADS: u32 = TEAM * TEAMS;
`;
const main = /* wgsl */ `
var<workgroup> fresh: array<vec4<f32>, 8>;
var<workgroup> squares: array<f32, 8>;
fn row_of(wg: u32, team: u32, quad: u32) -> u32 { return min(wg * 32u + (team * QUADS + quad) * 4u, N - 4u); }
fn meanwhile(tid: u32) {}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) size: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  sum_rows(wg.x, tid);
  if (tid < 8u) {
    let row = wg.x * 32u + 4u * tid;
    let at = tid * size.x + wg.x;
    let before = residual[at];
    let norm = next_norm[at];
    var y = four_totals(4u * tid);
    if (HAS_BIAS) { y += bias_of(min(row, N - 4u)); }
    let r = select(vec4<f32>(0.0), before + y, row < N);
    let z = r * norm;
    residual[at] = r;
    scaled[at] = z;
    fresh[tid] = z;
    squares[tid] = dot(r, r);
  }
  workgroupBarrier();
  if (tid < 8u) {
    var largest = 0u;
    for (var i = 0u; i < 8u; i++) { largest = max(largest, abs_bits(fresh[i])); }
    let v = quantize(fresh[tid], largest);
    let at = 4u * ((tid >> 2u) * size.x + wg.x) + (tid & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + 8u * size.x] = pack_bytes(v);
    if (tid == 0u) {
      var sum = vec4<i32>(0);
      var square = 0.0;
      for (var i = 0u; i < 8u; i++) { sum += quantize(fresh[i], largest); square += squares[i]; }
      out_blocks[wg.x] = vec4<u32>(block_scale(largest), bitcast<u32>((sum.x + sum.y) + (sum.z + sum.w)), bitcast<u32>(square), 0u);
    }
  }
}
`;

/**
 * The kernel of a product. It takes as many teams as 512 lanes make, one of more than 256; more lanes than that where K
 * then takes one turn, since each further one makes x ready anew, and where workgroups are so few that multiprocessors are left
 * idle. The lanes of a team are cut where a device has not room for them.
 */
export function addCard<X extends string, W extends string, M extends object>(name: string, product: Product<X, W, M>): AddKernel<X, W, M> {
  const card: Card<X | W | Outputs, AddShape<M>> = makeCard({
    name,
    wgsl: `
${bindingsWgsl([
  ...product.bindings,
  "storage, read_write> residual: array<vec4<f32>>",
  "storage, read> next_norm: array<vec4<f32>>",
  "storage, read_write> scaled: array<vec4<f32>>",
  "storage, read_write> out_digits: array<u32>",
  "storage, read_write> out_blocks: array<vec4<u32>>",
])}
${product.wgsl}${overrides}${teamSums}${fixed16Quantize}${main}`,
    workgroupBytes: ({ team, teams }) => teamBytes(team, teams, 8 / teams) + 160,
    call: (shape) => ({
      overrides: { ...product.overrides(shape, shape.N), N: shape.N, TEAM: shape.team, TEAMS: shape.teams },
      workgroups: () => [blocksOf(shape.N), 1, 1],
    }),
    sizes: (shape) => ({
      ...product.sizes(shape, shape.N),
      residual: planeBytes(shape.N),
      next_norm: planeBytes(shape.N),
      scaled: planeBytes(shape.N),
      out_digits: digitBytes(shape.N),
      out_blocks: blockBytes(shape.N),
    }),
  });
  const tune = (given: M & { readonly N: number }, { invocations, bytes }: WorkgroupLimits): AddShape<M> => {
    const lanes = 2 * blocksOf(given.N) <= MULTIPROCESSORS ? HELD.invocations : MOST_LANES;
    for (let most = 2 * MOST_LANES; most >= 32; most /= 2) {
      const team = product.team(given, most);
      const teams = (2 * team > lanes ? [1] : [8, 4, 2]).find(
        (n) => n * team <= Math.min(invocations, Math.max(team, lanes)) && workgroupBytes(card, { ...given, team, teams: n }) <= bytes,
      );
      if (teams) return { ...given, team, teams };
    }
    return { ...given, team: 32, teams: 1 };
  };
  return { ...card, tune };
}
