/** The attention of a layer in `exact`: the norm before it, q, k and v, their norms, rotation and cache, scores, softmax and mix. */

import { bitsOf } from "../../core/exact/numbers.ts";
import { scoreFactor } from "../../core/exact/rope.ts";
import type { LayerTapName } from "../../core/model/trace.ts";
import { exactAttentionRow, partsOf, ROW_KEYS } from "../kernels/exact/exact-attention-row.ts";
import { exactMix } from "../kernels/exact/exact-mix.ts";
import { exactMixMatrix, MIX_POSITIONS } from "../kernels/exact/exact-mix-matrix.ts";
import { exactNorm } from "../kernels/exact/exact-norm.ts";
import { exactRope } from "../kernels/exact/exact-rope.ts";
import { type ExactAttentionPart, exactScores } from "../kernels/exact/exact-scores.ts";
import { exactScoresMatrix, SCORE_TILE } from "../kernels/exact/exact-scores-matrix.ts";
import { exactSoftmax, SOFTMAX_LANES } from "../kernels/exact/exact-softmax.ts";
import type { Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel, type When } from "../pipeline/recorder.ts";
import { MOST_ROW_INPUTS } from "../wgsl/exact-quads.ts";
import { type ExactContext, type ExactMarks, shapeOf } from "./exact-buffers.ts";
import { MANY_ROWS, normOf, recordLinear, recordNormed, recordRow, recordWords } from "./exact-linears.ts";

