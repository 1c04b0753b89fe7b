/**
 * Weights as the kernels of `exact` read them: loaded as for every other arithmetic, norms and biases brought to values, then dense matrices
 * become fixed rows, digit by digit, on the device (gpu/kernels/exact/exact-digits.ts). What they were stays only where it is the embedding.
 */
import { clean } from "../../core/exact/numbers.ts";
import type { LlamaWeightRefs, WeightTree } from "../../core/model/weights.ts";
import { allocate, free, freeAll, type Memory, makeMemory, readRanges } from "../device/buffer.ts";
import { type Digits, digitBytes, exactDigits } from "../kernels/exact/exact-digits.ts";
import { type ExactScaleBasesShape, exactScaleBases } from "../kernels/exact/exact-scale-bases.ts";
import { unitOf } from "../kernels/layout/awq-repack.ts";
import { makeRecorder, prepare, recordKernel, submit } from "../pipeline/recorder.ts";
import { rowWords } from "../wgsl/dense.ts";
import { goesByColumns } from "../wgsl/exact-columns.ts";
import { packRefusal } from "./packing.ts";
import type { DensePiece, GpuAwq, GpuDense, GpuPacked } from "./tree.ts";
import { loadWeights } from "./weights.ts";

/** Rows firstColumn … firstColumn + N − 1 of a dense matrix as digits, and their exponents. */
export interface ExactPiece {
  readonly firstColumn: number;
  readonly N: number;
  readonly weights: GPUBuffer;
  readonly rowExponents: GPUBuffer;
}
export interface ExactGpuDense {
  readonly kind: "exact-dense";
  readonly K: number;
  readonly N: number;
  readonly pieces: readonly ExactPiece[];
}
/** Repacked, with what gpu/kernels/exact/exact-scale-bases.ts finds in its scales. */
export interface ExactGpuPacked extends GpuPacked {
  readonly bases: GPUBuffer;
  readonly spread: number;
  /** Whether its sums, and those of all linears of its input, fit columns of eight bits (gpu/wgsl/exact-columns.ts). */
  readonly columns: boolean;
}
export interface ExactGpuLinear {
  readonly weight: ExactGpuDense | GpuAwq | ExactGpuPacked;
  readonly bias: GPUBuffer | null;
}
/** Linears of one input as one of all their rows, for the kernels that take them at once; null where they do not lie in one matrix. */
export interface ExactJoined {
  readonly qkv: JoinedLinear | null;
  readonly gateUp: JoinedLinear | null;
}
export interface JoinedLinear {
  readonly weight: ExactGpuPacked;
  readonly bias: GPUBuffer | null;
}
export interface ExactGpuWeights extends Omit<WeightTree<ExactGpuLinear, GpuDense, GPUBuffer>, "lmHead"> {
  readonly lmHead: ExactGpuDense;
  /** Per layer. */
  readonly joined: readonly ExactJoined[];
}

type Loaded = Awaited<ReturnType<typeof loadWeights>>;
const linearsOf = ({ layers }: Loaded): GpuPacked[] =>
  layers
    .flatMap(({ qProj, kProj, vProj, oProj, gateProj, upProj, downProj }) => [qProj, kProj, vProj, oProj, gateProj, upProj, downProj])
    .map(({ weight }) => weight)
    .filter((weight) => weight.kind === "packed");

/** The bases of every repacked matrix, and how far its scales spread, by the buffer of its groups. */
async function scaleBases(
  memory: Memory,
  linears: readonly GpuPacked[],
): Promise<ReadonlyMap<GPUBuffer, Pick<ExactGpuPacked, "bases" | "spread">>> {
  const { gpu } = memory;
  const matrices = new Map<GPUBuffer, ExactScaleBasesShape & { weights: GPUBuffer }>();
  for (const { groups, weights, K, groupSize, unit, firstRow, N } of linears)
    matrices.set(groups, { weights, K, groupSize, unit, rows: Math.max(matrices.get(groups)?.rows ?? 0, firstRow + N) });
  if (matrices.size === 0) return new Map();
  const scratch = makeMemory(gpu);
  try {
    // A word each, where bindings may begin.
    const stride = gpu.capabilities.limits.minStorageBufferOffsetAlignment;
    const spreads = allocate(scratch, "spreads of scales", matrices.size * stride);
    const recorder = makeRecorder();
    const bases = [...matrices].map(([groups, shape], i) => {
      const own = allocate(memory, "bases of scales", shape.rows * 4);
      const spread = { buffer: spreads, offset: i * stride, size: 4 };
      recordKernel(recorder, exactScaleBases, { groups, weights: shape.weights, bases: own, spread }, shape);
      return own;
    });
    await submit(scratch, await prepare(recorder, scratch), 1);
    const [bytes] = await readRanges(gpu, "spreads of scales", [{ buffer: spreads, byteOffset: 0, byteLength: spreads.size }]);
    const words = new Uint32Array(bytes!);
    return new Map([...matrices.keys()].map((groups, i) => [groups, { bases: bases[i]!, spread: words[(i * stride) / 4]! }]));
  } finally {
    freeAll(scratch);
  }
}

/** Where a piece may begin: bindings begin at multiples of 256 bytes, and a row has at least four. */
const ROWS_AT_ONCE = 64;
/** A piece has no more: a dispatch is 65,535 workgroups wide at most, of eight rows each (exact-dense.ts). */
const MOST_ROWS: number = 8 * 65_535;

/** A piece's memory: its own, since dense linears are loaded apart. */
const bufferOf = ({ weight }: DensePiece): GPUBuffer => ("buffer" in weight ? weight.buffer : weight);

