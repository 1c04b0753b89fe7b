/** A process that checks the subjects it is asked for, one after the other, until its parent ends. */
import process from "node:process";
import type { JobRequest, JobSetup } from "./jobs.ts";
import { checkSubject, gather } from "./subjects.ts";

const { subjects } = await gather(JSON.parse(process.argv[2]!) as JobSetup);
process.on("disconnect", () => process.exit());
process.on("message", async ({ index, options }: JobRequest) => {
  process.send!(await checkSubject(subjects[index]!, options));
});
