/**
 * How products of gate and up by subgroup matrices end where one kernel makes both: x[t, f] = f16(silu(g) · u) in eights (eights.ts), g and u the
 * products of row t with rows f and F + f of the weights [2F, K], plus their biases [2F] f32, where there are some (HAS_BIAS). Every second matrix
 * of 16 columns is of up: columns 32 i … + 15 of the tile are 16 i … + 15 of gate, the 16 after them the same of up.
 */
import { type Card, makeCard } from "../pipeline/kernel.ts";
import { packedSizes } from "./awq.ts";
import { eightsWgsl, panelWgsl } from "./eights.ts";
import {
  type AheadOf,
  int4Weights,
  type MatrixEnd,
  type MatrixTile,
  matrixTileBytes,
  matrixTileNeeds,
  matrixTileWgsl,
  paddedRows,
  tileColumns,
  tileRows,
} from "./matrix-tile.ts";
import { range } from "./repeat.ts";

/** K inputs, F outputs of gate and of up, `group` weights a scale; without `hasBias`, `bias` is not read. */
export type GateUpShape = Readonly<{ K: number; F: number; group: number; hasBias: boolean }>;

export const gateUpBindings: readonly string[] = [
  "var<storage, read> bias: array<vec4<f32>>;",
  "var<storage, read_write> out: array<vec4<u32>>;",
];
export const gateUpOverrides = `override HAS_BIAS: bool = false;
override F: u32 = N / 2u;`;

/** gated(at, f): eight of a row of `memory`, whose words `at` and `at` + 4 on hold 16 columns of g and of u, f the first of them. */
export const gatedWgsl = (memory: string): string => `${eightsWgsl}
fn gated_four(at: u32, f: u32) -> vec4<f32> {
  var g = bitcast<vec4<f32>>(${memory}[at]);
  var u = bitcast<vec4<f32>>(${memory}[at + 4u]);
  if (HAS_BIAS) {
    g += bias[f / 4u];
    u += bias[(F + f) / 4u];
  }
  let e = exp(-abs(g));
  return g * (select(e, vec4<f32>(1.0), g >= vec4<f32>(0.0)) / (1.0 + e)) * u;
}
fn gated(at: u32, f: u32) -> vec4<u32> { return eight(gated_four(at, f), gated_four(at + 1u, f + 4u)); }`;

/** A subgroup's two matrices side by side, 9 words of 16 bytes from row to row; a lane has eight of 16 rows. */
const gateUpEnd: MatrixEnd = {
  bindings: gateUpBindings,
  overrides: `\n${gateUpOverrides}`,
  wgsl: ({ depth }) => `${depth === 32 ? `\n${panelWgsl}` : ""}
fn half_row(c: u32) -> u32 { return (c >> 5u) * 16u + (c & 15u) + ((c >> 4u) & 1u) * F; }
${gatedWgsl("right")}
fn finish(row: u32, f: u32, at: u32) { out[${depth === 32 ? "panel_word(row, f / 8u, F)" : "(row * F + f) / 8u"}] = gated(at, f); }`,
  row: (c) => `half_row(${c})`,
  start: () => "let lane = tid % 32u;",
  end: ({ MF, NF }: MatrixTile) =>
    range(MF)
      .flatMap((i) => range(NF / 2).map((j) => [i, j] as const))
      .map(
        ([i, j]) => `workgroupBarrier();
  subgroupMatrixStore<row_major>(&right, 144u * sg, c${i}${2 * j}, 9u); subgroupMatrixStore<row_major>(&right, 144u * sg + 4u, c${i}${2 * j + 1}, 9u);
  workgroupBarrier();
  if (inside) { finish(row0 + a0 + ${16 * i}u + lane / 2u, (column0 + b0) / 2u + ${16 * j}u + lane % 2u * 8u, 144u * sg + lane / 2u * 9u + lane % 2u * 2u); }`,
      )
      .join("\n  "),
};

/** Bytes for `rows` rows, those of a tile. */
export const gateUpSizes = (
  { K, F, group, hasBias }: GateUpShape,
  rows: number,
): Record<"x" | "weights" | "groups" | "bias" | "out", number> => ({
  x: 2 * rows * K,
  ...packedSizes(K, 2 * F, group),
  bias: hasBias ? 8 * F : 0,
  out: 2 * rows * F,
});

/** The card of a tile of int4 weights. */
export const gateUpTile = (
  name: string,
  tile: MatrixTile,
  ahead: AheadOf = { x: 1, w: 1 },
): Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape> =>
  makeCard({
    name,
    ...matrixTileNeeds(tile),
    wgsl: matrixTileWgsl(tile, int4Weights, ahead, gateUpEnd),
    workgroupBytes: matrixTileBytes(tile),
    call: ({ K, F, group, hasBias }) => ({
      overrides: { K, N: 2 * F, GROUP: group, HAS_BIAS: hasBias },
      workgroups: (T) => [Math.ceil(T / tileRows(tile)), Math.ceil((2 * F) / tileColumns(tile)), 1],
    }),
    sizes: (shape, T) => gateUpSizes(shape, paddedRows(tile, T)),
  });
