/**
 * How anything is timed here: warm-up by time and until the times are flat, since clocks rise under load, then rounds in which every competitor takes one sample, so that whatever
 * drifts (clocks, temperature, neighbours) meets all of them alike. A sample is many calls, enough of them to outlast
 * the timer's grain. What a call is and which clock times it is the competitor's own business (gpu-timer.ts,
 * `hostCompetitor`).
 */
import { host } from "#host";
import { listening } from "../core/arguments.ts";
import { GureumError } from "../core/errors.ts";
import { quantileOfSorted } from "../core/eval/statistics.ts";
import { trendOf } from "./statistics.ts";

/**
 * Which clock gave the samples. "host clock" of GPU work runs from submission to the fence, less an empty one's median.
 */
export type TimerName = "gpu timestamps" | "host clock";

/** Something to time. */
export interface Competitor {
  readonly name: string;
  readonly timer: TimerName;
  /** A sample shorter than this says more about the timer than about the work. */
  readonly grainMs: number;
  /** Most calls that one sample may hold. */
  readonly maxCalls: number;
  /** Makes `calls` calls. @returns the milliseconds they took */
  sample(calls: number): Promise<number>;
  /** CPU time of its samples so far, all threads of the process, in milliseconds; for work on the host. */
  cpuMs?(): number;
}

/** The host's clock and nothing else; tests bring their own. */
export interface Clock {
  /** Milliseconds. */
  now(): number;
}
export const hostClock: Clock = { now: () => performance.now() };

/** CPU time of this process so far, all threads, in milliseconds; 0 on a host that does not tell. */
export const processCpuMs = (): number => host.cpuMs?.() ?? 0;

/** As part of a competitor: there where the host tells. */
export const cpuMsBy = (cpuMs: () => number): Pick<Competitor, "cpuMs"> => (host.cpuMs ? { cpuMs } : {});

/** How long something is timed. */
export interface Plan {
  /** Warm-up at least, milliseconds. */
  readonly warmupMs: number;
  /** Rounds at least, whatever they take. */
  readonly minRounds: number;
  /** Rounds at most. */
  readonly maxRounds: number;
  /** No further round once all competitors together took this long. */
  readonly timeMs: number;
  /** The longest that a warm-up goes on until its times neither fall nor rise; absent: they are not looked at. */
  readonly flatMs?: number;
}

/** For GPUs and other hardware whose clocks rise under load. */
export const defaultPlan: Plan = { warmupMs: 50, minRounds: 5, maxRounds: 30, timeMs: 300, flatMs: 3000 };

/** For software devices, where there is little to find out. */
export const shortPlan: Plan = { warmupMs: 20, minRounds: 3, maxRounds: 10, timeMs: 100 };

/** What one competitor's rounds gave. */
export interface Timing {
  readonly name: string;
  readonly timer: TimerName;
  /** Calls in one sample. */
  readonly calls: number;
  /** Milliseconds of one call, in the order they were taken. */
  readonly samplesMs: readonly number[];
  /** CPU time of one call in each of them, all threads together; for work on the host. */
  readonly cpuSamplesMs?: readonly number[];
}

/** Calls that one sample needs, going by what `calls` of them took. */
function neededCalls({ grainMs, maxCalls }: Competitor, calls: number, elapsedMs: number): number {
  const perCall = Math.max(elapsedMs, 1e-6) / calls;
  return Math.max(1, Math.min(maxCalls, Math.ceil(grainMs / perCall)));
}

/** Samples in a row that must be flat. */
const FLAT_SAMPLES = 8;

/**
 * Warm-up until `warmupMs` have passed, the number of calls has settled and, for `flatMs` at most, the last samples are
 * flat. @returns calls a sample
 */
