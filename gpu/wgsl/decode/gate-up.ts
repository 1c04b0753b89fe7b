/**
 * h[f] = silu(g[f]) · u[f] of one row, g = norm(x) · Wgateᵀ (+ bias), u = norm(x) · Wupᵀ (+ bias), by any product of
 * residual ∘ norm weight; `blocks` holds Σ residual² a block, as add.ts leaves them. A matrix of 2F rows: gate rows, then
 * up rows; h [F] f32 in planes. F % 4 = 0. Steps covered: post_attention_layernorm's 1/rms, gate_proj, up_proj, silu ·
 * mul. A team of TEAM lanes owns PER values of h: PER / 4 quads of gate rows, then as many of up rows. Its quads lie as
 * many workgroups apart, so that what workgroups read at a time lies side by side.
 */
import { type Card, makeCard, type TunedCard, workgroupBytes } from "../../pipeline/kernel.ts";
import { blockBytes, fixed16MeanSquare, planeBytes } from "../fixed16.ts";
import { heldAtOnce, lanesOf, ONE_ROUND, type WorkgroupLimits } from "../teams.ts";
import { bindingsWgsl } from "./bindings.ts";
import type { Product } from "./products.ts";
import { teamBytes, teamSums } from "./team-sums.ts";

type Given<M> = M & Readonly<{ F: number; eps: number }>;
/** `per` values of h a workgroup: a multiple of 4 that divides F, per / 4 at most `team`. */
export type GateUpShape<M> = Given<M> & Readonly<{ per: number; team: number }>;

export type GateUpKernel<X extends string, W extends string, M> = TunedCard<X | W | "blocks" | "h", Given<M>, GateUpShape<M>>;

const MOST_PER = 32;
/** Where a workgroup has fewer values than this, no more workgroups than so many. */
const FEW = { per: 8, workgroups: 2 * ONE_ROUND } as const;
/** What a workgroup's start and end take, in quads of rows, by times on one NVIDIA H200. */
const ENDS = 2;
/** Several rounds must promise this much of the time of one to be taken: they keep it where they are nearly full. */
const WORTH = 5 / 6;

const overrides = /* wgsl */ `override F: u32 = 14336u;
override EPS: f32 = 1e-5;
override PER: u32 = 8u;
override QUADS: u32 = PER / 2u;
const TEAMS = 1u;
`;
const main = /* wgsl */ `
fn row_of(wg: u32, team: u32, quad: u32) -> u32 {
  let quads = PER / 4u;
  return (quad / quads) * F + 4u * (wg + (quad % quads) * (F / PER));
}
fn meanwhile(tid: u32) { put_square(tid); }
@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  sum_rows(wg.x, lane);
  if (lane < PER / 4u) {
    let inverse = inverseSqrt(mean_square() + EPS);
    let i = wg.x + lane * (F / PER);
    var g = four_totals(4u * lane) * inverse;
    var u = four_totals(PER + 4u * lane) * inverse;
    if (HAS_BIAS) {
      g += bias_of(4u * i);
      u += bias_of(F + 4u * i);
    }
    h[(i & 7u) * ((F + 31u) / 32u) + (i >> 3u)] = g / (1.0 + exp(min(-g, vec4<f32>(88.0)))) * u;
  }
}
`;

/**
 * The kernel of a product. A workgroup owns as many values as make the rounds of workgroups shortest in all, since a last
 * round with few of them costs as much as a full one; the fewest that make one round, where several gain little.
 */
export function gateUpCard<X extends string, W extends string, M extends { readonly K: number }>(
  name: string,
  product: Product<X, W, M>,
): GateUpKernel<X, W, M> {
  const card: Card<X | W | "blocks" | "h", GateUpShape<M>> = makeCard({
    name,
    wgsl: `
${bindingsWgsl([...product.bindings, "storage, read> blocks: array<vec4<u32>>", "storage, read_write> h: array<vec4<f32>>"])}
${product.wgsl}${overrides}${teamSums}${fixed16MeanSquare}${main}`,
    workgroupBytes: ({ team, per }) => teamBytes(team, 1, per / 2) + 64,
    call: (shape) => ({
      overrides: { ...product.overrides(shape, 2 * shape.F), TEAM: shape.team, EPS: shape.eps, F: shape.F, PER: shape.per },
      workgroups: () => [shape.F / shape.per, 1, 1],
    }),
    sizes: (shape) => ({ ...product.sizes(shape, 2 * shape.F), blocks: blockBytes(shape.K), h: planeBytes(shape.F) }),
  });
  const tune = (given: Given<M>, limits: WorkgroupLimits): GateUpShape<M> => {
    const team = product.team(given, lanesOf(limits));
    const bytes = (per: number): number => workgroupBytes(card, { ...given, team, per });
    const possible = Array.from({ length: MOST_PER / 4 }, (_, i) => 4 * (i + 1)).filter(
      (per) => given.F % per === 0 && bytes(per) <= limits.bytes && (per >= FEW.per || given.F / per <= FEW.workgroups),
    );
    const rounds = (per: number): number => Math.ceil(given.F / per / heldAtOnce(team, bytes(per)));
    const time = (per: number): number => rounds(per) * (per / 2 + ENDS);
    const best = possible.reduce((least, per) => (time(per) < time(least) ? per : least), possible[0] ?? 4);
    const oneRound = possible.find((per) => rounds(per) === 1);
    const per = oneRound !== undefined && time(best) >= WORTH * time(oneRound) ? oneRound : best;
    return { ...given, team, per };
  };
  return { ...card, tune };
}
