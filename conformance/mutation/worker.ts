/**
 * A process that tries mutants one after the other: a mutant may never end, and only the end of its process ends it.
 */
import process from "node:process";
import { openDevice } from "../../gpu/device/device.ts";
import { isLost } from "../check/case.ts";
import { allKernels } from "../host/kernels.ts";
import { mutantsOf } from "./families.ts";
import { allRules, proofOf } from "./rules.ts";
import type { Family } from "./text.ts";
import { tryMutant } from "./trial.ts";

const [name, first, end, runs, seed, families] = process.argv.slice(2) as [string, string, string, string, string, string];
const kernel = (await allKernels()).get(name)!;
let gpu = await openDevice();
const mutants = mutantsOf(kernel, JSON.parse(families) as Family[]);
const rules = (await allRules()).get(name);
process.send!({ ready: true });
let told = 0;
/** The parent ends a process that says nothing for long. */
const onCase = (): void => {
  if (performance.now() < told + 1000) return;
  told = performance.now();
  process.send!({ alive: true });
};
for (let i = Number(first); i < Number(end); i++) {
  const mutant = mutants[i]!;
  // A fault from some n on that is proven out of reach costs all cases of real sizes and tells nothing.
  if (mutant.family === "from n on" && proofOf(rules, mutant) !== undefined) {
    process.send!({ i, verdict: "survived", by: "proven" });
    continue;
  }
  const options = { runs: Number(runs), seed: Number(seed), onCase };
  try {
    const { verdict, by } = await tryMutant(gpu, kernel, mutant, options);
    process.send!({ i, verdict, by });
  } catch (error) {
    if (!isLost(error)) throw error;
    // On a lost device every other mutant would seem noticed.
    process.send!({ i, verdict: "killed", by: "loses the device" });
    gpu = await openDevice();
  }
}
process.exit(0);
