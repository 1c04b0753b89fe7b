/** The suite for callers whose options nobody checked: the command and the page check theirs. */
import { checkCallback, checkOptionsObject, checkText, type OptionNames, wrongType } from "../../core/arguments.ts";
import type { Certificate } from "./certificate.ts";
import { type ConformanceOptions, runConformance as run } from "./run.ts";

const optionNames: OptionNames<ConformanceOptions> = {
  ...{ backend: true, robustness: true, adapter: true, subjects: true, own: true, ownError: true },
  ...{ filter: true, variant: true, runs: true, seed: true, timeMs: true, jobs: true },
  ...{ journal: true, onStart: true, onRow: true, onProgress: true },
};

/**
 * `runConformance`, its options looked at first: a misspelt one would run more than was meant.
 * @throws GureumError "usage", and as it does
 */
export async function runConformance(options: ConformanceOptions = {}): Promise<Certificate> {
  checkOptionsObject("conformance", options, optionNames);
  const { backend, robustness = true, filter, variant, runs, seed, timeMs, jobs, subjects, own, journal } = options;
  if (backend !== undefined && backend !== "cpu" && backend !== "webgpu" && backend !== "emulated")
    throw wrongType("conformance", "backend", '"cpu", "webgpu" or "emulated"', backend);
  if (typeof robustness !== "boolean") throw wrongType("conformance", "robustness", "true or false", robustness);
  for (const [name, value] of Object.entries({ filter, variant })) if (value !== undefined) checkText("conformance", name, value);
  for (const [name, value] of Object.entries({ subjects, own }))
    if (value !== undefined && !Array.isArray(value)) throw wrongType("conformance", name, "a list", value);
  for (const [name, value, least] of [["runs", runs, 0] as const, ["seed", seed, 0] as const, ["jobs", jobs, 1] as const])
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= least))
      throw wrongType("conformance", name, `a whole number from ${least}`, value);
  if (timeMs !== undefined && !(timeMs > 0)) throw wrongType("conformance", "timeMs", "milliseconds above 0", timeMs);
  if (journal !== undefined && !(typeof journal?.open === "function" && typeof journal.add === "function"))
    throw wrongType("conformance", "journal", "{ open, add }", journal);
  for (const name of ["onStart", "onRow", "onProgress", "ownError"] as const) checkCallback("conformance", name, options[name]);
  return run(options);
}