/** a.attention = that of the norm of a.x; writes layer i of the cache. */
export function recordAttention(
  recorder: Recorder,
  c: ExactContext,
  i: number,
  marks: ExactMarks,
  tap: (name: LayerTapName, buffer: BufferArg) => void,
): void {
  const { a, config, sequence, weights } = c;
  const { step, table, maxContext } = sequence;
  const layer = weights.layers[i]!;
  const at = `layers.${i}.`;
  const shape = shapeOf(config);
  const { qkv } = weights.joined[i]!;
  const looked = (["q", "k", "v", "qRope", "kRope"] as const).some((name) => marks.wants(at + name));
  const joined = qkv && !looked && (!c.oneRow || config.hiddenSize <= MOST_ROW_INPUTS) ? a.qkv : null;
  const heads = joined?.of(c.oneRow ? 1 : a.rows);
  const left = { P: 3, adds: false, paired: false } as const;
  const atOnce =
    c.oneRow && joined && recordWords(recorder, c, qkv!, a.x, joined.all, { ...left, norm: layer.inputLayernorm }, `${at}qkv`) > 0;
  if (!atOnce) recordNormed(recorder, c, layer.inputLayernorm, layer.qProj, marks, `${at}inputLayernorm`);
  if (joined && c.oneRow) {
    if (!atOnce) recordRow(recorder, c, qkv!, joined.all, left, `${at}qkv`);
  } else if (joined && heads) {
    recordLinear(recorder, c, layer.qProj, heads.q, { rows: "few" }, `${at}q`);
    recordLinear(recorder, c, layer.kProj, heads.k, { rows: "few" }, `${at}k`);
    recordLinear(recorder, c, layer.vProj, heads.v, { rows: "few" }, `${at}v`);
    const parts = { first: layer.qProj.weight.N, rest: layer.kProj.weight.N, rows: a.rows };
    recordLinear(recorder, c, qkv!, joined.all, { rows: "many", parts }, `${at}qkv`);
  } else {
    recordLinear(recorder, c, layer.qProj, a.q, {}, `${at}q`);
    tap("q", a.q);
    recordLinear(recorder, c, layer.kProj, a.k, {}, `${at}k`);
    tap("k", a.k);
    recordLinear(recorder, c, layer.vProj, a.v, {}, `${at}v`);
    tap("v", a.v);
  }
  const [keys, values, exponents] = [sequence.keys[i]!, sequence.values[i]!, sequence.exponents[i]!];
  const { queries, scores, stats } = a;
  const { v } = heads ?? a;
  const headNorm = normOf(config, shape.Hd);
  if (layer.qNorm) {
    const buffers = { step, x: heads?.q ?? a.q, weight: layer.qNorm, out: a.qNormed };
    recordKernel(recorder, exactNorm, buffers, { ...headNorm, heads: shape.H }, { label: `${at}qNorm` });
    tap("qNorm", a.qNormed);
  }
  if (layer.kNorm) {
    const buffers = { step, x: heads?.k ?? a.k, weight: layer.kNorm, out: a.kNormed };
    recordKernel(recorder, exactNorm, buffers, { ...headNorm, heads: shape.G }, { label: `${at}kNorm` });
    tap("kNorm", a.kNormed);
  }
  const q = layer.qNorm ? a.qNormed : a.q;
  const k = layer.kNorm ? a.kNormed : a.k;
  const turned = { q: heads && !layer.qNorm ? heads.q : q, k: heads && !layer.kNorm ? heads.k : k };
  const factor = bitsOf(scoreFactor(shape.Hd));
  // One row takes one dispatch as long as a workgroup holds its scores.
  const positions: Span = { from: c.oneRow ? ROW_KEYS : 0, to: Infinity };
  const held: Span = { from: 0, to: ROW_KEYS };
  const buffers = { step, ...turned, v, table, queries, keys, values, exponents };
  if (c.oneRow)
    recordKernel(
      recorder,
      exactAttentionRow,
      { ...buffers, out: a.attention },
      { ...shape, factor, lanes: c.lanes, parts: partsOf(shape) },
      { label: `${at}attention`, positions: held },
    );
  recordKernel(recorder, exactRope, buffers, { ...shape, factor }, { label: `${at}qRope`, positions });
  tap("qRope", q);
  tap("kRope", k);
  const part = (first: number, rows: number): ExactAttentionPart => ({ ...shape, stride: maxContext, first, rows });
  if (marks.shares && marks.wants(`${at}attentionWeights`)) {
    const all = part(0, a.rows);
    recordKernel(recorder, exactScores, { step, queries, keys, exponents, scores: marks.shares }, all, { label: `${at}attentionWeights` });
    recordKernel(
      recorder,
      exactSoftmax,
      { step, exponents, scores: marks.shares, stats },
      { ...all, shares: true },
      { label: `${at}attentionWeights` },
    );
    tap("attentionWeights", marks.shares);
  }
  for (let first = 0; first < (c.oneRow ? 1 : a.rows); first += a.attentionRows) {
    const some = part(first, a.attentionRows);
    for (const { matrices, ...when } of waysOf(c)) {
      const how = { label: `${at}attention`, positions, ...when };
      recordKernel(recorder, matrices ? exactScoresMatrix : exactScores, { step, queries, keys, exponents, scores }, some, how);
      const softmax = matrices ? { ...some, lanes: SOFTMAX_LANES } : some;
      recordKernel(recorder, exactSoftmax, { step, exponents, scores, stats }, softmax, how);
      recordKernel(recorder, matrices ? exactMixMatrix : exactMix, { step, scores, stats, values, out: a.attention }, some, how);
    }
  }
  tap("attention", a.attention);
}

/**
 * How scores and mix go: many rows by matrices where the device and the heads' size allow it, there is room for the scores of whole tiles, and as far as
 * their columns hold.
 */
function waysOf(c: ExactContext): readonly (When & { readonly matrices: boolean })[] {
  const { headDim } = c.config;
  const { rows, attentionRows } = c.a;
  const whole = attentionRows === rows || attentionRows % SCORE_TILE === 0;
  if (c.oneRow || !c.matrices || !whole || headDim % 32 !== 0 || headDim > 128) return [{ matrices: false }];
  const near: Span = { from: 0, to: Math.max(0, MIX_POSITIONS + 1 - c.a.rows) };
  const many: Span = { from: MANY_ROWS, to: Infinity };
  return [
    { matrices: true, rows: many, positions: near },
    { matrices: false, rows: many, positions: { from: near.to, to: Infinity } },
    { matrices: false, rows: { from: 0, to: MANY_ROWS } },
  ];
}
