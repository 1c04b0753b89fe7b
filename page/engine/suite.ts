/** The conformance suite in the worker. It is stopped by ending the worker: rows that are done are in the journal. */
import { replayLine, runConformance } from "../../conformance/certificate/run.ts";
import { BUILD } from "./build.ts";
import { openJournal } from "./journal.ts";
import type { Work } from "./protocol.ts";

export const suite: Work<"suite"> = async ({ backend, filter, timeMs, seed, afresh }, tell) => {
  const journal = await openJournal(afresh);
  try {
    const certificate = await runConformance({
      ...(backend === "both" ? {} : { backend }),
      filter,
      seed,
      ...(timeMs === null ? {} : { timeMs }),
      journal,
      onStart: ({ devices, subjects, finished }) => tell({ kind: "start", devices, total: subjects.length, finished }),
      onRow: (row) => tell({ kind: "row", row }),
      onProgress: (done, total, what) => tell({ kind: "progress", done, total, what }),
    });
    return { ...certificate, commit: BUILD };
  } finally {
    journal.close();
  }
};

/** What people paste: the line alone, or the command around it. */
export function lineOf(pasted: string): string {
  const text = pasted.trim();
  const [, quoted] = /--replay\s+(.*)$/s.exec(text) ?? [];
  const line = (quoted ?? text).trim();
  const [, inside] = /^'(.*)'$/s.exec(line) ?? /^"(.*)"$/s.exec(line) ?? [];
  return (inside ?? line).replaceAll(`'\\''`, "'");
}

export const replayOne: Work<"replay"> = async (pasted) => replayLine(lineOf(pasted));
