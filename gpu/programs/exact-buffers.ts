/** The buffers of a session in `exact`, and what a recording of its forward pass needs. */

import type { LlamaConfig } from "../../core/config.ts";
import { allocate, type Memory } from "../device/buffer.ts";
import { mostLeft } from "../kernels/exact/exact-awq-words.ts";
import { digitBytes, tiledRows } from "../kernels/exact/exact-digits.ts";
import { type ExactAttentionShape, queryBytes } from "../kernels/exact/exact-rope.ts";
import { SCORE_TILE } from "../kernels/exact/exact-scores-matrix.ts";
import type { ExactGpuWeights } from "../model/exact-weights.ts";
import type { BufferArg } from "../pipeline/recorder.ts";
import type { OutputParts } from "../wgsl/exact-tile.ts";
import type { WorkgroupLimits } from "../wgsl/teams.ts";

/** What lasts as long as a session. */
export interface ExactSequence {
  /** struct Step */
  readonly step: GPUBuffer;
  /** [rows] u32 */
  readonly ids: GPUBuffer;
  /** [maxContext, Hd/2] of (cos, sin) words */
  readonly table: GPUBuffer;
  /** Per layer, as exact-rope.ts lays them out. */
  readonly keys: readonly GPUBuffer[];
  readonly values: readonly GPUBuffer[];
  readonly exponents: readonly GPUBuffer[];
  readonly maxContext: number;
}

/** Buffers for up to `rows` tokens at once; one set serves every layer. */
export interface ExactActivations {
  readonly rows: number;
  readonly x: GPUBuffer;
  readonly normed: GPUBuffer;
  readonly q: GPUBuffer;
  readonly k: GPUBuffer;
  readonly v: GPUBuffer;
  /** q, k and v of so many rows behind each other, and each of them; null where a binding cannot begin at each. */
  readonly qkv: {
    readonly all: GPUBuffer;
    of(rows: number): Readonly<Record<"q" | "k" | "v", GPUBufferBinding>>;
  } | null;
  /** Heads after their norms, where the model has these; else q and k. */
  readonly qNormed: GPUBuffer;
  readonly kNormed: GPUBuffer;
  readonly attention: GPUBuffer;
  readonly branch: GPUBuffer;
  /** Behind one row lie the largest of its parts (exact-awq-words.ts); behind all rows, where one binding holds both, up. */
  readonly gate: GPUBuffer;
  readonly up: BufferArg;
  /** How gate and up lie as one; null where they do not. */
  readonly gateUp: OutputParts | null;
  readonly digits: GPUBuffer;
  readonly sums: GPUBuffer;
  readonly exponents: GPUBuffer;
  readonly queries: GPUBuffer;
  /** [attentionRows, H, maxContext] */
  readonly scores: GPUBuffer;
  readonly stats: GPUBuffer;
  /** Query rows whose scores fit `scores`. */
  readonly attentionRows: number;
  /** Bound where a linear has no bias. */
  readonly nothing: GPUBuffer;
}

/** Bytes that the scores of some query rows may take. */
const SCORE_BYTES = 128 * 2 ** 20;

export const shapeOf = (config: LlamaConfig): ExactAttentionShape => ({
  H: config.numAttentionHeads,
  G: config.numKeyValueHeads,
  Hd: config.headDim,
  window: config.slidingWindow,
});

/** Query rows whose scores are held at once; where that is not all of them, as many as tiles of matrices have, which write whole tiles. */
export function scoredAtOnce(rows: number, H: number, maxContext: number): number {
  const held = Math.floor(SCORE_BYTES / (4 * H * maxContext));
  return Math.max(1, Math.min(rows, held < SCORE_TILE ? held : held - (held % SCORE_TILE)));
}

/** @throws GureumError "limit" */
export function makeExactActivations(memory: Memory, config: LlamaConfig, rows: number, maxContext: number): ExactActivations {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const words = (label: string, width: number): GPUBuffer => allocate(memory, label, rows * width * 4);
  const operands = [digitBytes(D, 3, tiledRows(rows)), digitBytes(H * Hd, 3, tiledRows(rows)), digitBytes(F, 4, tiledRows(rows))];
  const attentionRows = scoredAtOnce(rows, H, maxContext);
  const q = words("q", H * Hd);
  const k = words("k", G * Hd);
  const tall = tiledRows(rows); // bindings begin at multiples of 256 bytes
  const together = 8 * tall * F <= memory.gpu.capabilities.limits.maxStorageBufferBindingSize;
  const gate = allocate(memory, "gate", 4 * Math.max(together ? 2 * tall * F : rows * F, 4 * Math.ceil((F + mostLeft(F)) / 4)));
  return {
    rows,
    x: words("x", D),
    normed: words("normed", D),
    q,
    k,
    qkv: joinedHeads(memory, rows, H * Hd, G * Hd),
    qNormed: config.qkNorm ? words("qNorm", H * Hd) : q,
    kNormed: config.qkNorm ? words("kNorm", G * Hd) : k,
    v: words("v", G * Hd),
    attention: words("attention", H * Hd),
    branch: words("branch", D),
    gate,
    up: together ? { buffer: gate, offset: 4 * tall * F, size: 4 * rows * F } : words("up", F),
    gateUp: together ? { first: F, rest: F, rows: tall } : null,
    digits: allocate(memory, "digits", Math.max(...operands.map(({ digits }) => digits))),
    sums: allocate(memory, "digit sums", Math.max(...operands.map(({ sums }) => sums))),
    exponents: allocate(memory, "exponents", rows * 4),
    queries: allocate(memory, "queries", queryBytes(shapeOf(config), rows)),
    scores: allocate(memory, "scores", attentionRows * H * maxContext * 4),
    stats: allocate(memory, "softmax statistics", rows * H * 8),
    attentionRows,
    nothing: allocate(memory, "nothing", 16),
  };
}

/** Bindings begin at multiples of 256 bytes. */
function joinedHeads(memory: Memory, most: number, Q: number, KV: number): ExactActivations["qkv"] {
  if (Q % 64 !== 0 || KV % 64 !== 0) return null;
  const all = allocate(memory, "q, k, v", 4 * most * (Q + 2 * KV));
  return {
    all,
    of(rows) {
      const at = (first: number, width: number): GPUBufferBinding => ({ buffer: all, offset: 4 * rows * first, size: 4 * rows * width });
      return { q: at(0, Q), k: at(Q, KV), v: at(Q + KV, KV) };
    },
  };
}

/** What a recording needs of model and session. */
export interface ExactContext {
  readonly config: LlamaConfig;
  readonly weights: ExactGpuWeights;
  readonly sequence: ExactSequence;
  readonly a: ExactActivations;
  /** Whether T is 1, and nobody looks at what lies between: linears of one input then run as one. */
  readonly oneRow: boolean;
  /** Whether the device multiplies matrices of i8. */
  readonly matrices: boolean;
  /** Lanes that share a row where there is one: a power of two. */
  readonly lanes: number;
  readonly limits: WorkgroupLimits;
}

/** Called after the dispatch that gives a tap point its value; whether anybody looks. */
export interface ExactMarks {
  wants(name: string): boolean;
  mark(name: string, buffer: BufferArg): void;
  /** Where the attention weights of all rows go: [T, H, maxContext]. */
  readonly shares?: GPUBuffer;
}
export const noMarks: ExactMarks = { wants: () => false, mark() {} };
