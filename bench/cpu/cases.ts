/** The CPU's ops on a model's shapes: what is timed, and what it does. */
import type { LlamaConfig } from "../../core/config.ts";
import { f16Bits } from "../../core/dtype.ts";
import { cacheRows } from "../../core/exact/attention.ts";
import { DOWN_WIDTH, INPUT_WIDTH } from "../../core/exact/forward.ts";
import type { ExactOps } from "../../core/exact/ops.ts";
import { scoreFactor } from "../../core/exact/rope.ts";
import type { CpuOps } from "../../core/model/ops.ts";
import { add } from "../../core/ops/add.ts";
import { embedding } from "../../core/ops/embedding.ts";
import { rope, ropeTables } from "../../core/ops/rope.ts";
import { siluMul } from "../../core/ops/silu-mul.ts";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import type { WasmCpu } from "../../wasm/cpu.ts";
import type { Counts } from "../results.ts";
import { type LinearShape, linearBytes, linearShapes } from "../shapes.ts";
import { makeRandom } from "../statistics.ts";

export interface CpuCase {
  /** The op's file in core/ops. */
  readonly op: string;
  readonly step: string;
  readonly counts: Counts;
  /** There is one implementation, in core/ops. */
  readonly once?: boolean;
  /** Allocates, and gives what is timed; `wasm` is `ops` where they are WebAssembly's. */
  make(ops: CpuOps, wasm?: WasmCpu): () => unknown;
  /** The same in the arithmetic `exact`, where it has the op. */
  makeExact?(ops: ExactOps, wasm?: WasmCpu): () => unknown;
}

/** Keys that attention is measured over, where the model has so many positions. */
const CONTEXT = 2048;

const floats = (length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i));

function words(length: number): Int32Array {
  const random = makeRandom(1);
  const out = new Int32Array(length);
  for (let i = 0; i < length; i++) out[i] = random();
  return out;
}

function awqMatrix({ K, N, groupSize }: LinearShape): AwqMatrix {
  const groups = K / groupSize!;
  return {
    kind: "awq",
    inFeatures: K,
    outFeatures: N,
    groupSize: groupSize!,
    qweight: words((K * N) / 8),
    qzeros: words((groups * N) / 8),
    scales: new Uint16Array(groups * N).fill(0x2000),
  };
}

/** f16 of a normal distribution, σ = 0.02, as weights are: one in some 400 is subnormal. */
function denseMatrix({ K, N }: Pick<LinearShape, "K" | "N">): DenseMatrix {
  const random = makeRandom(1);
  const uniform = (): number => ((random() >>> 0) + 0.5) / 2 ** 32;
  const drawn = Uint16Array.from({ length: 1 << 16 }, () =>
    f16Bits(0.02 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())),
  );
  const data = new Uint16Array(K * N);
  for (let i = 0; i < data.length; i++) data[i] = drawn[random() & 0xffff]!;
  return { kind: "dense", dtype: "F16", inFeatures: K, outFeatures: N, data };
}

/** The matrix where the ops want it: a bank for WebAssembly. */
function placed<M extends AwqMatrix | DenseMatrix>(matrix: M, wasm: WasmCpu | undefined, config: LlamaConfig): M {
  if (!wasm) return matrix;
  const names = matrix.kind === "awq" ? ["qweight", "qzeros", "scales"] : ["data"];
  const arrays = names.map((name) => (matrix as unknown as Record<string, Int32Array | Uint16Array>)[name]!);
  const bytes = arrays.map(({ byteLength }) => byteLength);
  const views = wasm.placeWeights(
    config,
    bytes.reduce((a, b) => a + b),
    bytes.length,
  )(bytes);
  const copies = arrays.map((array, i) => {
    const Type = array.constructor as Int32ArrayConstructor;
    const copy = new Type(views[i]!.buffer, views[i]!.byteOffset, array.length);
    copy.set(array);
    return [names[i]!, copy];
  });
  return { ...matrix, ...Object.fromEntries(copies) };
}

