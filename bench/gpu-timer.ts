/**
 * Times GPU work: many calls in one compute pass, between two timestamps of the device where it has them, between
 * submission and fence by the host's clock otherwise, less what an empty submission takes. Calls in a pass run one
 * after the other, as the steps of a model do.
 */
import { allocate, free, makeMemory, readRanges, usage } from "../gpu/device/buffer.ts";
import { type Gpu, guarded, waited } from "../gpu/device/device.ts";
import { type PreparedDispatch, replay } from "../gpu/pipeline/recorder.ts";
import { type Clock, type Competitor, hostClock, type TimerName } from "./harness.ts";
import { summarize } from "./statistics.ts";

const QUERY_RESOLVE = 512;

/** Times GPU work on one device. */
export interface GpuTimer {
  /** The device. */
  readonly gpu: Gpu;
  /** Which clock it reads. */
  readonly name: TimerName;
  /** Median of submitting nothing and waiting for it. */
  readonly fenceMs: number;
  /** A sample shorter than this is not trusted. */
  readonly grainMs: number;
  /**
   * Milliseconds that the device takes for what `encode` puts into one compute pass. @throws GureumError as `guarded`
   */
  time(where: string, encode: (pass: GPUComputePassEncoder) => void): Promise<number>;
  /** Frees what it holds of the device. */
  close(): void;
}

/** Fences timed to know what an empty one takes. */
const FENCES = 9;

/** A timer for a device. @param timestamps false: the host's clock even where the device has timestamps */
export async function makeGpuTimer(gpu: Gpu, timestamps: boolean = true, clock: Clock = hostClock): Promise<GpuTimer> {
  const { device } = gpu;
  const fences: number[] = [];
  for (let i = 0; i < FENCES; i++) {
    const started = clock.now();
    device.queue.submit([device.createCommandEncoder().finish()]);
    await waited(gpu, "fence", device.queue.onSubmittedWorkDone());
    fences.push(clock.now() - started);
  }
  const fenceMs = summarize(fences).median;
  if (!timestamps || !gpu.capabilities.features.includes("timestamp-query")) {
    return {
      gpu,
      name: "host clock",
      fenceMs,
      grainMs: Math.max(20, 10 * fenceMs),
      async time(where, encode) {
        const started = await guarded(gpu, where, () => {
          const encoder = device.createCommandEncoder({ label: where });
          const pass = encoder.beginComputePass();
          encode(pass);
          pass.end();
          const commands = encoder.finish();
          const now = clock.now();
          device.queue.submit([commands]);
          return { now, done: device.queue.onSubmittedWorkDone().then(() => clock.now()) };
        });
        return Math.max(0, (await waited(gpu, where, started.done)) - started.now - fenceMs);
      },
      close() {},
    };
  }
  const memory = makeMemory(gpu);
  const querySet = device.createQuerySet({ label: "timestamps", type: "timestamp", count: 2 });
  const ticks = allocate(memory, "timestamps", 16, QUERY_RESOLVE | usage.COPY_SRC);
  return {
    gpu,
    name: "gpu timestamps",
    fenceMs,
    grainMs: 10,
    async time(where, encode) {
      await guarded(gpu, where, () => {
        const encoder = device.createCommandEncoder({ label: where });
        const pass = encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } });
        encode(pass);
        pass.end();
        encoder.resolveQuerySet(querySet, 0, 2, ticks, 0);
        device.queue.submit([encoder.finish()]);
      });
      const [bytes] = await readRanges(gpu, where, [{ buffer: ticks, byteOffset: 0, byteLength: 16 }]);
      const [begin, end] = new BigUint64Array(bytes!);
      return Math.max(0, Number(end! - begin!) / 1e6);
    },
    close() {
      querySet.destroy();
      free(memory, ticks);
    },
  };
}

/** Most dispatches in one pass: beyond it their encoding, from JavaScript, takes longer than it helps. */
const MAX_DISPATCHES = 16384;

/**
 * Prepared dispatches as a competitor. A call is one element of `copies`, which do the same on different operands and
 * take turns, from where the last sample ended. `start`: the position of the first of T rows. `start`: position of the
 * first of the T rows.
 */
export function gpuCompetitor(
  timer: GpuTimer,
  name: string,
  copies: readonly (readonly PreparedDispatch[])[],
  T: number,
  start: number = 0,
): Competitor {
  let turn = 0;
  return {
    name,
    timer: timer.name,
    grainMs: timer.grainMs,
    maxCalls: Math.max(1, Math.floor(MAX_DISPATCHES / Math.max(1, copies[0]!.length))),
    sample: (calls) =>
      timer.time(name, (pass) => {
        for (let i = 0; i < calls; i++) replay(pass, copies[turn++ % copies.length]!, T, start);
      }),
  };
}
