/**
 * A layer's steps on rows of several texts, recorded: products of matrices and what lies between them
 * (forward-kernels.ts). Training and the quantizer's search record them once and replay them.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import type { LinearName } from "../../core/model/layer.ts";
import type { RopeTables } from "../../core/ops/rope.ts";
import { allocate, type Memory, upload, usage } from "../device/buffer.ts";
import { add } from "../kernels/plain/add.ts";
import { embedding } from "../kernels/plain/embedding.ts";
import { joinPieces } from "../kernels/plain/join-pieces.ts";
import { matmulTile64 } from "../kernels/plain/matmul-tile64.ts";
import { rmsNorm } from "../kernels/plain/rms-norm.ts";
import { type Kernel, spread, type Workgroups } from "../pipeline/kernel.ts";
import { type Recorder, record } from "../pipeline/recorder.ts";
import { tilePieces } from "../programs/tiles.ts";
import { encodeStep } from "../wgsl/step.ts";
import { tile64 } from "../wgsl/tile.ts";
import { attend, gate, transpose, turn } from "./forward-kernels.ts";

/** Rows of a text, at most: what `attend` has room for. */
export const LONGEST = 512;

/** @throws GureumError "unsupported" for what these steps lack */
export function checkSteps(config: LlamaConfig, where: string): void {
  const { hiddenSize, intermediateSize, numAttentionHeads: H, numKeyValueHeads: G, headDim } = config;
  const refuse = (what: string): never => {
    throw new GureumError("unsupported", { where, what, remedy: "take --backend cpu" });
  };
  if (config.qkNorm) refuse("norms of heads");
  if (config.slidingWindow !== null) refuse("a sliding window");
  for (const size of [hiddenSize, intermediateSize, H * headDim, G * headDim])
    if (size % 16 !== 0) refuse(`a width of ${size}, which is no multiple of 16`);
}

/** Workgroups of 256 for so many items. */
export const across = (items: number): Workgroups => spread(Math.ceil(items / 256));

/** A weight [N, K] on the device. */
export interface DeviceMatrix {
  readonly N: number;
  readonly K: number;
  readonly W: GPUBuffer;
}
export type DeviceLinears = Readonly<Record<LinearName, DeviceMatrix>>;

/** What the attention makes on its way, and where. */
export type AttentionRoom = Readonly<Record<"q" | "k" | "v" | "mixed", GPUBuffer>>;
/** The same of the feed-forward network. */
export type FeedForwardRoom = Readonly<Record<"gate" | "up" | "act", GPUBuffer>>;

export interface LayerSteps {
  run(r: Recorder, kernel: Kernel, buffers: Record<string, GPUBuffer>, params: Record<string, number>, groups: Workgroups): void;
  /** Rows of a table [V, D] in f32. */
  embed(r: Recorder, to: GPUBuffer, ids: GPUBuffer, table: GPUBuffer, T: number): void;
  /** out [T, N] = x [T, K] · y [N, K]ᵀ; K a multiple of 16. */
  product(r: Recorder, to: GPUBuffer, x: GPUBuffer, y: GPUBuffer, T: number, N: number, K: number): void;
  /** out [C, R] of x [R, C] */
  turned(r: Recorder, to: GPUBuffer, x: GPUBuffer, R: number, C: number): void;
  norm(r: Recorder, to: GPUBuffer, x: GPUBuffer, weight: GPUBuffer, T: number): void;
  /** x += y, so many numbers: T rows of `width`. */
  addTo(r: Recorder, x: GPUBuffer, y: GPUBuffer, T: number, width: number): void;
  /** Heads turned to their row's position in its text, or back (−1). */
  rotate(r: Recorder, first: GPUBuffer, x: GPUBuffer, T: number, heads: number, sign: 1 | -1): void;
  /** What the attention makes of normed rows. */
  attention(r: Recorder, to: GPUBuffer, x: GPUBuffer, linears: DeviceLinears, room: AttentionRoom, first: GPUBuffer, T: number): void;
  feedForward(r: Recorder, to: GPUBuffer, x: GPUBuffer, linears: DeviceLinears, room: FeedForwardRoom, T: number): void;
}

/** Bytes for pieces of products (programs/tiles.ts). */
const PARTS_BYTES = 2 ** 26;

