/**
 * A linear of many rows by tiles through workgroup memory, without any optional feature: the text that the kernels
 * *-tile*.ts share. out[t, n] = Σ_k x[t, k] · W[n, k] (+ bias[n]), f32. A workgroup makes a tile of ROWS × COLUMNS, an
 * invocation its rows ty + i · TY and columns tx + j · TX, i < across, j < down, in variables of their own (no array
 * that a compiler might put into memory). K goes by 16: x and W lie in workgroup memory as quads along k, four a row,
 * quad q of row n at 4 n + (q ^ ((n >> 1) & 3)), so that eight neighbouring rows meet eight different banks. The next
 * step's operands are on their way in registers; loads are clamped, not guarded, and what lies past T or N is not stored.
 * Of PIECES parts of K a workgroup makes one: piece p of the sum goes to out[p], for join-pieces.ts; a single one is
 * stored with its bias.
 */
import type { Workgroups } from "../pipeline/kernel.ts";
import { each, range } from "./repeat.ts";

/** A tile and what of it an invocation makes. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly across: number;
  readonly down: number;
}

/** How the weights come: WGSL of `weights` and what else it binds (bindings 2 on), of what a step loads and stages. */
export interface TileWeights {
  readonly bindings: string;
  /** Fields of Params after K, N, columns, firstColumn, pieces and hasBias. */
  readonly params: string;
  /** Functions `load_weights(n, part, k) -> Weights` of eight k from 16 k + 8 part on, and `first`, `second`: their quads. */
  readonly wgsl: string;
}

export function tileWgsl({ rows, columns, across, down }: Tile, { bindings, params, wgsl }: TileWeights): string {
  const [TX, TY] = [columns / down, rows / across];
  const lanes = TX * TY;
  const [left, right] = [(4 * rows) / lanes, (2 * columns) / lanes];
  /** Rows or pairs of quads that lane `tid` brings: `of` of them share a row. */
  const lane = (i: number, of: number): string => `(tid + ${i * lanes}u) / ${of}u`;
  const products = (j: number): string =>
    each(across, (i) => `c${i}_${j} = fma(a${i}.w, b.w, fma(a${i}.z, b.z, fma(a${i}.y, b.y, fma(a${i}.x, b.x, c${i}_${j}))));`);
  // Eight rows further on, quads lie in the same order. Only the last index is computed: compilers that check indices check it once.
  const quadOf = (row: string, from: string, i: number, apart: number): string =>
    `[${i}][${(i * apart) % 8 === 0 ? from : `place(${row} + ${i * apart}u, quad) - ${4 * i * apart}u`}]`;
  /** The quad of a row, `apart` rows in an array. */
  const staged = (row: string, quad: string, apart: number): string =>
    `[place(${row}, ${quad}) / ${4 * apart}u][place(${row}, ${quad}) % ${4 * apart}u]`;
  return /* wgsl */ `
struct Step { T: u32, start: u32, sampled: u32, reserved: u32 }
struct Params { K: u32, N: u32, columns: u32, firstColumn: u32, pieces: u32, hasBias: u32${params} }
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
${bindings}
var<workgroup> left: array<array<vec4<f32>, ${4 * TY}>, ${across}>;
var<workgroup> right: array<array<vec4<f32>, ${4 * TX}>, ${down}>;
${wgsl}
fn load_x(t: u32, quad: u32) -> vec4<f32> { return x[min(t, step.T - 1u) * (params.K / 4u) + quad]; }
fn place(row: u32, quad: u32) -> u32 { return 4u * row + (quad ^ ((row >> 1u) & 3u)); }
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let piece = wg.x % params.pieces;
  let row0 = wg.x / params.pieces * ${rows}u;
  let column0 = wg.y * ${columns}u;
  // 32 invocations stand 8 × 4.
  let tx = (tid & 7u) | (((tid >> 5u) % ${TX / 8}u) << 3u);
  let ty = ((tid >> 3u) & 3u) | (((tid >> 5u) / ${TX / 8}u) << 2u);
  ${range(across)
    .map((i) => each(down, (j) => `var c${i}_${j} = 0.0;`))
    .join("\n  ")}
  let steps = params.K / 16u;
  let turns = (steps + params.pieces - 1u) / params.pieces;
  let end = min((piece + 1u) * turns, steps);
  var k = piece * turns;
  ${each(left, (i) => `var x${i} = load_x(row0 + ${lane(i, 4)}, 4u * k + tid % 4u);`)}
  ${each(right, (i) => `var w${i} = load_weights(min(column0 + ${lane(i, 2)}, params.N - 1u), tid % 2u, k);`)}
  for (; k < end; k++) {
    workgroupBarrier();
    ${each(left, (i) => `left${staged(lane(i, 4), "tid % 4u", TY)} = x${i};`)}
    ${each(right, (i) => `right${staged(lane(i, 2), "2u * (tid % 2u)", TX)} = first(w${i}); right${staged(lane(i, 2), "2u * (tid % 2u) + 1u", TX)} = second(w${i});`)}
    workgroupBarrier();
    let next = min(k + 1u, steps - 1u);
    ${each(left, (i) => `x${i} = load_x(row0 + ${lane(i, 4)}, 4u * next + tid % 4u);`)}
    ${each(right, (i) => `w${i} = load_weights(min(column0 + ${lane(i, 2)}, params.N - 1u), tid % 2u, next);`)}
    for (var quad = 0u; quad < 4u; quad++) {
      let fromLeft = place(ty, quad);
      let fromRight = place(tx, quad);
      ${each(across, (i) => `let a${i} = left${quadOf("ty", "fromLeft", i, TY)};`)}
      ${range(down)
        .map((j) => `{ let b = right${quadOf("tx", "fromRight", j, TX)}; ${products(j)} }`)
        .join("\n      ")}
    }
  }
  let out0 = piece * step.T * params.columns + params.firstColumn;
  ${range(across)
    .map(
      (i) => `if (row0 + ty + ${i * TY}u < step.T) {
    let at = out0 + (row0 + ty + ${i * TY}u) * params.columns;
    ${each(down, (j) => `put(at, column0 + tx + ${j * TX}u, c${i}_${j});`)}
  }`,
    )
    .join("\n  ")}
}
fn put(at: u32, n: u32, sum: f32) {
  if (n >= params.N) { return; }
  if (params.hasBias > 0u) { out[at + n] = sum + bias[params.firstColumn + n]; }
  else { out[at + n] = sum; }
}
`;
}

/** What of a linear's call a tile adds: in how many pieces K is cut. */
export type InPieces<Shape> = Shape & { readonly pieces: number };

/** What every tile's card says of its tile. */
export const tileCard = ({
  rows,
  columns,
}: Tile): {
  readonly workgroupBytes: number;
  workgroups(N: number, pieces: number): (T: number) => Workgroups;
} => ({
  workgroupBytes: 64 * (rows + columns),
  workgroups: (N, pieces) => (T) => [Math.ceil(T / rows) * pieces, Math.ceil(N / columns), 1],
});

export const tile16: Tile = { rows: 16, columns: 128, across: 4, down: 8 };
export const tile64: Tile = { rows: 64, columns: 128, across: 8, down: 8 };
