/** The conformance suite in the worker. It is stopped by ending the worker: rows that are done are in the journal. */
import { runConformance } from "../../conformance/certificate/run.ts";
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