/** @param tables of positions 0 … longest − 1 */
export function makeLayerSteps(memory: Memory, config: LlamaConfig, tables: RopeTables, longest: number): LayerSteps {
  const { gpu } = memory;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, intermediateSize: F } = config;
  const { software } = gpu.capabilities;
  const none = allocate(memory, "none", 16);
  const parts = software ? none : allocate(memory, "parts", PARTS_BYTES);
  const cos = upload(memory, "cos", Float32Array.from(tables.cos));
  const sin = upload(memory, "sin", Float32Array.from(tables.sin));
  const steps = new Map<number, GPUBuffer>();
  const stepOf = (T: number): GPUBuffer => {
    const made = steps.get(T) ?? upload(memory, "step", encodeStep({ T, start: 0, sampled: 0 }), usage.UNIFORM | usage.COPY_DST);
    steps.set(T, made);
    return made;
  };
  /** A kernel with a card, for T rows whatever is replayed. */
  const carded = (
    r: Recorder,
    kernel: Kernel,
    call: { params?: Readonly<Record<string, number>>; workgroups: (T: number, start: number) => Workgroups },
    buffers: Record<string, GPUBuffer>,
    T: number,
  ): void => record<string, string>(r, { ...call, kernel, params: call.params ?? {}, buffers, workgroups: () => call.workgroups(T, 0) });
  const own: Omit<LayerSteps, "attention" | "feedForward"> = {
    run: (r, kernel, buffers, params, groups) => record<string, string>(r, { kernel, buffers, params, workgroups: () => groups }),
    embed(r, to, ids, table, T) {
      const { hiddenSize: D, vocabSize: V } = config;
      const call = embedding.call({ dtype: "F32", D, firstRow: 0, rows: V });
      carded(r, embedding as Kernel, call, { ids, table, out: to }, T);
    },
    product(r, to, x, y, T, N, K) {
      const wanted = software ? 1 : tilePieces(tile64, T, K, N);
      const pieces = wanted * T * N * 4 <= parts.size ? wanted : 1;
      const cut = pieces > 1;
      const call = matmulTile64.call({ dtype: "F32", K, N, firstColumn: 0, columns: N, hasBias: false, pieces });
      carded(r, matmulTile64 as Kernel, call, { step: stepOf(T), x, weight: y, bias: none, out: cut ? parts : to }, T);
      if (!cut) return;
      const joined = joinPieces.call({ N, pieces, hasBias: false });
      carded(r, joinPieces as Kernel, joined, { step: stepOf(T), parts, bias: none, out: to }, T);
    },
    turned: (r, to, x, R, C) => own.run(r, transpose as Kernel, { x, out: to }, { R, C }, [Math.ceil(C / 16), Math.ceil(R / 16), 1]),
    norm: (r, to, x, weight, T) =>
      carded(r, rmsNorm as Kernel, rmsNorm.call({ D: config.hiddenSize, eps }), { step: stepOf(T), x, weight, out: to }, T),
    addTo: (r, x, y, T, width) => carded(r, add as Kernel, add.call({ width }), { step: stepOf(T), x, y }, T),
    rotate: (r, first, x, T, heads, sign) =>
      own.run(r, turn as Kernel, { first, cos, sin, x }, { T, heads, half: Hd / 2, sign }, across((T * heads * Hd) / 2)),
  };
  return {
    ...own,
    attention(r, to, x, linears, { q, k, v, mixed }, first, T) {
      const linear = (name: LinearName, from: GPUBuffer, out: GPUBuffer): void =>
        own.product(r, out, from, linears[name].W, T, linears[name].N, linears[name].K);
      linear("qProj", x, q);
      linear("kProj", x, k);
      linear("vProj", x, v);
      own.rotate(r, first, q, T, H, 1);
      own.rotate(r, first, k, T, G, 1);
      own.run(r, attend as Kernel, { first, q, k, v, out: mixed }, { H, G, Hd, longest }, [T, H, 1]);
      linear("oProj", mixed, to);
    },
    feedForward(r, to, x, linears, { gate: g, up, act }, T) {
      const linear = (name: LinearName, from: GPUBuffer, out: GPUBuffer): void =>
        own.product(r, out, from, linears[name].W, T, linears[name].N, linears[name].K);
      linear("gateProj", x, g);
      linear("upProj", x, up);
      own.run(r, gate as Kernel, { g, u: up, out: act }, { length: T * F }, across(T * F));
      linear("downProj", act, to);
    },
  };
}
