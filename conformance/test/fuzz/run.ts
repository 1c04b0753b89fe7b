/**
 * `npm run fuzz -- [--target T] [--time 60s] [--seed N] [--from ROUND] [--replay FILE]`: any bytes to every parser, made from seeds
 * (mutate.ts). Each target runs in a thread that is ended where one input takes more than ten seconds of the processor or half a gigabyte; what is
 * found is kept under finds/ as a file, printed with the line that replays it, and makes the exit code 1.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { parseDuration } from "./duration.ts";
import { makeInput } from "./mutate.ts";
import { targets } from "./targets.ts";
import { tryInput } from "./try.ts";

interface Task {
  readonly name: string;
  readonly seed: number;
  readonly from: number;
  readonly timeMs: number;
  /** [round that runs now, bytes so far in units of 2¹⁰] */
  readonly state: SharedArrayBuffer;
}
interface Ended {
  readonly rounds: number;
  readonly bytes: number;
  readonly wrong: string | null;
}

/** A single input may take so long, and the thread to start. */
const MOST_MS = 10_000;

async function work({ name, seed, from, timeMs, state }: Task): Promise<void> {
  // Most inputs end in an error; where each came from costs more than the parsing.
  Error.stackTraceLimit = 2;
  const shared = new Int32Array(state);
  const end = performance.now() + timeMs;
  let [round, bytes] = [from, 0];
  for (; performance.now() < end; round++) {
    Atomics.store(shared, 0, round);
    const input = makeInput(targets[name]!, seed, round);
    bytes += input.length;
    Atomics.store(shared, 1, Math.floor(bytes / 1024));
    const wrong = await tryInput(name, input);
    if (wrong) return parentPort!.postMessage({ rounds: round - from + 1, bytes, wrong } satisfies Ended);
  }
  parentPort!.postMessage({ rounds: round - from, bytes, wrong: null } satisfies Ended);
}

/** One target until its time ends or something is found. */
function runTarget(task: Omit<Task, "state">): Promise<Ended> {
  const state = new SharedArrayBuffer(8);
  const shared = new Int32Array(state);
  Atomics.store(shared, 0, task.from);
  return new Promise((resolve) => {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      workerData: { ...task, state },
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    // Processor time, which is the worker's: on a busy machine a second of the clock says nothing.
    const spent = (): number => process.cpuUsage().user / 1000;
    let [before, since] = [-1, spent()];
    const watch = setInterval(() => {
      const round = Atomics.load(shared, 0);
      if (round !== before) [before, since] = [round, spent()];
      else if (spent() - since > MOST_MS) finish(`does not end within ${MOST_MS / 1000} s`);
    }, 500);
    const finish = (wrong: string): void => {
      clearInterval(watch);
      void worker.terminate();
      resolve({ rounds: Atomics.load(shared, 0) - task.from + 1, bytes: 1024 * Atomics.load(shared, 1), wrong });
    };
    worker.on("message", (ended: Ended) => {
      clearInterval(watch);
      resolve(ended);
    });
    worker.on("error", (error) => finish(`ends its thread: ${error.message}`));
  });
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      time: { type: "string", default: "60s" },
      seed: { type: "string", default: "1" },
      from: { type: "string", default: "0" },
      replay: { type: "string" },
    },
  });
  const names = values.target ? values.target.split(",") : Object.keys(targets);
  const unknown = names.find((name) => !Object.hasOwn(targets, name));
  if (unknown !== undefined) {
    console.error(`fuzz: no such target: ${unknown} — targets are ${Object.keys(targets).join(", ")}`);
    return 2;
  }
  if (values.replay !== undefined) {
    const wrong = await tryInput(names[0]!, new Uint8Array(readFileSync(values.replay)));
    console.log(wrong ?? "nothing wrong");
    return wrong ? 1 : 0;
  }
  const seed = Number(values.seed);
  const timeMs = parseDuration(values.time) / names.length;
  let found = 0;
  let total = 0;
  for (const name of names) {
    const end = performance.now() + timeMs;
    let from = Number(values.from);
    let [rounds, bytes] = [0, 0];
    while (performance.now() < end) {
      const ended = await runTarget({ name, seed, from, timeMs: end - performance.now() });
      rounds += ended.rounds;
      bytes += ended.bytes;
      from += ended.rounds;
      if (ended.wrong === null) break;
      found++;
      const input = makeInput(targets[name]!, seed, from - 1);
      const folder = fileURLToPath(new URL("./finds/", import.meta.url)).replace("/dist/", "/");
      mkdirSync(folder, { recursive: true });
      const file = `${folder}${name}-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`;
      writeFileSync(file, input);
      console.log(`${name}: ${ended.wrong}\n  npm run fuzz -- --target ${name} --replay ${file}`);
      if (found > 20) break;
    }
    total += bytes;
    console.log(`${name}: ${rounds} inputs, ${bytes} bytes`);
  }
  console.log(`${total} bytes in all, seed ${seed}, ${found} found`);
  return found > 0 ? 1 : 0;
}

if (isMainThread) process.exitCode = await main();
else await work(workerData as Task);
