/** The buffers of a sequence: what lasts as long as a session, and what one chunk of rows passes through. */
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import { ropeRows } from "../../core/ops/rope.ts";
import { allocate, freeAll, type Memory, usage, writeBytes } from "../device/buffer.ts";
import type { Gpu } from "../device/device.ts";
import { maxHeadDim } from "../kernels/plain/attention.ts";
import { ropeTable } from "../kernels/plain/rope.ts";
import type { PlainSteps } from "../programs/steps.ts";
import { partsBytes } from "../programs/tiles.ts";
import { type CacheDType, cacheBytes, notedAt } from "../wgsl/cache.ts";
import { STEP_BYTES } from "../wgsl/step.ts";
import type { GpuLlamaWeights } from "./tree.ts";

/** What lasts as long as a session: the step, keys and values, RoPE's table. */
export interface SequenceBuffers {
  /** struct Step */
  readonly step: GPUBuffer;
  /** [rows] u32: the ids fed now; the first one is where a sampled id goes. */
  readonly ids: GPUBuffer;
  /** [maxContext, Hd/2] of (cos, sin) */
  readonly ropeTable: GPUBuffer;
  /** Per layer [maxContext, G, Hd] */
  readonly keys: readonly GPUBuffer[];
  readonly values: readonly GPUBuffer[];
  readonly cacheDType: CacheDType;
  /** [H · Hd] f32, of the token that decodes in fixed16; behind it the word that `noted` binds. */
  readonly q: GPUBuffer;
  /** Where a key or value was beyond an f16 cache (wgsl/cache.ts). */
  readonly noted: Required<GPUBufferBinding>;
  /** Bound where a linear has no bias; not read. */
  readonly nothing: GPUBuffer;
  /** Where rows are of different sequences: keys and values [slots, capacity, G, Hd], `noted` a word for each slot. */
  readonly batch?: BatchRows;
}

/** Rows of different sequences (wgsl/rows.ts). */
export interface BatchRows {
  /** The uniform `rows`. */
  readonly rows: GPUBuffer;
  readonly slots: number;
  /** Positions of a slot. */
  readonly capacity: number;
  /** [T, H, Hd] f32: queries, turned */
  readonly q: GPUBuffer;
}

/** Buffers for up to `rows` tokens at once; one set serves every layer. */
export interface ActivationBuffers {
  readonly rows: number;
  /** [T, D] the residual stream */
  readonly x: GPUBuffer;
  /** [T, D] */
  readonly normed: GPUBuffer;
  readonly q: GPUBuffer;
  readonly k: GPUBuffer;
  readonly v: GPUBuffer;
  /** [T, H · Hd] */
  readonly attention: GPUBuffer;
  /** [T, D] what a block adds to the residual stream */
  readonly branch: GPUBuffer;
  /** [T, F] */
  readonly gate: GPUBuffer;
  readonly up: GPUBuffer;
  /** q and k before the norms of their heads; null for a model without them. */
  readonly heads: { readonly q: GPUBuffer; readonly k: GPUBuffer } | null;
  /** Pieces of one linear (gpu/programs/tiles.ts); null where none is cut. */
  readonly parts: GPUBuffer | null;
}

/** @throws GureumError "limit" */
export function makeActivations(memory: Memory, config: LlamaConfig, rows: number): ActivationBuffers {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const f32 = (label: string, width: number): GPUBuffer => allocate(memory, label, rows * width * 4);
  const parts = partsBytes(config, memory.gpu.capabilities, rows);
  return {
    rows,
    parts: parts > 0 ? allocate(memory, "parts", parts) : null,
    x: f32("x", D),
    normed: f32("normed", D),
    q: f32("q", H * Hd),
    k: f32("k", G * Hd),
    v: f32("v", G * Hd),
    attention: f32("attention", H * Hd),
    branch: f32("branch", D),
    gate: f32("gate", F),
    up: f32("up", F),
    heads: config.qkNorm ? { q: f32("q before its norm", H * Hd), k: f32("k before its norm", G * Hd) } : null,
  };
}

/** What a recording needs of model and session. */
export interface ForwardContext {
  readonly config: LlamaConfig;
  readonly weights: GpuLlamaWeights;
  readonly sequence: SequenceBuffers;
  readonly a: ActivationBuffers;
  readonly plain: PlainSteps;
  /** Whether the plain steps are those for many rows. */
  readonly many: boolean;
}

/** A session's GPU side: what gpu/model/traced.ts and gpu/model/chain.ts work on. */
export interface GpuSequence {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly context: ForwardContext;
  /** [V] logits of the last position fed */
  readonly logits: GPUBuffer;
}

/**
 * Positions that a cache has room for. A tile of 64 queries may begin anywhere and reach 63 rows past the last position,
 * and its keys come in tiles of 64: what is read there is masked, but must be finite, hence memory of the cache's own.
 */
export const cachePositions = (maxContext: number): number => Math.ceil((maxContext + 63) / 64) * 64;

/** Bytes of one position of a layer's keys, or of its values. */
export const cacheRowBytes = ({ numKeyValueHeads: G, headDim: Hd }: LlamaConfig, dtype: CacheDType): number => G * Hd * cacheBytes[dtype];

/** Positions whose angles the host holds at a time. */
const POSITIONS_AT_ONCE = 4096;

/** RoPE's table on the device, made in parts: as a whole it would be a gigabyte for a context of millions. */
function rotations(memory: Memory, config: LlamaConfig, maxContext: number): GPUBuffer {
  const half = config.headDim / 2;
  const table = allocate(memory, "rope table", 8 * half * maxContext);
  for (let from = 0; from < maxContext; from += POSITIONS_AT_ONCE) {
    const rows = ropeRows(config, from, Math.min(POSITIONS_AT_ONCE, maxContext - from), maxContext);
    writeBytes(memory.gpu, table, 8 * half * from, new Uint8Array(ropeTable(rows).buffer));
  }
  return table;
}

/** @throws GureumError "limit" where the cache of `maxContext` positions does not fit a binding */
export function makeSequence(
  memory: Memory,
  config: LlamaConfig,
  maxContext: number,
  cacheDType: CacheDType,
  chunk: number,
): SequenceBuffers {
  const { numHiddenLayers, numAttentionHeads: H, headDim: Hd } = config;
  if (Hd > maxHeadDim)
    throw new GureumError("limit", {
      where: "attention",
      what: "head_dim",
      expected: `at most ${maxHeadDim}`,
      got: `${Hd}`,
      remedy: "use the CPU backend",
    });
  try {
    const cacheLength = cachePositions(maxContext) * cacheRowBytes(config, cacheDType);
    const caches = (what: string): GPUBuffer[] =>
      Array.from({ length: numHiddenLayers }, (_, i) =>
        allocate(memory, `layers.${i}.${what} cache of ${maxContext} positions`, cacheLength),
      );
    const noted = notedAt(H * Hd);
    const q = allocate(memory, "q", 4 * (noted + 1));
    const [keys, values] = [caches("key"), caches("value")];
    return {
      step: allocate(memory, "step", STEP_BYTES, usage.UNIFORM | usage.STORAGE | usage.COPY_DST | usage.COPY_SRC),
      ids: allocate(memory, "ids", Math.min(chunk, maxContext) * 4),
      ropeTable: rotations(memory, config, maxContext),
      keys,
      values,
      cacheDType,
      q,
      noted: { buffer: q, offset: 4 * noted, size: 4 },
      nothing: allocate(memory, "nothing", 16),
    };
  } catch (error) {
    freeAll(memory);
    throw error;
  }
}
