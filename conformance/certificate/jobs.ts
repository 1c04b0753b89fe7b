/**
 * Subjects held to their laws in processes of their own, each with its own device, so that several are checked at once.
 */
import { host } from "#host";
import { type ErrorCode, type ErrorParts, GureumError } from "../../core/errors.ts";
import type { Row } from "../check.ts";
import type { Check, SubjectOptions } from "./subjects.ts";

/** What a process is started with, and what it is then asked, once or more often. */
export type JobSetup = Pick<SubjectOptions, "backend" | "robustness" | "adapter">;
export interface JobRequest {
  /** Among the subjects that the setup gathers. */
  readonly index: number;
  readonly options: Parameters<Check>[1];
}
/** The row, or the error that ended the check. */
export type JobAnswer = { readonly row: Row } | { readonly code: ErrorCode; readonly details: ErrorParts };

/**
 * @returns as many checks, which may run at the same time, and what ends their processes
 * @throws GureumError "unsupported" where the host has no processes
 */
export function startJobs(count: number, { backend, robustness, adapter }: JobSetup): { checks: readonly Check[]; stop(): void } {
  const { fork } = host;
  if (!fork) throw new GureumError("unsupported", { where: "--jobs", what: "a browser has no processes", remedy: "leave jobs out" });
  const setup = JSON.stringify({ backend, robustness, adapter });
  const processes = Array.from({ length: count }, () => fork("conformance/certificate/job", [setup]));
  const checks = processes.map(
    (child): Check =>
      async (index, options) => {
        const answer = (await child.ask({ index, options } satisfies JobRequest).catch((ended: unknown): never => {
          throw new GureumError("device-lost", {
            where: "--jobs",
            what: "a process ended before its subject was through",
            got: String(ended),
            remedy: "run without --jobs to see where",
          });
        })) as JobAnswer;
        if ("row" in answer) return answer.row;
        throw new GureumError(answer.code, answer.details);
      },
  );
  return {
    checks,
    stop: () => {
      for (const child of processes) child.kill();
    },
  };
}
