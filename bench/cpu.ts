/**
 * The CPU's ops on a model's shapes, in JavaScript and on WebAssembly in turns: wall time, and CPU time, which tells more where others
 * use the machine. Above them the machine's plain Float64Array dot product. The ceiling that shares are of is what JavaScript multiplies
 * and adds in registers, without SIMD, which it does not have; rows of WebAssembly have none.
 */

import { Bench } from "tinybench";
import { host } from "#host";
import { GureumError } from "../core/errors.ts";
import { type ExactOps, referenceExactOps } from "../core/exact/ops.ts";
import { type CpuOps, referenceFixed16Ops, referenceOps } from "../core/model/ops.ts";
import { occursIn } from "../core/names.ts";
import { openWasmCpu, type WasmCpu } from "../wasm/cpu.ts";
import type { CpuOptions } from "../wasm/model.ts";
import { type CpuCase, cpuCases } from "./cpu/cases.ts";
import { CEILING, dotCases } from "./cpu/dot.ts";
import { type Competitor, cpuMsBy, hostCompetitor, measure, type Plan, processCpuMs, type Timing } from "./harness.ts";
import type { KernelSelection } from "./kernels.ts";
import { type Limits, makeRow, type Row } from "./results.ts";

/** One way to compute. */
interface Engine {
  readonly name: string;
  readonly ops: CpuOps;
  /** Steps of the arithmetic `exact`, for an engine that has only these. */
  readonly exact?: ExactOps;
  readonly wasm?: WasmCpu;
  readonly threads: number;
}

/** A sample shorter than this says more about the clock of CPU time than about the work. */
const GRAIN_MS = 20;
/** What was computed, kept so that it has to be. */
const kept: { last: unknown } = { last: undefined };

const timed = (name: string, body: () => unknown): Competitor => ({
  ...hostCompetitor(name, () => {
    kept.last = body();
  }),
  grainMs: GRAIN_MS,
  ...cpuMsBy(processCpuMs),
});

/** A loop with no rival to take turns with, under tinybench: one call per sample, each far longer than the clock's grain. */
async function timeAlone(name: string, body: () => unknown, { timeMs, warmupMs, minRounds }: Plan): Promise<Timing> {
  const bench = new Bench({ time: timeMs, warmupTime: warmupMs, iterations: minRounds, warmupIterations: 1, retainSamples: true });
  bench.add(name, () => {
    kept.last = body();
  });
  const [task] = await bench.run();
  const result = task!.result;
  if (!("latency" in result) || !result.latency.samples) {
    const cause = "error" in result ? result.error : undefined;
    if (cause) throw cause;
    throw new GureumError("no-output", { where: name, what: "tinybench gives no samples", got: result.state });
  }
  return { name, timer: "host clock", calls: 1, samplesMs: result.latency.samples };
}

/** A competitor whose calls lie within a forward pass, so that workers are awake, as in a model. */
function competitorOf(name: string, { ops, exact, wasm }: Engine, item: CpuCase): Competitor {
  const body = exact ? item.makeExact!(exact, wasm) : item.make(ops, wasm);
  const whole = timed(name, body);
  return {
    ...whole,
    async sample(calls) {
      let result = Promise.resolve(0);
      ops.pass(() => {
        result = whole.sample(calls);
      });
      return result;
    },
  };
}

/** JavaScript, and WebAssembly where the host runs it. */
async function engines(threads: number | undefined): Promise<Engine[]> {
  const found: Engine[] = [
    { name: "javascript", ops: referenceOps, threads: 1 },
    { name: "javascript-fixed16", ops: referenceFixed16Ops, threads: 1 },
    { name: "javascript-exact", ops: referenceOps, exact: referenceExactOps, threads: 1 },
  ];
  for (const arithmetic of ["f64", "fixed16"] as const) {
    const wasm = await openWasmCpu({ arithmetic, host: host.threads(), ...(threads === undefined ? {} : { threads }) });
    if ("refusal" in wasm) continue;
    found.push({ name: arithmetic === "f64" ? "wasm" : "wasm-fixed16", ops: wasm, wasm, threads: wasm.threads });
    if (arithmetic === "f64") found.push({ name: "wasm-exact", ops: wasm, exact: wasm.exact, wasm, threads: wasm.threads });
  }
  return found;
}

/**
 * The CPU's rows: its dot products first, whatever the filter, then the ops, each by every engine in turns.
 * @throws GureumError "usage" where nothing matches
 */
export async function measureCpu(
  { shape, rows: sizes, filter = "", variants = [] }: KernelSelection,
  plan: Plan,
  { threads }: Pick<CpuOptions, "threads"> = {},
  onProgress?: (done: number, total: number) => void,
): Promise<{ limits: Limits; rows: Row[] }> {
  const all = await engines(threads);
  try {
    const planned = sizes.flatMap((T) =>
      cpuCases(shape.config, T).map((item) => ({
        item,
        runs: all
          .filter(({ name }) => !name.endsWith("fixed16") || item.op === "awq-matmul")
          .filter(({ name, exact }) => !item.once || name === "javascript" || exact)
          .filter(({ exact }) => !exact || item.makeExact)
          .map((engine) => ({ engine, name: `${item.op} ${engine.name} ${item.step} T=${T} ${shape.name}` }))
          .filter(
            ({ engine, name }) =>
              occursIn(filter)(name) && (variants.length === 0 || variants.some((v) => v === item.op || v === engine.name)),
          ),
      })),
    );
    const groups = planned.filter(({ runs }) => runs.length > 0);
    if (groups.length === 0)
      throw new GureumError("usage", {
        where: "bench kernels",
        what: "no op matches",
        remedy: "give less of --filter and --variant: without them every op is measured",
      });
    const rows: Row[] = [];
    let limits: Limits = { operationsPerSecond: {} };
    const dots = dotCases();
    const total = dots.length + groups.length;
    onProgress?.(0, total);
    for (const { name, counts, make } of dots) {
      const row = makeRow("kernels", await timeAlone(name, make(), plan), counts, limits, { threads: 1 });
      rows.push(row);
      if (name === CEILING) limits = { operationsPerSecond: { f64: (row.operations! / row.median) * 1e3 } };
      onProgress?.(rows.length, total);
    }
    for (const [i, { item, runs }] of groups.entries()) {
      const timings = await measure(
        runs.map(({ engine, name }) => competitorOf(name, engine, item)),
        plan,
      );
      for (const [j, timing] of timings.entries()) {
        const { threads: count, wasm } = runs[j]!.engine;
        rows.push(makeRow("kernels", timing, item.counts, wasm ? { operationsPerSecond: {} } : limits, { threads: count }));
      }
      onProgress?.(dots.length + i + 1, total);
    }
    return { limits, rows };
  } finally {
    for (const { ops } of all) ops.dispose();
  }
}
