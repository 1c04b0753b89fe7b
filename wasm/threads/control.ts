/**
 * How threads share a kernel call. A job is a kernel, a bank, `units` of work in chunks of `step`, and arguments, written into words that
 * all threads see; each thread takes chunks by counting TICKET down until none is left, so a slow thread takes fewer. Whichever thread
 * computes a unit gives the same bits. A pass is a forward pass: workers wait for its jobs, a moment awake and then by Atomics.wait, and go back
 * to their event loop when it is over, so that an idle engine takes no CPU time.
 */

/** Words of the control block. */
export const slots = {
  /** Grows with each job and at the end of a pass: what waiting workers watch. */
  JOB: 0,
  /** Chunks of the job that nobody has taken. */
  TICKET: 1,
  /** Chunks of the job that are computed. */
  DONE: 2,
  /** Number of the pass, 0 between passes. */
  PASS: 3,
  /** Workers that may take chunks. */
  INSIDE: 4,
  /** A thread that failed, 0 for none. */
  FAILED: 5,
  KERNEL: 6,
  BANK: 7,
  /** Where the threads' scratch begins, and bytes for each. */
  SCRATCH: 8,
  SCRATCH_BYTES: 9,
  UNITS: 10,
  STEP: 11,
  /** The kernel's own parameters. */
  ARGS: 12,
  /** What went wrong: length, then UTF-16 units. */
  MESSAGE: 32,
} as const;
export type Slots = typeof slots;

/** How often a word is looked at before a thread sleeps on it: some tens of microseconds, which waking it takes as well. */
export const spins = 5000;
/** Most parameters that a kernel has of its own. */
export const maxArgs = 12;
export const controlWords = 256;

/** What a worker is told. */
export type WorkerMessage =
  | {
      readonly kind: "start";
      readonly control: SharedArrayBuffer;
      readonly module: unknown;
      readonly kernels: readonly string[];
      readonly thread: number;
      readonly slots: Slots;
      readonly spins: number;
    }
  | {
      readonly kind: "pass";
      readonly pass: number;
      readonly made: readonly { id: number; memory: unknown }[];
      readonly dropped: readonly number[];
    };

/** A worker's end of the connection to whoever started it. */
export interface WorkerPort {
  listen(listener: (message: unknown) => void): void;
}

/**
 * A worker's whole program. It is sent to the worker as text, so it uses nothing but its argument and the language: no import, no constant
 * of this file. A path to a file would have to be right in sources, builds and bundles alike.
 */
export function workerProgram(port: WorkerPort): void {
  type Api = { Instance: new (module: unknown, imports: unknown) => { exports: Record<string, (...args: number[]) => void> } };
  const wasm = (globalThis as unknown as { WebAssembly: Api }).WebAssembly;
  let start: (WorkerMessage & { kind: "start" }) | undefined;
  const banks = new Map<number, Record<string, (...args: number[]) => void>>();

  const work = ({ control, kernels, thread, slots: at, spins }: WorkerMessage & { kind: "start" }, pass: number): void => {
    const words = new Int32Array(control);
    const arg = (i: number): number => words[at.ARGS + i]!;
    Atomics.add(words, at.INSIDE, 1);
    while (Atomics.load(words, at.PASS) === pass) {
      const job = Atomics.load(words, at.JOB);
      for (let left = Atomics.sub(words, at.TICKET, 1); left > 0; left = Atomics.sub(words, at.TICKET, 1)) {
        try {
          const run = banks.get(words[at.BANK]!)![kernels[words[at.KERNEL]!]!]!;
          const from = (left - 1) * words[at.STEP]!;
          const to = Math.min(words[at.UNITS]!, from + words[at.STEP]!);
          const scratch = words[at.SCRATCH]! + thread * words[at.SCRATCH_BYTES]!;
          run(scratch, from, to, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5), arg(6), arg(7), arg(8), arg(9), arg(10), arg(11));
        } catch (error) {
          const text = String(error).slice(0, 200);
          words[at.MESSAGE] = text.length;
          for (let i = 0; i < text.length; i++) words[at.MESSAGE + 1 + i] = text.charCodeAt(i);
          Atomics.store(words, at.FAILED, thread);
        }
        Atomics.add(words, at.DONE, 1);
        Atomics.notify(words, at.DONE);
      }
      // The next job mostly comes within microseconds, sooner than a sleeping thread is woken.
      for (let spin = 0; spin < spins && Atomics.load(words, at.JOB) === job; spin++);
      if (Atomics.load(words, at.PASS) === pass) Atomics.wait(words, at.JOB, job);
    }
    Atomics.sub(words, at.INSIDE, 1);
    Atomics.notify(words, at.INSIDE);
  };

  port.listen((data) => {
    const message = data as WorkerMessage;
    if (message.kind === "start") {
      start = message;
      return;
    }
    for (const { id, memory } of message.made) banks.set(id, new wasm.Instance(start!.module, { env: { memory, exp: Math.exp } }).exports);
    for (const id of message.dropped) banks.delete(id);
    work(start!, message.pass);
  });
}
