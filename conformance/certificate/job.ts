/** A process that checks the subjects it is asked for, one after the other, until its parent ends. */
import process from "node:process";
import { GureumError } from "../../core/errors.ts";
import type { JobAnswer, JobRequest, JobSetup } from "./jobs.ts";
import { checkSubject, gather } from "./subjects.ts";

const { subjects } = await gather(JSON.parse(process.argv[2]!) as JobSetup);
process.on("disconnect", () => process.exit());
process.on("message", async ({ index, options }: JobRequest) => {
  try {
    process.send!({ row: await checkSubject(subjects[index]!, options) } satisfies JobAnswer);
  } catch (error) {
    if (!(error instanceof GureumError)) throw error;
    process.send!({ code: error.code, details: error.details } satisfies JobAnswer);
  }
});