function linearCase(config: LlamaConfig, shape: LinearShape, T: number): CpuCase {
  const { step, K, N, groupSize } = shape;
  return {
    op: groupSize === undefined ? "matmul" : "awq-matmul",
    step,
    counts: { bytes: linearBytes(shape) + T * (K + N) * 4, operations: 2 * T * K * N, arithmetic: "f64" },
    make(ops, wasm) {
      const x = floats(T * K);
      const out = new Float32Array(T * N);
      if (groupSize === undefined) {
        const weight = placed(denseMatrix(shape), wasm, config);
        return () => ops.matmul(out, x, weight, null, T);
      }
      const weight = placed(awqMatrix(shape), wasm, config);
      return () => ops.linear(out, x, { weight, bias: null }, T);
    },
    makeExact(ops, wasm) {
      const x = floats(T * K);
      const out = new Float32Array(T * N);
      const weight = placed(groupSize === undefined ? denseMatrix(shape) : awqMatrix(shape), wasm, config);
      const linear = ops.linear({ weight, bias: null });
      return () => linear(out, x, T, step === "downProj" ? DOWN_WIDTH : INPUT_WIDTH);
    },
  };
}

/** Every op of core/ops that a forward pass calls, for T rows of a model. */
export function cpuCases(config: LlamaConfig, T: number): CpuCase[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, vocabSize: V } = config;
  const start = Math.max(0, Math.min(CONTEXT, config.maxPositionEmbeddings) - T);
  const S = start + T;
  const shape = { H, G, Hd, window: config.slidingWindow };
  const elements = (length: number, moved: number, operations: number): Counts => ({
    bytes: moved * 4 * length,
    operations: operations * length,
    arithmetic: "f64",
  });
  const attentionCounts: Counts = {
    bytes: 2 * (S * G * Hd + T * H * Hd) * 4,
    operations: 4 * H * Hd * (T * start + (T * (T + 1)) / 2),
    arithmetic: "f64",
  };
  return [
    ...linearShapes(config).map((linear) => linearCase(config, linear, T)),
    linearCase(config, { step: "lmHead", K: D, N: V, groupSize: undefined, count: 1 }, T),
    {
      op: "attention",
      step: `S=${S}`,
      counts: attentionCounts,
      make(ops) {
        const { keys, values } = ops.makeCache({ ...config, numHiddenLayers: 1 }, S);
        keys[0]!.set(floats(S * G * Hd));
        values[0]!.set(floats(S * G * Hd));
        const [out, q] = [new Float32Array(T * H * Hd), floats(T * H * Hd)];
        return () => ops.attention(out, q, keys[0]!, values[0]!, start, T, shape);
      },
      makeExact(ops) {
        const [cache] = ops.makeCache({ ...config, numHiddenLayers: 1 }, S);
        cacheRows(cache!, floats(S * G * Hd), floats(S * G * Hd), 0, S, G, Hd);
        const [out, q] = [new Float32Array(T * H * Hd), floats(T * H * Hd)];
        return () => ops.attention(out, q, cache!, start, T, shape, scoreFactor(Hd));
      },
    },
    {
      op: "rms-norm",
      step: "hidden",
      counts: elements(T * D, 2, 4),
      make(ops) {
        const [out, x, weight] = [new Float32Array(T * D), floats(T * D), floats(D)];
        return () => ops.rmsNorm(out, x, weight, config.rmsNormEps, T);
      },
    },
    {
      op: "rope",
      once: true,
      step: "q",
      counts: elements(T * H * Hd, 2, 3),
      make() {
        const [out, x] = [new Float32Array(T * H * Hd), floats(T * H * Hd)];
        const tables = ropeTables(config, S);
        return () => rope(out, x, tables, start, T, H);
      },
    },
    {
      op: "silu-mul",
      once: true,
      makeExact(ops) {
        const [gate, up, fresh] = [new Float32Array(T * F), floats(T * F), floats(T * F)];
        return () => {
          gate.set(fresh);
          ops.siluMul(gate, up);
        };
      },
      step: "ffn",
      counts: elements(T * F, 3, 5),
      make() {
        const [out, gate, up] = [new Float32Array(T * F), floats(T * F), floats(T * F)];
        return () => siluMul(out, gate, up, T * F);
      },
    },
    {
      op: "add",
      once: true,
      step: "hidden",
      counts: elements(T * D, 3, 1),
      make() {
        const [out, a, b] = [new Float32Array(T * D), floats(T * D), floats(T * D)];
        return () => add(out, a, b, T * D);
      },
    },
    {
      op: "embedding",
      once: true,
      step: "embedTokens",
      counts: { bytes: T * D * 6 },
      make() {
        const table = denseMatrix({ K: D, N: V });
        const out = new Float32Array(T * D);
        const ids = Uint32Array.from({ length: T }, (_, i) => (i * 2654435761) % V);
        return () => embedding(out, table, ids);
      },
    },
  ];
}
