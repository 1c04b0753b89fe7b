/**
 * logits[FIRST + v] = Σ_k norm(x)[k] · W[v, k], W [V, K] f16, bf16 or f32 (a piece of the head's rows): the final norm's
 * 1/rms and lm_head, one row. scaled [K] residual ∘ norm in planes, blocks: as awq-add-fixed16.ts leaves them. f32
 * products and sums (wgsl/decode/products.ts). A workgroup of TEAM lanes owns 32 rows, four at a time. K % 8 = 0.
 * Workgroup memory at TEAM 64: 4 KiB. Limited by memory (V · K · 2 bytes, 4 for f32).
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { bindingsWgsl } from "../../wgsl/decode/bindings.ts";
import { type DenseBuffers, type DenseMatrix, denseValues } from "../../wgsl/decode/products.ts";
import { teamBytes, teamSums } from "../../wgsl/decode/team-sums.ts";
import { blockBytes, fixed16MeanSquare } from "../../wgsl/fixed16.ts";
import { MOST_LANES } from "../../wgsl/teams.ts";

/** A piece of the head: rows firstRow … firstRow + rows − 1 of V. */
export type HeadShape = Omit<DenseMatrix, "hasBias"> & Readonly<{ eps: number; firstRow: number; rows: number }>;

const product = denseValues("scaled");
const matrix = ({ K, dtype }: HeadShape): DenseMatrix => ({ K, dtype, hasBias: false });
const teamOf = (shape: HeadShape): number => product.team(matrix(shape), MOST_LANES);

export const denseHead: Card<"scaled" | DenseBuffers | "blocks" | "logits", HeadShape> = makeCard({
  name: "dense-head",
  wgsl: /* wgsl */ `
${bindingsWgsl([...product.bindings, "storage, read> blocks: array<vec4<u32>>", "storage, read_write> logits: array<f32>"])}
${product.wgsl}override FIRST: u32 = 0u;
override EPS: f32 = 1e-5;
const TEAMS = 1u;
const QUADS = 8u;
${teamSums}${fixed16MeanSquare}
fn row_of(wg: u32, team: u32, quad: u32) -> u32 { return wg * 32u + 4u * quad; }
fn meanwhile(tid: u32) { put_square(tid); }
@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  sum_rows(wg.x, lane);
  let row = wg.x * 32u + lane;
  if (lane < 32u && row < ROWS) { logits[FIRST + row] = row_total(lane) * inverseSqrt(mean_square() + EPS); }
}
`,
  workgroupBytes: (shape) => teamBytes(teamOf(shape), 1, 8) + 64,
  call: (shape) => ({
    overrides: { ...product.overrides(matrix(shape), shape.rows), TEAM: teamOf(shape), FIRST: shape.firstRow, EPS: shape.eps },
    workgroups: () => [Math.ceil(shape.rows / 32), 1, 1],
  }),
  sizes: (shape) => ({
    ...product.sizes(matrix(shape), shape.rows),
    blocks: blockBytes(shape.K),
    logits: 4 * (shape.firstRow + shape.rows),
  }),
});
