/** `--stats`: where the time of a generation went, on the GPU and before it. */
import type { GpuStats, LoadedModel } from "../index.ts";

/** Milliseconds of one part of a run. */
export interface PartStats extends Omit<GpuStats, "gpuMs"> {
  /** The device's own time in compute passes; null where it has no timestamps. */
  readonly gpuMs: number | null;
  /** What the host spent in the engine beyond encoding and submitting: nearly all of it waiting for the device. */
  readonly waitMs: number;
  readonly dispatchesPerPass: number;
}

/** Of a generation. A decoded token is one pass; some tokens are computed ahead and not used. */
export interface RunStats {
  /** null where prompt and tokens were not fed apart (--logprobs). */
  readonly prefill: PartStats | null;
  readonly decode: PartStats;
}

export interface Stopwatch {
  /** Runs `body`, counting its time as the engine's. */
  time<T>(body: () => Promise<T>): Promise<T>;
  /** The prompt is fed; called within `time`. */
  endPrefill(): Promise<void>;
  /** null where the model counts nothing. */
  take(): Promise<RunStats | null>;
}

export function makeStopwatch(model: LoadedModel): Stopwatch {
  let engineMs = 0;
  let entered = 0;
  let prefill: PartStats | null = null;
  const part = async (): Promise<PartStats | null> => {
    const counted = await model.takeStats();
    if (!counted) return null;
    const { gpuMs = null, encodeMs, submitMs, dispatches, passes, submissions } = counted;
    const waitMs = Math.max(0, engineMs - encodeMs - submitMs);
    engineMs = 0;
    const dispatchesPerPass = passes === 0 ? 0 : dispatches / passes;
    return {
      gpuMs: gpuMs && round(gpuMs),
      encodeMs: round(encodeMs),
      submitMs: round(submitMs),
      waitMs: round(waitMs),
      submissions,
      passes,
      dispatches,
      dispatchesPerPass: round(dispatchesPerPass),
    };
  };
  return {
    async time(body) {
      entered = performance.now();
      try {
        return await body();
      } finally {
        engineMs += performance.now() - entered;
      }
    },
    async endPrefill() {
      engineMs += performance.now() - entered;
      prefill = await part();
      entered = performance.now();
    },
    async take() {
      const decode = await part();
      return decode && { prefill, decode };
    },
  };
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
const ms = (value: number | null): string => (value === null ? "no timestamps" : `${value.toFixed(1)} ms`);

/** Lines for a person. */
export function* formatStats(stats: RunStats | null): Generator<string> {
  if (!stats) yield "stats: the CPU reference has no GPU work to count";
  else
    for (const name of ["prefill", "decode"] as const) {
      const part = stats[name];
      if (part)
        yield `${name}: gpu ${ms(part.gpuMs)}, encode ${ms(part.encodeMs)}, submit ${ms(part.submitMs)}, wait ${ms(part.waitMs)}; ${part.submissions} submissions, ${part.passes} passes of ${part.dispatchesPerPass.toFixed(1)} dispatches`;
    }
}
