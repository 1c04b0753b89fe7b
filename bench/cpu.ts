/**
 * The CPU reference's ops on a model's shapes, under tinybench: one core, each op next to the machine's plain Float64Array dot
 * product. The ceiling is what JavaScript multiplies and adds in registers, without SIMD, which it does not have.
 */
import { Bench } from "tinybench";
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import { occursIn } from "../core/names.ts";
import { add } from "../core/ops/add.ts";
import { attentionMix, attentionWeights } from "../core/ops/attention.ts";
import { awqMatmul } from "../core/ops/awq-matmul.ts";
import { embedding } from "../core/ops/embedding.ts";
import { matmul } from "../core/ops/matmul.ts";
import { rmsNorm } from "../core/ops/rms-norm.ts";
import { rope, ropeTables } from "../core/ops/rope.ts";
import { siluMul } from "../core/ops/silu-mul.ts";
import type { AwqMatrix, DenseMatrix } from "../core/tensor.ts";
import { hostClock } from "./harness.ts";
import type { KernelSelection } from "./kernels.ts";
import { type Counts, type Limits, makeRow, type Row } from "./results.ts";
import { type LinearShape, linearBytes, linearShapes } from "./shapes.ts";
import { makeRandom } from "./statistics.ts";

interface CpuCase {
  /** The op's file in core/ops. */
  readonly op: string;
  readonly step: string;
  readonly counts: Counts;
  /** Allocates, and gives what is timed. */
  make(): () => unknown;
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

/** f16 between 2^−7 and 2^−6: none is subnormal. */
function denseMatrix({ K, N }: Pick<LinearShape, "K" | "N">): DenseMatrix {
  const random = makeRandom(1);
  const data = new Uint16Array(K * N);
  for (let i = 0; i < data.length; i++) data[i] = 0x2000 | (random() & 0x3ff);
  return { kind: "dense", dtype: "F16", inFeatures: K, outFeatures: N, data };
}

function linearCase(shape: LinearShape, T: number): CpuCase {
  const { step, K, N, groupSize } = shape;
  return {
    op: groupSize === undefined ? "matmul" : "awq-matmul",
    step,
    counts: { bytes: linearBytes(shape) + T * (K + N) * 4, operations: 2 * T * K * N, arithmetic: "f64" },
    make() {
      const x = floats(T * K);
      const out = new Float32Array(T * N);
      if (groupSize === undefined) {
        const weight = denseMatrix(shape);
        return () => matmul(out, x, weight, null, T);
      }
      const weight = awqMatrix(shape);
      return () => awqMatmul(out, x, weight, null, T);
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
    bytes: (S * G * Hd + T * H * (Hd + S)) * 4,
    operations: 2 * H * Hd * (T * start + (T * (T + 1)) / 2),
    arithmetic: "f64",
  };
  return [
    ...linearShapes(config).map((linear) => linearCase(linear, T)),
    linearCase({ step: "lmHead", K: D, N: V, groupSize: undefined, count: 1 }, T),
    {
      op: "attention-weights",
      step: `S=${S}`,
      counts: attentionCounts,
      make() {
        const [weights, q, k] = [new Float32Array(T * H * S), floats(T * H * Hd), floats(S * G * Hd)];
        const scores = new Float64Array(S);
        return () => attentionWeights(weights, q, 0, k, start, T, shape, scores);
      },
    },
    {
      op: "attention-mix",
      step: `S=${S}`,
      counts: attentionCounts,
      make() {
        const [out, weights, v] = [new Float32Array(T * H * Hd), floats(T * H * S), floats(S * G * Hd)];
        const sums = new Float64Array(Hd);
        return () => attentionMix(out, 0, weights, v, start, T, shape, sums);
      },
    },
    {
      op: "rms-norm",
      step: "hidden",
      counts: elements(T * D, 2, 4),
      make() {
        const [out, x, weight] = [new Float32Array(T * D), floats(T * D), floats(D)];
        return () => rmsNorm(out, x, weight, config.rmsNormEps, T);
      },
    },
    {
      op: "rope",
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
      step: "ffn",
      counts: elements(T * F, 3, 5),
      make() {
        const [out, gate, up] = [new Float32Array(T * F), floats(T * F), floats(T * F)];
        return () => siluMul(out, gate, up, T * F);
      },
    },
    {
      op: "add",
      step: "hidden",
      counts: elements(T * D, 3, 1),
      make() {
        const [out, a, b] = [new Float32Array(T * D), floats(T * D), floats(T * D)];
        return () => add(out, a, b, T * D);
      },
    },
    {
      op: "embedding",
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

const DOT_LENGTH = 1 << 20;

const CEILING = "f64 multiply-add, eight chains";

/** The plain loop that everybody writes, and the ceiling: independent multiply-adds on numbers that stay in registers. */
function dotCases(): { name: string; counts: Counts; make: () => () => unknown }[] {
  const counts: Counts = { bytes: 16 * DOT_LENGTH, operations: 2 * DOT_LENGTH, arithmetic: "f64" };
  return [
    {
      name: "Float64Array dot product, one sum",
      counts,
      make() {
        const a = Float64Array.from({ length: DOT_LENGTH }, (_, i) => 1 + i / 2 ** 21);
        const b = a.slice().reverse();
        return () => {
          let sum = 0;
          for (let i = 0; i < DOT_LENGTH; i++) sum += a[i]! * b[i]!;
          return sum;
        };
      },
    },
    {
      name: CEILING,
      counts: { operations: 2 * DOT_LENGTH, arithmetic: "f64" },
      make: () => () => {
        let s0 = 0.1;
        let s1 = 0.2;
        let s2 = 0.3;
        let s3 = 0.4;
        let s4 = 0.6;
        let s5 = 0.7;
        let s6 = 0.8;
        let s7 = 0.9;
        for (let i = 0; i < DOT_LENGTH; i += 8) {
          s0 = s0 * 0.5 + 0.25;
          s1 = s1 * 0.5 + 0.25;
          s2 = s2 * 0.5 + 0.25;
          s3 = s3 * 0.5 + 0.25;
          s4 = s4 * 0.5 + 0.25;
          s5 = s5 * 0.5 + 0.25;
          s6 = s6 * 0.5 + 0.25;
          s7 = s7 * 0.5 + 0.25;
        }
        return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
      },
    },
  ];
}

/** A sample shorter than this holds several calls. */
const SAMPLE_MS = 1;
/** What was computed, kept so that it has to be. */
const kept: { last: unknown } = { last: undefined };

/** One op under tinybench. */
async function timeCase(name: string, make: () => () => unknown, timeMs: number): Promise<{ calls: number; samplesMs: number[] }> {
  const body = make();
  body();
  const started = hostClock.now();
  kept.last = body();
  const calls = Math.max(1, Math.ceil(SAMPLE_MS / Math.max(hostClock.now() - started, 1e-3)));
  const bench = new Bench({ time: timeMs, warmupTime: timeMs / 4, iterations: 5, warmupIterations: 1, retainSamples: true });
  bench.add(name, () => {
    for (let i = 0; i < calls; i++) kept.last = body();
  });
  const [task] = await bench.run();
  const result = task!.result;
  if (!("latency" in result) || !result.latency.samples) {
    const cause = "error" in result ? result.error : undefined;
    if (cause) throw cause;
    throw new GureumError("no-output", { where: name, what: "tinybench gives no samples", got: result.state });
  }
  return { calls, samplesMs: result.latency.samples.map((ms) => ms / calls) };
}

/**
 * The CPU's rows: its dot products first, whatever the filter, then the ops.
 * @throws GureumError "usage" where nothing matches
 */
export async function measureCpu(
  { shape, rows: sizes, filter = "", variants = [] }: KernelSelection,
  timeMs: number,
  onProgress?: (done: number, total: number) => void,
): Promise<{ limits: Limits; rows: Row[] }> {
  const planned = sizes.flatMap((T) =>
    cpuCases(shape.config, T)
      .map((item) => ({ ...item, name: `${item.op} cpu ${item.step} T=${T} ${shape.name}` }))
      .filter(({ name, op }) => occursIn(filter)(name) && (variants.length === 0 || variants.includes(op))),
  );
  if (planned.length === 0) throw new GureumError("usage", { where: "bench kernels", what: "no op matches" });
  const all = [...dotCases(), ...planned];
  const rows: Row[] = [];
  let limits: Limits = { operationsPerSecond: {} };
  onProgress?.(0, all.length);
  for (const [i, { name, counts, make }] of all.entries()) {
    const timing = { name, timer: "host clock" as const, ...(await timeCase(name, make, timeMs)) };
    const row = makeRow("kernels", timing, counts, limits);
    rows.push(row);
    if (name === CEILING) limits = { operationsPerSecond: { f64: (row.operations! / row.median) * 1e3 } };
    onProgress?.(i + 1, all.length);
  }
  return { limits, rows };
}
