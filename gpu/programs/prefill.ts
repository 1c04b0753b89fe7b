/**
 * Prefill by subgroup matrices: operands f16 or digits of fixed16 (prefill-operands.ts), residual f32, attention in f16
 * with f32 sums, on repacked weights and an f16 cache. The same steps as core/model/llama.ts; each kernel's head
 * comment names the steps it covers.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { biasParts, type ListedPart, plainParts } from "../../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { attentionPrefillMatrix, SPLIT_ROWS } from "../kernels/prefill/attention-prefill-matrix.ts";
import { prefillRopeF16 } from "../kernels/prefill/prefill-rope-f16.ts";
import { recordHead } from "../model/llama.ts";
import { packRefusal } from "../model/packing.ts";
import type { GpuLinear } from "../model/tree.ts";
import type { Kernel, Span } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, prepareByRows, recordKernel } from "../pipeline/recorder.ts";
import { DIGITS_BLOCK } from "../wgsl/digits.ts";
import {
  allRows,
  f16OperandKernels,
  f16Operands,
  fixed16OperandKernels,
  fixed16Operands,
  nothingPending,
  type Operands,
  type OperandsContext,
} from "./prefill-operands.ts";
import { denseProductKernels, productKernels, rowsInPieces } from "./prefill-products.ts";
import { type Feeder, linearsOf, type Program, type ProgramContext, partRefusal } from "./program.ts";
import { type GpuArithmetic, manyRows } from "./steps.ts";

/** Rows of a tile; activations have room for a multiple of it. */
const TILE = 128;
const MOST_ROWS = 2048;
/** Bytes that the largest activation may take. */
const ACTIVATION_BYTES = 2 ** 28;

/** What the products take: of what outputs, inputs and groups must be multiples; `groups` null for dense linears. */
interface Takes {
  readonly outputs: number;
  readonly inputs: number;
  readonly groups: number | null;
}

/** Parts that prefill-rope-f16 computes beside those that every layer has. */
const headParts: readonly ListedPart[] = [...plainParts, "qProj.bias", "kProj.bias", "vProj.bias", "qNorm", "kNorm"];

/** What the matrix kernels refuse. */
function matrixRefusal({ outputs, inputs, groups }: Takes, config: LlamaConfig, refs: LlamaWeightRefs): Refusal | undefined {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  if (Hd % 16 !== 0 || Hd < 32 || Hd > 128) return { code: "unsupported", reason: "it needs heads of 32 to 128 in steps of 16" };
  // Dense linears lie in matrices of their own.
  const made = groups === null ? [D, F, H * Hd, G * Hd] : [D, 2 * F, (H + 2 * G) * Hd];
  if (made.some((N) => N % outputs !== 0)) return { code: "unsupported", reason: `it needs linears of a multiple of ${outputs} outputs` };
  const fits = (ref: LinearRef): boolean =>
    ref.inFeatures % inputs === 0 && (groups === null ? ref.kind === "dense" : ref.kind === "awq" && ref.groupSize % groups === 0);
  if (linearsOf(refs).every(fits)) return undefined;
  const kind = groups === null ? "dense linears" : "int4 linears";
  const grouped = groups === null ? "" : `, groups of ${groups}`;
  return { code: "unsupported", reason: `it needs ${kind}, inputs in multiples of ${inputs}${grouped}` };
}

/** Workgroups of attention that the cards it was measured on run at once: one on each of 132 multiprocessors. */
const AT_ONCE = 132;
/** Keys before the first row from which on few rows are worth splits. */
export const SPLIT_FROM = 512;

/** Splits of the keys for up to 64 rows: as many as run at once, at most `most`. */
export const splitsOf = (H: number, most: number): number => Math.max(1, Math.min(most, Math.floor(AT_ONCE / H)));

/** In how many splits attention runs, by rows and positions. */
function attentionWays(splits: number): { readonly splits: number; readonly rows?: Span; readonly positions?: Span }[] {
  if (splits === 1) return [{ splits }];
  const few = { from: 1, to: SPLIT_ROWS + 1 };
  return [
    { splits, rows: few, positions: { from: SPLIT_FROM, to: Infinity } },
    { splits: 1, rows: few, positions: { from: 0, to: SPLIT_FROM } },
    { splits: 1, rows: { from: SPLIT_ROWS + 1, to: Infinity } },
  ];
}

/** Rows fed at a time: as many as the largest activation leaves room for, at most 2048. */
function matrixRows({ limits }: Capabilities, { intermediateSize: F }: LlamaConfig, maxContext: number): number {
  const most = Math.min(ACTIVATION_BYTES, limits.maxStorageBufferBindingSize);
  const fits = Math.max(TILE, Math.floor(most / (2 * F * 4) / TILE) * TILE);
  return Math.min(MOST_ROWS, fits, Math.ceil(maxContext / TILE) * TILE);
}

/**
 * Up to `chunk` tokens, the position of the first in sequence.step.start. `head` turns the last row into logits [V].
 */
