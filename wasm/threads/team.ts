/** The threads that compute: this one and, where the host has them, workers (control.ts). */
import { GureumError } from "../../core/errors.ts";
import type { HostThreads, HostWorker } from "../../core/threads.ts";
import type { Wasm } from "../host.ts";
import { kernels } from "../kernels/module.ts";
import type { Bank } from "../memory/bank.ts";
import { controlWords, maxArgs, slots, spins, type WorkerMessage, workerProgram } from "./control.ts";

export interface Team {
  readonly threads: number;
  /** The parameters of the next job, the kernel's own ones. */
  readonly args: Int32Array;
  /** A kernel's name by its number. */
  nameOf(kernel: number): string;
  /**
   * Calls a kernel with `args` for all `units`, in chunks of `step`, and returns when all are done; `scratchBytes` for each thread begin
   * at `scratch`. With a step of `units` this thread does it alone.
   * @throws GureumError "worker" where a thread failed
   */
  run(bank: Bank, kernel: number, scratch: number, scratchBytes: number, units: number, step: number): void;
  /** Runs a forward pass: workers are awake while `body` runs. @throws GureumError "worker" where one has died, and what `body` throws */
  pass(body: () => void): void;
  /** Workers learn of a bank, or forget it, at the next pass. */
  announce(bank: Bank): void;
  forget(bank: Bank): void;
  close(): void;
}

/** A kernel's number. */
export const kernelIndex = (name: string): number => kernels.findIndex((kernel) => kernel.name === name);
const names = kernels.map(({ name }) => name);

/** A chunk takes well under a second; a worker that shows nothing for this long is gone. */
const patienceMs = 60_000;

/** Why this thread cannot have workers, or null. */
export function whyAlone(wasm: Wasm): string | null {
  if (!wasm.shared) return "no SharedArrayBuffer (a page needs the headers of cross-origin isolation)";
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return null;
  } catch {
    return "this thread may not wait for others (a page's main thread: run the engine in a worker)";
  }
}

/** A team of `threads`, this one included. */
export function makeTeam(wasm: Wasm, threads: number, host: HostThreads | undefined): Team {
  const workerCount = host && threads > 1 && whyAlone(wasm) === null ? threads - 1 : 0;
  const words = new Int32Array(workerCount > 0 ? new SharedArrayBuffer(4 * controlWords) : new ArrayBuffer(4 * controlWords));
  const args = words.subarray(slots.ARGS, slots.ARGS + maxArgs);
  let made: { id: number; memory: unknown }[] = [];
  let dropped: number[] = [];
  /** Banks that the workers of the running pass know. */
  const known = new Set<number>();
  let failure: GureumError | undefined;
  let passes = 0;
  let running = false;

  const fail = (what: string, got?: string): GureumError => {
    failure ??= new GureumError("worker", {
      where: "cpu threads",
      what,
      ...(got === undefined ? {} : { got }),
      remedy: "load the model again, or run with --threads 1",
    });
    return failure;
  };
  const workers: HostWorker[] = [];
  for (let i = 0; i < workerCount; i++) {
    const worker = host!.start(workerProgram.toString(), (reason) => {
      if (workers.length > 0) fail("a worker ended", reason);
    });
    workers.push(worker);
    const { module } = wasm;
    const control = words.buffer as SharedArrayBuffer;
    worker.post({ kind: "start", control, module, kernels: names, thread: i + 1, slots, spins } satisfies WorkerMessage);
  }

  /** Waits while word `slot` is `value`. */
  const wait = (slot: number, value: number): void => {
    if (Atomics.wait(words, slot, value, patienceMs) === "timed-out") throw fail(`a worker has not answered for ${patienceMs / 1000} s`);
  };

  const runChunk = (bank: Bank, kernel: number, scratch: number, from: number, to: number): void =>
    bank.kernels[names[kernel]!]!(
      scratch,
      from,
      to,
      args[0]!,
      args[1]!,
      args[2]!,
      args[3]!,
      args[4]!,
      args[5]!,
      args[6]!,
      args[7]!,
      args[8]!,
      args[9]!,
      args[10]!,
      args[11]!,
    );

  const join = (chunks: number): void => {
    for (let spin = 0; spin < spins && Atomics.load(words, slots.DONE) < chunks; spin++);
    for (let done = Atomics.load(words, slots.DONE); done < chunks; done = Atomics.load(words, slots.DONE)) wait(slots.DONE, done);
    if (Atomics.load(words, slots.FAILED) === 0) return;
    const text = String.fromCharCode(...words.subarray(slots.MESSAGE + 1, slots.MESSAGE + 1 + words[slots.MESSAGE]!));
    throw fail("a worker failed", text);
  };

  return {
    threads: 1 + workerCount,
    args,
    nameOf: (kernel) => names[kernel]!,
    run(bank, kernel, scratch, scratchBytes, units, step) {
      const chunks = Math.ceil(units / step);
      if (chunks <= 1 || !running || !known.has(bank.id)) {
        runChunk(bank, kernel, scratch, 0, units);
        return;
      }
      words[slots.KERNEL] = kernel;
      words[slots.BANK] = bank.id;
      words[slots.SCRATCH] = scratch;
      words[slots.SCRATCH_BYTES] = scratchBytes;
      words[slots.UNITS] = units;
      words[slots.STEP] = step;
      Atomics.store(words, slots.DONE, 0);
      Atomics.store(words, slots.TICKET, chunks);
      Atomics.add(words, slots.JOB, 1);
      Atomics.notify(words, slots.JOB);
      try {
        for (let left = Atomics.sub(words, slots.TICKET, 1); left > 0; left = Atomics.sub(words, slots.TICKET, 1)) {
          runChunk(bank, kernel, scratch, (left - 1) * step, Math.min(units, left * step));
          Atomics.add(words, slots.DONE, 1);
        }
      } catch (error) {
        Atomics.store(words, slots.TICKET, 0);
        throw fail("a kernel failed", String(error));
      }
      join(chunks);
    },
    pass(body) {
      if (failure) throw failure;
      if (workers.length === 0 || running) {
        body();
        return;
      }
      if (made.length > 0 || dropped.length > 0)
        // A worker still on its way out of the last pass must not take a chunk of a bank that it has not heard of.
        for (let inside = Atomics.load(words, slots.INSIDE); inside > 0; inside = Atomics.load(words, slots.INSIDE))
          wait(slots.INSIDE, inside);
      passes = (passes % 0x3fffffff) + 1;
      Atomics.store(words, slots.TICKET, 0);
      Atomics.store(words, slots.PASS, passes);
      for (const worker of workers) worker.post({ kind: "pass", pass: passes, made, dropped } satisfies WorkerMessage);
      for (const { id } of made) known.add(id);
      made = [];
      dropped = [];
      running = true;
      try {
        body();
      } finally {
        running = false;
        Atomics.store(words, slots.PASS, 0);
        Atomics.add(words, slots.JOB, 1);
        Atomics.notify(words, slots.JOB);
      }
    },
    announce({ id, memory }) {
      if (workers.length > 0) made.push({ id, memory });
    },
    forget({ id }) {
      if (made.some((bank) => bank.id === id)) made = made.filter((bank) => bank.id !== id);
      else if (known.delete(id)) dropped.push(id);
    },
    close() {
      const ended = workers.splice(0);
      for (const worker of ended) worker.terminate();
    },
  };
}
