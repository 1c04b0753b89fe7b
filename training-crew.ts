/** Several threads that train together (core/quant/train): each part of the work is done by one of them, in shared memory. */
import { GureumError } from "./core/errors.ts";
import type { Crew } from "./core/quant/train/train.ts";
import type { Training, Work } from "./core/quant/train/training.ts";
import type { HostThreads, HostWorker } from "./core/threads.ts";

/** What a thread is told. */
export type Order =
  | { readonly kind: "begin"; readonly training: Training }
  | {
      readonly kind: "work";
      /** Threads that are done, 2¹⁶ more for each that failed; length of the last failure's text. */
      readonly control: Int32Array;
      readonly text: Uint8Array;
      readonly me: number;
      readonly threads: number;
      readonly work: Work;
    };

/** Bytes of memory that arrays are cut from. */
const CHUNK_BYTES = 2 ** 26;
const TEXT_BYTES = 4096;
/** Without a sign of life for so long, a thread is taken for lost. */
const PATIENCE_MS = 600_000;

/** A crew of so many threads; the bytes do not depend on how many. */
export function threadCrew(host: HostThreads, threads: number): Crew {
  const built = import.meta.url.endsWith(".ts") ? "./dist/training-worker.js" : "./training-worker.js";
  const url = new URL(built, import.meta.url).href;
  const control = new Int32Array(new SharedArrayBuffer(8));
  const text = new Uint8Array(new SharedArrayBuffer(TEXT_BYTES));
  let chunk = new SharedArrayBuffer(0);
  let used = 0;
  let workers: HostWorker[] = [];
  const program = `(port) => {
  const early = [];
  let hear = (order) => early.push(order);
  port.listen((order) => hear(order));
  import(${JSON.stringify(url)}).then(({ serve }) => serve({ listen: (listener) => { hear = listener; early.forEach(listener); } }));
}`;
  const end = (): void => {
    for (const worker of workers) worker.terminate();
    workers = [];
    chunk = new SharedArrayBuffer(0);
    used = 0;
  };
  return {
    allocate(length) {
      const bytes = Math.ceil((4 * length) / 64) * 64;
      if (used + bytes > chunk.byteLength) {
        chunk = new SharedArrayBuffer(Math.max(bytes, CHUNK_BYTES));
        used = 0;
      }
      used += bytes;
      return new Float32Array(chunk, used - bytes, length);
    },
    begin(training) {
      workers = Array.from({ length: threads }, () => host.start(program, () => {}));
      for (const worker of workers) worker.post({ kind: "begin", training } satisfies Order);
    },
    run(work) {
      Atomics.store(control, 0, 0);
      for (const [me, worker] of workers.entries()) worker.post({ kind: "work", control, text, me, threads, work } satisfies Order);
      for (;;) {
        const done = Atomics.load(control, 0);
        if ((done & 0xffff) === threads) break;
        if (Atomics.wait(control, 0, done, PATIENCE_MS) !== "timed-out") continue;
        end();
        throw new GureumError("worker", { where: "training", what: "a thread does not answer" });
      }
      if (Atomics.load(control, 0) === threads) return;
      const got = new TextDecoder().decode(text.slice(0, control[1]));
      end();
      throw new GureumError("worker", { where: "training", what: "a thread failed", got });
    },
    end,
  };
}
