/** Subjects held to their laws in processes of their own, each with its own device, so that several are checked at once. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { GureumError } from "../core/errors.ts";
import type { Check, ConformanceOptions } from "./run.ts";
import type { CheckOptions, Row } from "./runner.ts";

/** What a process is started with, and what it is then asked, once or more often. It answers with the row. */
export type JobSetup = Pick<ConformanceOptions, "backend" | "robustness">;
export interface JobRequest {
  /** Among the subjects that the setup gathers. */
  readonly index: number;
  readonly options: Pick<CheckOptions, "runs" | "seed" | "timeMs">;
}

/** @returns as many checks, which may run at the same time, and what ends their processes */
export function startJobs(count: number, setup: JobSetup): { checks: readonly Check[]; stop(): void } {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  const processes: ChildProcess[] = Array.from({ length: count }, () =>
    fork(new URL(`./job${extension}`, import.meta.url), [JSON.stringify(setup)], {
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      serialization: "advanced",
    }),
  );
  const checks = processes.map((child): Check => {
    const ended = once(child, "exit").then(([code, signal]): never => {
      throw new GureumError("device-lost", {
        where: "--jobs",
        what: "a process ended before its subject was through",
        got: `${signal ?? `exit ${code}`}`,
        remedy: "run without --jobs to see where",
      });
    });
    ended.catch(() => {}); // reported to whoever waits for a row
    return async (index, { runs, seed, timeMs }) => {
      const row = once(child, "message");
      const request: JobRequest = { index, options: { runs, seed, ...(timeMs === undefined ? {} : { timeMs }) } };
      child.send(request);
      return ((await Promise.race([row, ended])) as [Row])[0];
    };
  });
  return {
    checks,
    stop: () => {
      for (const child of processes) child.kill();
    },
  };
}
