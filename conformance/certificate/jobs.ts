/**
 * Subjects held to their laws in processes of their own, each with its own device, so that several are checked at once.
 */
import { once } from "node:events";
import { GureumError } from "../../core/errors.ts";
import type { Row } from "../check.ts";
import { forkModule } from "../host/fork.ts";
import type { Check, SubjectOptions } from "./subjects.ts";

/** What a process is started with, and what it is then asked, once or more often. It answers with the row. */
export type JobSetup = Pick<SubjectOptions, "backend" | "robustness" | "adapter">;
export interface JobRequest {
  /** Among the subjects that the setup gathers. */
  readonly index: number;
  readonly options: Parameters<Check>[1];
}

/** @returns as many checks, which may run at the same time, and what ends their processes */
export function startJobs(count: number, { backend, robustness, adapter }: JobSetup): { checks: readonly Check[]; stop(): void } {
  const processes = Array.from({ length: count }, () => forkModule("certificate/job", [JSON.stringify({ backend, robustness, adapter })]));
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
    return async (index, options) => {
      const row = once(child, "message");
      child.send({ index, options } satisfies JobRequest);
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