/** @throws GureumError as loadWeights */
export async function loadExactWeights(
  memory: Memory,
  refs: LlamaWeightRefs,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<ExactGpuWeights> {
  const { gpu } = memory;
  const packed = packRefusal(gpu.capabilities, refs) === undefined;
  const loaded = await loadWeights(memory, refs, packed ? "int4" : "none", onProgress, unitOf, (values) => values.map(clean));
  const { maxStorageBufferBindingSize, maxBufferSize } = gpu.capabilities.limits;
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const scratch = makeMemory(gpu);
  const nothing = allocate(scratch, "no sums", 16);

  const digits = async ({ K, N, dtype, pieces }: GpuDense, label: string, keep: boolean): Promise<ExactGpuDense> => {
    const perRow = digitBytes(K, 3, 1).digits;
    const rows = Math.max(ROWS_AT_ONCE, Math.floor(Math.min(MOST_ROWS, most / perRow) / ROWS_AT_ONCE) * ROWS_AT_ONCE);
    const stride = rowWords(dtype, K) * 4;
    const out: ExactPiece[] = [];
    const recorder = makeRecorder();
    for (const piece of pieces)
      for (let first = 0; first < piece.N; first += rows) {
        const count = Math.min(rows, piece.N - first);
        const weights = allocate(memory, `${label} digits`, count * perRow);
        const rowExponents = allocate(memory, `${label} exponents`, count * 4);
        const x = { buffer: bufferOf(piece), offset: first * stride, size: Math.ceil((count * stride) / 4) * 4 };
        recordKernel(
          recorder,
          exactDigits,
          { x, digits: weights, sums: nothing, exponents: rowExponents },
          { K, P: 3, dtype, rows: count },
        );
        out.push({ firstColumn: piece.firstColumn + first, N: count, weights, rowExponents });
      }
    await submit(scratch, await prepare(recorder, scratch), 1);
    if (!keep) {
      await gpu.device.queue.onSubmittedWorkDone();
      for (const piece of pieces) free(memory, bufferOf(piece));
    }
    return { kind: "exact-dense", K, N, pieces: out };
  };

  const found = await scaleBases(memory, linearsOf(loaded));
  const linear = async ({ weight, bias }: (typeof loaded)["layers"][number]["qProj"], label: string): Promise<ExactGpuLinear> => {
    if (weight.kind === "dense") return { weight: await digits(weight, label, false), bias };
    return { weight: weight.kind === "packed" ? { ...weight, ...found.get(weight.groups)!, columns: false } : weight, bias };
  };
  const inColumns = (P: Digits, ...linears: ExactGpuLinear[]): ExactGpuLinear[] =>
    linears.every(({ weight }) => weight.kind === "packed" && goesByColumns({ ...weight, P }))
      ? linears.map(({ weight, bias }) => ({ weight: { ...(weight as ExactGpuPacked), columns: true }, bias }))
      : linears;

  const join = (linears: readonly ExactGpuLinear[], label: string): JoinedLinear | null => {
    const { weight: first } = linears[0]!;
    if (first.kind !== "packed") return null;
    let N = 0;
    for (const { weight } of linears) {
      if (weight.kind !== "packed" || weight.weights !== first.weights || weight.firstRow !== first.firstRow + N) return null;
      N += weight.N;
    }
    const weight = { ...first, N };
    if (linears.every(({ bias }) => bias === null)) return { weight, bias: null };
    // A missing bias is zeros: adding them changes nothing.
    const bias = allocate(memory, `${label} bias`, N * 4);
    const encoder = gpu.device.createCommandEncoder();
    let at = 0;
    for (const { weight, bias: part } of linears) {
      if (part) encoder.copyBufferToBuffer(part, 0, bias, at * 4, weight.N * 4);
      at += weight.N;
    }
    gpu.device.queue.submit([encoder.finish()]);
    return { weight, bias };
  };

  try {
    const layers: ExactGpuWeights["layers"][number][] = [];
    const joined: ExactJoined[] = [];
    for (const [i, layer] of loaded.layers.entries()) {
      const at = `layers.${i}.`;
      const [qProj, kProj, vProj] = inColumns(
        3,
        await linear(layer.qProj, `${at}q`),
        await linear(layer.kProj, `${at}k`),
        await linear(layer.vProj, `${at}v`),
      ) as [ExactGpuLinear, ExactGpuLinear, ExactGpuLinear];
      const [oProj] = inColumns(3, await linear(layer.oProj, `${at}o`)) as [ExactGpuLinear];
      const [gateProj, upProj] = inColumns(3, await linear(layer.gateProj, `${at}gate`), await linear(layer.upProj, `${at}up`)) as [
        ExactGpuLinear,
        ExactGpuLinear,
      ];
      const [downProj] = inColumns(4, await linear(layer.downProj, `${at}down`)) as [ExactGpuLinear];
      const loadedLayer = {
        inputLayernorm: layer.inputLayernorm.weight,
        qProj,
        kProj,
        vProj,
        oProj,
        qNorm: layer.qNorm?.weight ?? null,
        kNorm: layer.kNorm?.weight ?? null,
        postAttentionLayernorm: layer.postAttentionLayernorm.weight,
        gateProj,
        upProj,
        downProj,
      };
      layers.push(loadedLayer);
      joined.push({ qkv: join([qProj, kProj, vProj], `${at}qkv`), gateUp: join([gateProj, upProj], `${at}gateUp`) });
    }
    const lmHead = await digits(loaded.lmHead, "lm_head", loaded.lmHead === loaded.embedTokens);
    return { embedTokens: loaded.embedTokens, layers, joined, norm: loaded.norm.weight, lmHead };
  } finally {
    freeAll(scratch);
  }
}