async function warmUp(competitor: Competitor, { warmupMs, flatMs }: Plan, clock: Clock): Promise<number> {
  const started = clock.now();
  let calls = 1;
  // The first call may compile or allocate: it decides nothing.
  await competitor.sample(1);
  const taken: number[] = [];
  for (;;) {
    const ms = await competitor.sample(calls);
    taken.push(ms / calls);
    const needed = neededCalls(competitor, calls, ms);
    const settled = needed <= calls;
    // Grow by steps: one slow first sample must not fix a number that is far too small, nor a fast one a number far too
    // large.
    calls = settled ? needed : Math.min(needed, calls * 16);
    if (!settled) taken.length = 0;
    const elapsed = clock.now() - started;
    if (!settled || elapsed < warmupMs) continue;
    if (flatMs === undefined || elapsed >= flatMs) return calls;
    const last = taken.slice(-FLAT_SAMPLES);
    if (last.length === FLAT_SAMPLES && trendOf(last) === undefined) return calls;
  }
}

/** Told of a measurement on its way: what of `total` is done, in parts of about the same length. */
export type OnMeasured = (done: number, total: number) => void;

/**
 * Times all competitors together: first each is warmed up, a part of the work each, then come the rounds, as many parts again.
 * @throws GureumError "range" where a sample is no number above zero after all, and what the competitors throw
 */
export async function measure(
  competitors: readonly Competitor[],
  plan: Plan = defaultPlan,
  clock: Clock = hostClock,
  onMeasured: OnMeasured = () => {},
): Promise<Timing[]> {
  return listening({ onMeasured }, ["onMeasured"], (heard) => measureInTurns(competitors, plan, clock, heard.onMeasured));
}

async function measureInTurns(competitors: readonly Competitor[], plan: Plan, clock: Clock, onMeasured: OnMeasured): Promise<Timing[]> {
  const parts = competitors.length;
  const calls: number[] = [];
  for (const competitor of competitors) {
    onMeasured(calls.length, 2 * parts);
    calls.push(await warmUp(competitor, plan, clock));
  }
  const samples = competitors.map((): number[] => []);
  const cpuSamples = competitors.map((): number[] => []);
  const started = clock.now();
  for (let round = 0; round < plan.maxRounds; round++) {
    const elapsed = clock.now() - started;
    if (round >= plan.minRounds && elapsed >= plan.timeMs) break;
    const share = Math.max(round / plan.maxRounds, Math.min(round / plan.minRounds, elapsed / plan.timeMs));
    onMeasured(parts + Math.min(1, share) * parts, 2 * parts);
    for (const [i, competitor] of competitors.entries()) {
      const cpuBefore = competitor.cpuMs?.() ?? 0;
      samples[i]!.push((await competitor.sample(calls[i]!)) / calls[i]!);
      if (competitor.cpuMs) cpuSamples[i]!.push((competitor.cpuMs() - cpuBefore) / calls[i]!);
    }
  }
  onMeasured(2 * parts, 2 * parts);
  return competitors.map(({ name, timer, cpuMs }, i) => {
    const taken = samples[i]!;
    if (taken.some((ms) => !(ms >= 0) || !Number.isFinite(ms)) || quantileOfSorted(Float64Array.from(taken).sort(), 0.5) <= 0)
      throw new GureumError("range", {
        where: name,
        what: "the timer gives no time",
        expected: "milliseconds above 0",
        got: taken.join(" "),
      });
    return { name, timer, calls: calls[i]!, samplesMs: taken, ...(cpuMs ? { cpuSamplesMs: cpuSamples[i]! } : {}) };
  });
}

/** A host function as a competitor: calls one after the other, each awaited, under the host's clock. */
export function hostCompetitor(name: string, body: () => unknown, clock: Clock = hostClock): Competitor {
  return {
    name,
    timer: "host clock",
    grainMs: 5,
    maxCalls: 1_000_000,
    async sample(calls) {
      const started = clock.now();
      for (let i = 0; i < calls; i++) {
        const result = body();
        if (result instanceof Promise) await result;
      }
      return clock.now() - started;
    },
  };
}