async function preparePrefill(
  { memory, forward: c, logits, chunk }: ProgramContext,
  makeOperands: (context: OperandsContext) => Operands,
): Promise<Feeder> {
  const { config, weights, sequence } = c;
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const A = H * Hd;
  const { step, ids, ropeTable: table } = sequence;
  const padded = Math.ceil(chunk / TILE) * TILE;
  const room = (label: string, width: number, bytes: number, rows = padded): GPUBuffer =>
    allocate(memory, label, Math.max(padded, rows) * width * bytes);
  const heads = (H + 2 * G) * Hd;
  const added = [A, config.intermediateSize].map((K) => ({ K, N: D, add: true }));
  const residual = room("residual (prefill)", D, 4, rowsInPieces(added, padded));
  const qkvOut = room("qkv (prefill)", heads, 4, rowsInPieces([{ K: D, N: heads, add: false }], padded));
  const q = room("q (prefill)", A, 2);

  const layers = makeRecorder();
  const operands = makeOperands({ memory, recorder: layers, config, rows: padded, step, nothing: sequence.nothing });
  const splits = splitsOf(H, operands.splits);
  const attention = allocate(memory, "attention (prefill)", Math.max(operands.eights ? 0 : padded, splits * SPLIT_ROWS) * A * 4);
  const stats = allocate(memory, "attention statistics (prefill)", splits * SPLIT_ROWS * H * 8);
  for (const { firstColumn: firstRow, N: rows, weight } of weights.embedTokens.pieces) {
    const shape = { dtype: weights.embedTokens.dtype, D, firstRow, rows };
    recordKernel(layers, embedding, { ids, table: weight, out: residual }, shape, { label: "embeddings" });
  }
  let pending = nothingPending;
  for (const [i, layer] of weights.layers.entries()) {
    const at = `layers.${i}.`;
    const cache = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    operands.norm(residual, layer.inputLayernorm.weight, pending, `${at}inputLayernorm`);
    const { extras } = layer.qProj;
    const turned = { y: qkvOut, table, q, ...cache, noted: sequence.noted, extras: extras ?? sequence.nothing, step };
    const shape = { H, G, Hd, hasBias: extras !== null, normEps: layer.qNorm ? eps : null };
    for (const { rows, pieces, apart } of operands.product([layer.qProj, layer.kProj, layer.vProj], heads, qkvOut, false, `${at}qkv`))
      recordKernel(layers, prefillRopeF16, turned, { ...shape, pieces, apart }, { label: `${at}rope`, rows });
    const attended = { q, ...cache, stats, step };
    const shared = { H, G, Hd, window: config.slidingWindow };
    const label = `${at}attention`;
    for (const { splits: parts, rows = allRows, ...when } of attentionWays(splits)) {
      const { eights } = operands;
      if (parts === 1 && eights) {
        operands.byLayout(rows, (rows, panels) =>
          recordKernel(
            layers,
            attentionPrefillMatrix,
            { ...attended, out: eights },
            { ...shared, eights: true, panels },
            { label, rows, ...when },
          ),
        );
      } else {
        recordKernel(
          layers,
          attentionPrefillMatrix,
          { ...attended, out: attention },
          { ...shared, splits: parts },
          { label, rows, ...when },
        );
        operands.rows(attention, stats, parts, { label, rows, ...when });
      }
    }
    const added = (linear: GpuLinear, label: string): void => {
      pending = { left: operands.product([linear], D, residual, true, label), bias: linear.extras };
    };
    added(layer.oProj, `${at}attentionResidual`);
    operands.norm(residual, layer.postAttentionLayernorm.weight, pending, `${at}postAttentionLayernorm`);
    operands.gateUp([layer.gateProj, layer.upProj], at);
    added(layer.downProj, `${at}residual`);
  }
  operands.settle(residual, weights.norm.weight, pending, "residual");
  const head = makeRecorder();
  const last = { step, x: residual, weight: weights.norm.weight, out: c.a.normed };
  recordKernel(head, rmsNorm, last, { D, eps, lastRow: true }, { label: "finalNorm" });
  recordHead(head, c, c.a.normed, logits, true);
  const [{ dispatches, ready }, preparedHead] = await Promise.all([prepareByRows(layers, memory), prepare(head, memory)]);
  return { layers: dispatches, head: preparedHead, ready };
}

type MatrixPrefill = Program & { readonly step: "linear-prefill" };

/** A prompt by matrices, its operands as `makeOperands` makes them. */
const matrixPrefill = (
  name: string,
  arithmetic: GpuArithmetic,
  operandKernels: readonly Kernel[],
  { rows, parts, ...takes }: Takes & Pick<Program, "rows" | "parts">,
  makeOperands: (context: OperandsContext) => Operands,
): MatrixPrefill => ({
  name,
  step: "linear-prefill",
  rows,
  kernels: [embedding, prefillRopeF16, attentionPrefillMatrix, ...operandKernels],
  arithmetic,
  ...(takes.groups === null ? {} : { layout: "repacked" as const }),
  cache: "f16",
  parts,
  refusal: (config, refs, capabilities) =>
    partRefusal(parts, refs) ?? matrixRefusal(takes, config, refs) ?? (takes.groups === null ? undefined : packRefusal(capabilities, refs)),
  chunk: matrixRows,
  prepare: (context) => preparePrefill(context, makeOperands),
});

const fromTwo: Span = { from: 2, to: Infinity };
const allParts: readonly ListedPart[] = [...headParts, ...biasParts];

export const f16MatrixPrefill: MatrixPrefill = matrixPrefill(
  "f16-matrix",
  "f16",
  [...productKernels, ...f16OperandKernels],
  { rows: fromTwo, parts: allParts, outputs: 64, inputs: 64, groups: 32 },
  (context) => f16Operands(context, true),
);
export const denseMatrixPrefill: MatrixPrefill = matrixPrefill(
  "dense-f16-matrix",
  "f16",
  [...denseProductKernels, ...f16OperandKernels],
  { rows: fromTwo, parts: allParts, outputs: 64, inputs: 64, groups: null },
  f16Operands,
);
export const fixed16MatrixPrefill: MatrixPrefill = matrixPrefill(
  "fixed16-matrix",
  "fixed16",
  fixed16OperandKernels,
  { rows: manyRows, parts: headParts, outputs: TILE, inputs: DIGITS_BLOCK, groups: DIGITS_BLOCK },
  fixed16Operands,
);
