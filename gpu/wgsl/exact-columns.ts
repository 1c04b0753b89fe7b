/**
 * int4 linears of `exact` as plain products of integer matrices: the text that exact-awq-columns and exact-awq-columns-4 share. The same buffers and results as
 * exact-awq-tile.ts. A weight is an integer on its row's least exponent, W = S (q − z), |S| < 2^(11 + spread): where scales spread by no more than MOST_SPREAD
 * it is three signed digits of eight bits, so that a sum over all of K stays in the matrices' own i32: P + 2 columns of eight bits for an output, column c being
 * Σ_{p + r = c} Σ_k x_p w_r, at most three products of 2^14 for each k: K ≤ MOST_COLUMN_INPUTS. Nothing is joined before the end, where columns become 96 bits.
 * A workgroup of SR × SC subgroups makes 16·MF·SR × 16·NF·SC outputs, K by STEP blocks of 32 through workgroup memory, in the order in which the blocks of a unit
 * lie; digits of x lie by STEP too (exact-row.ts), so that what a step reads is whole runs of memory. A lane stages 16 bytes of a row, then blocks of a column, both
 * in eights. digits_of_quads: W + 0x808080 = q S + C for two weights at once, 16 bits each: the low byte, then what is above it. At the end a matrix of each
 * subgroup at a time: its columns through workgroup memory, an output per lane.
 */
import { digitBytes } from "../kernels/exact/exact-digits.ts";
import type { Card } from "../pipeline/kernel.ts";
import { windowOverrides } from "./exact-join.ts";
import {
  type ExactTileBuffers,
  type ExactTileCut,
  type ExactTileShape,
  exactMatrixWgsl,
  exactTileCard,
  exactTileSizes,
} from "./exact-tile.ts";
import { each, range } from "./repeat.ts";

/** 15 · 2047 · 2^8 = 0x77f100, below the largest of three digits, 0x7f7f7f. */
const MOST_SPREAD = 8;
/** 3 · 2^14 · K < 2^31: inputs whose products a column of i32 holds. */
export const MOST_COLUMN_INPUTS = 43_690;
/** Digits of a weight. */
const R = 3;
/** Blocks of a step. */
export const COLUMN_STEP = 2;

/** Whether a linear's sums fit the columns. */
export const fitsColumns = ({ K, groupSize, spread }: Pick<ExactTileShape, "K" | "groupSize" | "spread">): boolean =>
  K % (32 * COLUMN_STEP) === 0 && groupSize % 32 === 0 && K <= MOST_COLUMN_INPUTS && spread <= MOST_SPREAD;

/** Whether it goes by them: where joins would take more than one pass over K, or another size of groups. */
export const goesByColumns = (shape: Pick<ExactTileShape, "K" | "P" | "groupSize" | "spread">): boolean =>
  fitsColumns(shape) && (shape.K % 128 !== 0 || shape.groupSize % 128 !== 0 || windowOverrides(shape.K, shape.P, shape.spread).WINDOWS > 1);

/** P digits; SR, SC subgroups; MF, NF matrices of one; `ahead`: a step is loaded during the products of the one before. */
export interface ExactColumnsTile extends ExactTileCut {
  readonly ahead: boolean;
}

