/**
 * The quantizer's search for one layer after the other on a GPU, twin of core/quant/search/quantize-layer.ts in f32 for
 * scales, cuts and plain rounding (`isPlainSearch`): texts, weights, moments and candidates stay on the device. All
 * candidates of a heat are one submission; read back are losses, and in the end the words.
 */
import type { Checkpoint } from "../../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../../core/config.ts";
import { f16Bits, widenFloats } from "../../core/dtype.ts";
import { GureumError, withinAsync } from "../../core/errors.ts";
import { type LinearName, linearParts, type NormName } from "../../core/model/layer.ts";
import type { LayerWeights } from "../../core/model/weights.ts";
import { ropeTables } from "../../core/ops/rope.ts";
import { packNibbles } from "../../core/quant/awq-format.ts";
import type { Streams } from "../../core/quant/search/capture.ts";
import { sumOf } from "../../core/quant/search/gram.ts";
import { f16Scale } from "../../core/quant/search/grid.ts";
import type { LayerSearch } from "../../core/quant/search/layer-search.ts";
import {
  type Fold,
  foldIntoNorm,
  folds,
  inFormerUnits,
  type LinearLoss,
  type QuantizedLayer,
} from "../../core/quant/search/quantize-layer.ts";
import { type Candidate, candidatesOf, heats, leading } from "../../core/quant/search/scale-search.ts";
import { isCut, judgedRows, type Settings } from "../../core/quant/search/stages.ts";
import type { AwqMatrix, DenseMatrix, Linear } from "../../core/tensor.ts";
import { freeAll, makeMemory, readF32, readRanges, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { type PreparedDispatch, prepare, replay } from "../pipeline/recorder.ts";
import { checkSteps, LONGEST, makeLayerSteps } from "../training/layer-steps.ts";
import { CLIP_GROUP } from "./kernels.ts";
import { recordSearch, type SearchRecord, type Segment } from "./records.ts";
import { inputSizes, makeRoom, type Room } from "./search-room.ts";

const DTYPES = { F32: 0, F16: 1, BF16: 2 } as const;

/** @throws GureumError "unsupported" for what the kernels lack */
export function checkSearch({ config, refs }: Pick<Checkpoint, "config" | "refs">, { groupSize }: Settings, longest: number): void {
  const where = "quantizing on WebGPU";
  checkSteps(config, where);
  const refuse = (what: string): never => {
    throw new GureumError("unsupported", { where, what, remedy: "take --backend cpu" });
  };
  if (longest > LONGEST) refuse(`texts of more than ${LONGEST} tokens`);
  if (groupSize > CLIP_GROUP) refuse(`groups of more than ${CLIP_GROUP}`);
  if (refs.layers.some((layer) => linearParts.some(({ name }) => layer[name].bias))) refuse("linears with biases");
}

/** @throws GureumError "non-finite" for the first weight that is no number */
function checkFinite({ data, dtype, inFeatures: K }: DenseMatrix): void {
  const exponent = dtype === "F16" ? 0x7c00 : 0x7f80;
  for (let i = 0; i < data.length; i++) {
    if (dtype === "F32" ? Number.isFinite(data[i]!) : (data[i]! & exponent) !== exponent) continue;
    const got = dtype === "F32" ? data[i]! : widenFloats(Uint16Array.of(data[i]!).buffer, dtype)[0]!;
    throw new GureumError("non-finite", { where: `row ${Math.floor(i / K)}, input ${i % K}`, what: "weight", got: `${got}` });
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

export interface DeviceSearch extends LayerSearch {
  close(): void;
}

/** Of a model and texts that `checkSearch` lets pass. */
export function makeLayerSearch(gpu: Gpu, config: LlamaConfig, settings: Settings): DeviceSearch {
  const memory = makeMemory(gpu);
  const { bits, groupSize, scaleSteps, scaleBoth, clip } = settings;
  const top = 2 ** bits - 1;
  let room: Room;
  let recorded: SearchRecord;
  let dispatches: readonly PreparedDispatch[];

  /** Submits recorded parts, in one pass each; `empty` buffers are zeroed before. */
  const go = (segments: readonly Segment[], empty: readonly GPUBuffer[] = []): Promise<void> =>
    guarded(gpu, "search", () => {
      const encoder = gpu.device.createCommandEncoder();
      for (const buffer of empty) encoder.clearBuffer(buffer);
      for (const { from, to } of segments) {
        const pass = encoder.beginComputePass();
        replay(pass, dispatches.slice(from, to), 1, 0);
        pass.end();
      }
      gpu.device.queue.submit([encoder.finish()]);
    });
  const write = (buffer: GPUBuffer, values: ArrayBufferView, at = 0): void => writeBytes(gpu, buffer, at, bytesOf(values));
  /** Sums of `count` rows for each of so many candidates. */
  const readLosses = async (candidates: number, count: number): Promise<Float32Array[]> => {
    const stride = room.lossStride;
    const all = await readF32(gpu, room.losses, (candidates - 1) * stride + count);
    return Array.from({ length: candidates }, (_, i) => all.subarray(i * stride, i * stride + count));
  };

  /** Puts a layer's weights on the device. */
  const load = async (layer: LayerWeights): Promise<void> => {
    for (const { name } of linearParts)
      await withinAsync(name, async () => {
        const { weight, bias } = layer[name];
        if (weight.kind !== "dense") throw new GureumError("unsupported", { where: name, what: "is quantized already" });
        if (bias) throw new GureumError("unsupported", { where: name, what: "a bias", remedy: "take --backend cpu" });
        checkFinite(weight);
        write(room.staged, weight.data);
        await go([recorded.widened(name, DTYPES[weight.dtype])]);
      });
    for (const name of ["inputLayernorm", "postAttentionLayernorm"] as const) write(room.norms[name], layer[name].slice());
  };

  /** The best of the candidates for the scales of a fold. */
  const search = async (fold: Fold, candidates: readonly Candidate[], K: number): Promise<Candidate> => {
    const own = recorded.folds.get(fold.into)!;
    let left = candidates;
    for (const [h, heat] of heats.entries()) {
      const scales = new Float32Array(left.length * K);
      for (const [i, candidate] of left.entries()) scales.set(candidate.scales, i * K);
      write(room.scales, scales);
      const { before, slots, rows } = own[h]!;
      await go([before, ...slots.slice(0, left.length)]);
      const losses = (await readLosses(left.length, rows)).map(sumOf);
      left = leading(left, losses, heat);
    }
    return left[0]!;
  };

  /** Searches and folds the scales of all linears. */
  const scaleLayer = async (
    layer: LayerWeights,
    norms: Record<NormName, Float32Array>,
  ): Promise<Partial<Record<LinearName, Float32Array>>> => {
    const divisors: Partial<Record<LinearName, Float32Array>> = {};
    const sizes = inputSizes(config);
    const ranges = [...sizes].flatMap(([input, K]) =>
      [room.sums[input], room.magnitudes[input]].map((buffer) => ({ buffer, byteOffset: 0, byteLength: 4 * K })),
    );
    const read = (await readRanges(gpu, "magnitudes", ranges)).map((bytes) => new Float32Array(bytes));
    const means = new Map([...sizes.keys()].map((input, i) => [input, { x: read[2 * i]!, w: read[2 * i + 1]! }] as const));
    for (const fold of folds) {
      const { input, linears, into } = fold;
      if (into === "vProj" && room.linears.vProj.N !== room.linears.oProj.K) continue;
      const K = sizes.get(input)!;
      const rows = linears.reduce((sum, name) => sum + room.linears[name].N, 0);
      const { x, w } = means.get(input)!;
      const candidates = candidatesOf(
        Float64Array.from(x, (sum) => sum / room.tokens),
        Float64Array.from(w, (sum) => sum / rows),
        scaleSteps,
        scaleBoth,
      );
      const { ratio, scales: wanted } = await search(fold, candidates, K);
      if (ratio === null) continue;
      let scales = wanted;
      if (into === "vProj" || into === "upProj") divisors[into] = wanted;
      else {
        const folded = foldIntoNorm(layer[into], wanted);
        norms[into] = folded.norm;
        scales = folded.scales;
      }
      write(room.scales, scales);
      await go([recorded.folded.get(into)!]);
    }
    return divisors;
  };

  /** Errors of the judged rows of a linear, [rows]. */
  const errorsOf = async (name: LinearName, segments: readonly Segment[]): Promise<Float32Array> => {
    await go(segments);
    return (await readLosses(1, room.rows[name].at(-1)!.count))[0]!;
  };

  /** Words of a linear on the grids that were chosen. */
  const pack = async (name: LinearName): Promise<AwqMatrix> => {
    const { N, K } = room.linears[name];
    const groups = K / groupSize;
    await go([recorded.linears.get(name)!.packed]);
    const [words, pairs] = await readRanges(gpu, "words", [
      { buffer: room.words, byteOffset: 0, byteLength: (N * K) / 2 },
      { buffer: room.grids, byteOffset: 0, byteLength: 8 * N * groups },
    ]);
    const grids = new Float32Array(pairs!);
    const scales = new Uint16Array(N * groups);
    const zeros = new Uint8Array(N * groups);
    for (let n = 0; n < N; n++)
      for (let g = 0; g < groups; g++) {
        scales[g * N + n] = f16Bits(f16Scale(grids[2 * (n * groups + g)]!));
        zeros[g * N + n] = grids[2 * (n * groups + g) + 1]!;
      }
    const qweight = new Int32Array(words!);
    return { kind: "awq", outFeatures: N, inFeatures: K, groupSize, qweight, qzeros: packNibbles(zeros), scales };
  };

  /** Ranges and words: with cut ranges where these are better over all, and whole ones else. */
  const roundLinear = async (name: LinearName): Promise<{ weight: AwqMatrix; errors: Float32Array }> => {
    const { whole, cut } = recorded.linears.get(name)!;
    let errors = await errorsOf(name, [whole]);
    if (cut) {
      const others = await errorsOf(name, [cut]);
      if (sumOf(others) <= sumOf(errors)) errors = others;
      else await go([whole]);
    }
    return { weight: await pack(name), errors };
  };

  return {
    async begin(streams: Streams) {
      const longest = Math.max(...streams.map((stream) => stream.length / config.hiddenSize));
      room = makeRoom(memory, config, settings, streams);
      const steps = makeLayerSteps(memory, config, ropeTables(config, longest), longest);
      recorded = recordSearch(steps, room, { top, groupSize, cut: (name) => isCut(name, clip), asymmetric: clip === "asymmetric" });
      dispatches = await prepare(recorded.recorder, memory);
    },
    async move(layer) {
      await load(layer);
      for (const { moved } of recorded.chunks) await go([moved]);
    },
    async quantize(layer, onStep): Promise<QuantizedLayer> {
      await load(layer);
      const inputs = [...inputSizes(config).keys()];
      await go([], [...inputs.map((input) => room.grams[input]), ...inputs.map((input) => room.sums[input])]);
      for (const { captured } of recorded.chunks) await go([captured]);
      // What the report compares with, before anything is scaled.
      const before = new Map<LinearName, { power: number; nearest: number }>();
      for (const { name } of linearParts) {
        const { power, whole } = recorded.linears.get(name)!;
        const measured = { power: sumOf(await errorsOf(name, [power])), nearest: sumOf(await errorsOf(name, [whole])) };
        before.set(name, measured);
      }
      const norms = { inputLayernorm: layer.inputLayernorm, postAttentionLayernorm: layer.postAttentionLayernorm };
      let rows: Partial<Record<LinearName, Float32Array>> = {};
      if (scaleSteps > 0) {
        await go(
          [recorded.magnitudes],
          inputs.map((input) => room.magnitudes[input]),
        );
        rows = await scaleLayer(layer, norms);
      }
      onStep();
      const packed: Partial<Record<LinearName, Linear>> = {};
      const losses: Partial<Record<LinearName, LinearLoss>> = {};
      for (const { name } of linearParts) {
        const { weight, errors } = await withinAsync(name, () => roundLinear(name));
        packed[name] = { weight, bias: null };
        const { power, nearest } = before.get(name)!;
        const { N, K } = room.linears[name];
        const share = (error: number): number => (power > 0 ? error / power : 0);
        losses[name] = {
          nearest: share(nearest),
          quantized: share(inFormerUnits(errors, judgedRows(N, K), rows[name])),
          power,
          sampled: errors.length < N,
        };
        onStep();
      }
      return {
        weights: { ...layer, ...norms, ...(packed as Record<LinearName, Linear>) },
        losses: losses as Record<LinearName, LinearLoss>,
        rows,
      };
    },
    close: () => freeAll(memory),
  };
}
