/**
 * The forward pass in `exact` as recorded dispatches: the steps of core/exact/forward.ts in the same order under the same names, every buffer one
 * of words. A linear's kernel adds its result to the residual stream itself, but where a tap point wants to see it first.
 */

import type { LayerTapName } from "../../core/model/trace.ts";
import type { Needs } from "../device/capabilities.ts";
import { exactAwqColumns } from "../kernels/exact/exact-awq-columns.ts";
import { exactAwqColumns4 } from "../kernels/exact/exact-awq-columns-4.ts";
import { exactAwqMatrix } from "../kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../kernels/exact/exact-awq-matrix-4.ts";
import { exactDenseMatrix } from "../kernels/exact/exact-dense-matrix.ts";
import { exactEmbedding } from "../kernels/exact/exact-embedding.ts";
import { exactMixMatrix } from "../kernels/exact/exact-mix-matrix.ts";
import { exactNorm } from "../kernels/exact/exact-norm.ts";
import { exactScoresMatrix } from "../kernels/exact/exact-scores-matrix.ts";
import { type BufferArg, type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { MOST_ROW_INPUTS } from "../wgsl/exact-quads.ts";
import { recordAttention } from "./exact-attention.ts";
import { type ExactContext, type ExactMarks, noMarks } from "./exact-buffers.ts";
import { normOf, recordBranch, recordDigits, recordLinear, recordNormed, recordRow, recordSiluMul, recordWords } from "./exact-linears.ts";

/** What a device must run for prompts to go by matrices. */
export const matrixKernels: readonly Needs[] = [
  exactAwqColumns,
  exactAwqColumns4,
  exactAwqMatrix,
  exactAwqMatrix4,
  exactDenseMatrix,
  exactScoresMatrix,
  exactMixMatrix,
];

/** From `sequence.ids` to the residual stream after the last layer in `a.x`; writes the cache at step.start. */
export function recordExactLayers(recorder: Recorder, c: ExactContext, marks: ExactMarks = noMarks): void {
  const { config, weights, sequence, a } = c;
  const { hiddenSize: D } = config;
  const table = weights.embedTokens;
  for (const { firstColumn: firstRow, N: rows, weight } of table.pieces)
    recordKernel(
      recorder,
      exactEmbedding,
      { ids: sequence.ids, table: weight, out: a.x },
      { dtype: table.dtype, D, firstRow, rows },
      { label: "embeddings" },
    );
  marks.mark("embeddings", a.x);
  weights.layers.forEach((layer, i) => {
    const at = `layers.${i}.`;
    const tap = (name: LayerTapName, buffer: BufferArg): void => marks.mark(at + name, buffer);
    recordAttention(recorder, c, i, marks, tap);
    recordBranch(recorder, c, layer.oProj, { buffer: a.attention, label: `${at}attention` }, 3, marks, `${at}attentionOutput`);
    tap("attentionResidual", a.x);

    const { gateUp } = weights.joined[i]!;
    const joined = c.oneRow && D <= MOST_ROW_INPUTS ? gateUp : null;
    const left = { P: 3, adds: false, paired: true } as const;
    const norm = layer.postAttentionLayernorm;
    const tops = joined ? recordWords(recorder, c, joined, a.x, a.gate, { ...left, norm }, `${at}gateUp`) : 0;
    let made = false;
    if (tops === 0) {
      recordNormed(recorder, c, norm, layer.gateProj, marks, `${at}postAttentionLayernorm`);
      if (joined) recordRow(recorder, c, joined, a.gate, left, `${at}gateUp`);
      else {
        const parts = !c.oneRow && gateUp ? a.gateUp : null;
        const rows = parts ? { rows: "few" as const } : {};
        recordLinear(recorder, c, layer.gateProj, a.gate, rows, `${at}gate`);
        recordLinear(recorder, c, layer.upProj, a.up, rows, `${at}up`);
        if (parts) recordLinear(recorder, c, gateUp!, a.gate, { rows: "many", parts }, `${at}gateUp`);
        tap("gate", a.gate);
        tap("up", a.up);
        made = recordSiluMul(recorder, c, layer.downProj, `${at}siluMul`);
      }
    }
    tap("siluMul", a.gate);
    recordBranch(recorder, c, layer.downProj, { buffer: a.gate, label: `${at}siluMul`, tops, made }, 4, marks, `${at}mlp`);
    tap("residual", a.x);
  });
}

/** Final norm and logits [V] of row T − 1, or [T, V] of every row, into `out`. */
export function recordExactHead(recorder: Recorder, c: ExactContext, out: GPUBuffer, lastRow: boolean, marks: ExactMarks = noMarks): void {
  const { a, config, weights, sequence } = c;
  const head = { weight: weights.lmHead, bias: null };
  if (c.oneRow) {
    recordNormed(recorder, c, weights.norm, head, marks, "finalNorm");
    recordLinear(recorder, c, head, out, {}, "logits");
    return;
  }
  const norm = { ...normOf(config, config.hiddenSize), lastRow };
  recordKernel(recorder, exactNorm, { step: sequence.step, x: a.x, weight: weights.norm, out: a.normed }, norm, { label: "finalNorm" });
  marks.mark("finalNorm", a.normed);
  const first = recorder.dispatches.length;
  recordDigits(recorder, c, { buffer: a.normed, label: "finalNorm" }, head, 3);
  recordLinear(recorder, c, head, out, { oneRow: lastRow }, "logits");
  if (!lastRow) return;
  for (let i = first; i < recorder.dispatches.length; i++) {
    const dispatch = recorder.dispatches[i]!;
    recorder.dispatches[i] = { ...dispatch, workgroups: (_T, start) => dispatch.workgroups(1, start) };
  }
}
