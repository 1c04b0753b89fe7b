/**
 * `npm run bench`: how fast the CPU reference is, next to what the machine's plain Float64Array dot product reaches in the same run.
 * One core; tinybench times, the table gives median and spread.
 */
import { Bench } from "tinybench";
import { openCheckpoint, readWeights } from "../core/checkpoint/weights.ts";
import { greedy } from "../core/generate/sampler.ts";
import { embeddedModelPath } from "../core/host/embedded.ts";
import { directoryStore } from "../core/host/node.ts";
import { cpuModel } from "../core/model/cpu.ts";
import type { AwqMatrix, DenseMatrix } from "../core/model/weights.ts";
import { awqMatmul } from "../core/ops/awq-matmul.ts";
import { matmul } from "../core/ops/matmul.ts";

const K = 4096;
const N = 4096;

/** Any bits will do: time does not depend on them, as long as no number is subnormal, infinite or NaN. */
function words(length: number): Int32Array {
  let state = 1;
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state;
  });
}

const awq: AwqMatrix = {
  kind: "awq",
  inFeatures: K,
  outFeatures: N,
  groupSize: 128,
  qweight: words((K * N) / 8),
  qzeros: words(((K / 128) * N) / 8),
  scales: new Uint16Array((K / 128) * N).fill(0x2000),
};
const dense: DenseMatrix = {
  kind: "dense",
  dtype: "F16",
  inFeatures: K,
  outFeatures: N,
  data: Uint16Array.from(words(K * N), (w) => 0x2000 | (w & 0x3ff)),
};

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const bench = new Bench({ time: 2000, warmupTime: 500 });
/** Multiply-adds of one call, by name; tokens for the model. */
const work = new Map<string, { count: number; unit: string }>();
function add(name: string, count: number, unit: string, body: () => unknown): void {
  work.set(name, { count, unit });
  bench.add(name, body as () => Promise<unknown>);
}

const a = Float64Array.from({ length: 1 << 20 }, (_, i) => 1 + i / 2 ** 21);
const b = a.slice().reverse();
let sink = 0;
add("Float64Array dot product, 1 Mi elements", a.length, "G multiply-adds/s", () => {
  sink += dot(a, b);
});
for (const T of [1, 4, 16]) {
  const x = Float32Array.from({ length: T * K }, (_, i) => Math.sin(i));
  const out = new Float32Array(T * N);
  add(`awq-matmul ${K} x ${N}, g128, T = ${T}`, T * K * N, "G multiply-adds/s", () => awqMatmul(out, x, awq, null, T));
  add(`matmul ${K} x ${N}, f16, T = ${T}`, T * K * N, "G multiply-adds/s", () => matmul(out, x, dense, null, T));
}

const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
const model = cpuModel(checkpoint.config, await readWeights(checkpoint.refs));
await checkpoint.close();
const prompt = Array.from({ length: 64 }, (_, i) => 3 + i * 17);
add("gureum-tiny-awq, prefill of 64 tokens", 64, "tokens/s", async () => {
  const session = model.createSession(64);
  await session.prefill(prompt);
});
const session = model.createSession(1024);
await session.prefill(prompt);
add("gureum-tiny-awq, decode of 16 tokens at 64", 16, "tokens/s", async () => {
  session.truncate(63);
  await session.prefill(prompt.slice(63));
  await session.decode(greedy, 15);
});

await bench.run();
const rows = bench.tasks.map(({ name, result }) => {
  if (!("latency" in result)) throw new Error(`${name}: no result`);
  const { count, unit } = work.get(name)!;
  const { p50, p75, samplesCount } = result.latency;
  const scale = unit === "tokens/s" ? 1e3 : 1e-6;
  return { name, unit, medianMs: p50, upperQuartileMs: p75, samples: samplesCount, rate: (count / p50) * scale };
});
if (!Number.isFinite(sink)) throw new Error("the dot product is not finite");
if (process.argv.includes("--json")) console.log(JSON.stringify(rows));
else
  for (const r of rows)
    console.log(
      `${r.name.padEnd(46)} ${r.rate.toFixed(2).padStart(8)} ${r.unit.padEnd(18)} median ${r.medianMs.toFixed(2)} ms, upper quartile ${r.upperQuartileMs.toFixed(2)} ms, ${r.samples} runs`,
    );
