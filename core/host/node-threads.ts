/** Threads by node:worker_threads, which Node and Deno both have. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { HostThreads } from "../threads.ts";

/**
 * Cores, not threads of cores: on Linux pairs of physical id and core id, elsewhere what the host calls its parallelism; never more than
 * this process may use.
 */
export function physicalCores(): number {
  const usable = availableParallelism();
  try {
    const fields = readFileSync("/proc/cpuinfo", "utf8").matchAll(/^(physical id|core id)\s*:\s*(\d+)/gm);
    const cores = new Set<string>();
    let chip = "0";
    for (const [, field, value] of fields) {
      if (field === "physical id") chip = value!;
      else cores.add(`${chip} ${value}`);
    }
    return cores.size === 0 ? usable : Math.min(usable, cores.size);
  } catch {
    return usable;
  }
}

export const nodeThreads = (): HostThreads => ({
  cores: physicalCores(),
  start(program, onDeath) {
    const text = `const { parentPort } = require("node:worker_threads");
(${program})({ listen: (listener) => parentPort.on("message", listener) });`;
    const worker = new Worker(text, { eval: true });
    let reason = "";
    worker.on("error", (error) => {
      reason = String(error);
    });
    worker.on("exit", (code) => onDeath(reason || `exit code ${code}`));
    worker.unref();
    return {
      post: (message) => worker.postMessage(message),
      terminate: () => void worker.terminate(),
    };
  },
});