function columnsWgsl({ P, SR, SC, MF, NF, ahead }: ExactColumnsTile): { wgsl: string; bytes: number } {
  const [rows, columns, lanes, subgroups] = [16 * MF * SR, 16 * NF * SC, 32 * SR * SC, SR * SC];
  const blocks = COLUMN_STEP;
  const stride = 2 * blocks + 1;
  const C = P + R - 1;
  const right = P * rows * stride; // where the weights are staged
  // At the end, a matrix of each subgroup at a time, so many subgroups at once.
  const staged = right + R * columns * stride;
  const atOnce = Math.min(subgroups, Math.max(staged, 2560) >= 512 * C ? 8 : 4);
  const size = Math.max(staged, atOnce * C * 64);
  // A lane takes the same place of each digit, and so many of these; blocks of weights.
  const [places, pieces] = [(rows * 2 * blocks) / lanes, (columns * blocks) / lanes];
  const digitsOf = (line: (name: string, j: number, p: number) => string): string =>
    range(P)
      .flatMap((p) => range(places).map((j) => line(`x${p}${j}`, j, p)))
      .join("\n      ");
  const load = (k: string): string => `
      ${digitsOf((name, j, p) => `${name} = digits[from${j} + (${P}u * ${k} + ${p}u) * ${128 * blocks}u];`)}
      ${each(pieces, (i) => `{ let slot = ${blocks}u * ${k} + block${i}; w${i} = weights[(column${i} / 4u * BLOCKS + slot) * 4u + (column${i} & 3u)]; g${i} = group_of(column${i}, slot % (BLOCKS / UNIT) * UNIT + slot / (BLOCKS / UNIT)); }`, "\n      ")}`;
  const store = `
      ${digitsOf((name, j, p) => `stage[to${j} + ${p * rows * stride}u] = ${name};`)}
      ${each(pieces, (i) => `put(put${i}, w${i}, g${i}, base${i});`, "\n      ")}`;
  const cells = range(MF).flatMap((i) => range(NF).map((j) => [i, j] as const));
  const columnsOf = (line: (c: number) => string, between = " "): string => each(C, line, between);
  const products = `
      for (var s = 0u; s < ${2 * blocks}u; s += 2u) {
        ${each(NF, (j) => each(R, (r) => `let w${r}_${j} = subgroupMatrixLoad<Right, col_major>(&stage, right0 + ${(r * columns + 16 * j) * stride}u + s, ${stride}u);`), "\n        ")}
        ${range(MF)
          .flatMap((i) =>
            range(P).map(
              (p) =>
                `{ let x = subgroupMatrixLoad<Left, row_major>(&stage, left0 + ${(p * rows + 16 * i) * stride}u + s, ${stride}u); ${each(NF, (j) => each(R, (r) => `c${p + r}_${i}${j} = subgroupMatrixMultiplyAccumulate(x, w${r}_${j}, c${p + r}_${i}${j});`))} }`,
            ),
          )
          .join("\n        ")}
      }`;
  const turns = subgroups / atOnce;
  const wgsl = /* wgsl */ `
${exactMatrixWgsl}var<workgroup> stage: array<vec4<u32>, ${size}>;
const PAIR = vec4<u32>(0x00ff00ffu);
struct Digits3 { d0: vec4<u32>, d1: vec4<u32>, d2: vec4<u32> }
fn digits_of_quads(w: vec4<u32>, S0: u32, S1: u32, C0: u32, C1: u32) -> Digits3 { // of the low nibbles of each byte
  let even = w & vec4<u32>(0x000f000fu);
  let odd = (w >> vec4<u32>(8u)) & vec4<u32>(0x000f000fu);
  let a = even * S0 + C0;
  let b = odd * S0 + C0;
  let c = even * S1 + C1 + ((a >> vec4<u32>(8u)) & PAIR);
  let d = odd * S1 + C1 + ((b >> vec4<u32>(8u)) & PAIR);
  let sign = vec4<u32>(0x80808080u); // a byte less 128
  return Digits3(
    ((a & PAIR) | ((b & PAIR) << vec4<u32>(8u))) ^ sign,
    ((c & PAIR) | ((d & PAIR) << vec4<u32>(8u))) ^ sign,
    (((c >> vec4<u32>(8u)) & PAIR) | (d & ~PAIR)) ^ sign);
}
fn put(at: u32, w: vec4<u32>, group: u32, base: u32) { // a block's weights as digits
  let m = scale_significand(group);
  let size = select(m << min(scale_shift(group) - base, 31u), 0u, m == 0u);
  let S = select(size, 0u - size, (group & 0x8000u) != 0u);
  let C = 0x808080u - S * ((group >> 16u) & 15u); // below 2^24
  let S1 = bitcast<u32>(bitcast<i32>(S) >> 8u);
  let C0 = (C & 255u) * 0x10001u;
  let C1 = (C >> 8u) * 0x10001u;
  let l = digits_of_quads(w, S & 255u, S1, C0, C1);
  let h = digits_of_quads(w >> vec4<u32>(4u), S & 255u, S1, C0, C1);
  ${each(R, (r) => `stage[at + ${r * columns * stride}u] = vec4<u32>(l.d${r}.x, h.d${r}.x, l.d${r}.y, h.d${r}.y);\n  stage[at + ${r * columns * stride + 1}u] = vec4<u32>(l.d${r}.z, h.d${r}.z, l.d${r}.w, h.d${r}.w);`, "\n  ")}
}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let row0 = wg.x * ${rows}u;
  let col0 = wg.y * ${columns}u;
  let left0 = sg / ${SC}u * ${16 * MF * stride}u;
  let right0 = ${right}u + sg % ${SC}u * ${16 * NF * stride}u;
  ${each(
    places,
    (
      j,
    ) => `let place${j} = tid + ${j * lanes}u; let line${j} = place${j} / ${16 * blocks}u * 8u + place${j} % 8u; let half${j} = place${j} / 8u % ${2 * blocks}u;
  let from${j} = ((row0 + line${j}) / 64u * (BLOCKS / ${blocks}u) * ${P * 64}u + (row0 + line${j}) % 64u) * ${2 * blocks}u + half${j};
  let to${j} = line${j} * ${stride}u + half${j};`,
    "\n  ",
  )}
  ${each(
    pieces,
    (i) => `let own${i} = (tid + ${i * lanes}u) / ${8 * blocks}u * 8u + tid % 8u; let block${i} = tid / 8u % ${blocks}u;
  let column${i} = FIRST_ROW + min(col0 + own${i}, N - 1u); let base${i} = bases[column${i}] & 255u;
  let put${i} = ${right}u + own${i} * ${stride}u + 2u * block${i};`,
    "\n  ",
  )}
  ${digitsOf((name) => `var ${name} = vec4<u32>(0u);`)}
  ${each(pieces, (i) => `var w${i} = vec4<u32>(0u); var g${i} = 0u;`)}
  ${cells.map(([i, j]) => columnsOf((c) => `var c${c}_${i}${j} = Sum(0i);`)).join("\n  ")}
  ${ahead ? load("0u") : ""}
  for (var k = 0u; k < BLOCKS / ${blocks}u; k++) {
      ${ahead ? "" : load("k")}
      ${store}
      workgroupBarrier();
      ${ahead ? `if (k + 1u < BLOCKS / ${blocks}u) {${load("(k + 1u)")}\n      }` : ""}
      ${products}
      workgroupBarrier();
  }
  for (var n = 0u; n < ${cells.length * turns}u; n++) {
    let cell = n / ${turns}u;
    let mine = sg / ${atOnce}u == n % ${turns}u;
    let room = sg % ${atOnce}u * ${64 * C}u;
    if (mine) {
      switch cell {
        ${cells.map(([i, j], n) => `${n + 1 < cells.length ? `case ${n}u` : "default"}: { ${columnsOf((c) => `subgroupMatrixStore<row_major>(&stage, room + ${64 * c}u, c${c}_${i}${j}, 4u);`)} }`).join("\n        ")}
      }
    }
    workgroupBarrier();
    if (mine) {
      for (var e = lane; e < 256u; e += 32u) {
        let at = room + e / 4u;
        var sum = wide96(bitcast<i32>(stage[at + ${64 * (C - 1)}u][e & 3u]));
        ${range(C - 1)
          .reverse()
          .map((c) => `sum = add96(byte_up(sum), wide96(bitcast<i32>(stage[at + ${64 * c}u][e & 3u])));`)
          .join("\n        ")}
        let t = row0 + sg / ${SC}u * ${16 * MF}u + cell / ${NF}u * 16u + e / 16u;
        finish(t, col0 + sg % ${SC}u * ${16 * NF}u + cell % ${NF}u * 16u + e % 16u, sum);
      }
    }
    workgroupBarrier();
  }
}
`;
  return { wgsl, bytes: 16 * size };
}

export const exactColumnsTile = (name: string, tile: ExactColumnsTile): Card<ExactTileBuffers, ExactTileShape> =>
  exactTileCard(name, tile, columnsWgsl(tile), (shape, T) => ({
    ...exactTileSizes(shape, T),
    digits: digitBytes(shape.K, shape.P, T, COLUMN_STEP).digits,
  }));
