/**
 * The mutation score: every mutant of every kernel, in processes that can be ended, and the proofs of those that
 * survive.
 */
import { availableParallelism } from "node:os";
import { GureumError } from "../../core/errors.ts";
import { forkModule } from "../../host/fork.ts";
import { allKernels } from "../host/kernels.ts";
import { mutantsOf } from "./families.ts";
import { published } from "./published.ts";
import { allRules, proofOf, type Rule } from "./rules.ts";
import { type Family, families, type Mutant, mutantName } from "./text.ts";
import type { MutantResult, Verdict } from "./trial.ts";

export interface MutationOptions {
  /** Only the kernel of this name, or those whose name contains it. */
  readonly filter?: string;
  /** Only these kinds of mutants. */
  readonly families?: readonly Family[];
  /** Random cases per law. */
  readonly runs?: number;
  readonly seed?: number;
  readonly onProgress?: (done: number, total: number, what: string) => void;
  /** A survivor without a proof, at once; each kernel's line of the score as soon as its last mutant is through. */
  readonly onLine?: (line: string) => void;
}

/** What became of some mutants. */
export interface Tally {
  readonly killed: number;
  readonly survived: number;
  /** Survivors proven to compute the same. */
  readonly equivalent: number;
  /** Refused by the compiler: no mutants at all. */
  readonly refused: number;
  /** Of kernels that the device does not run. */
  readonly untried: number;
}

export interface MutationScore extends Omit<Tally, "survived" | "equivalent"> {
  readonly mutants: number;
  /** Survivors proven to compute the same, with their proofs. */
  readonly equivalent: readonly { readonly mutant: string; readonly proof: string }[];
  readonly survived: readonly string[];
  /** killed ÷ (killed + survived), all others aside. */
  readonly score: number;
  readonly perFamily: Readonly<Partial<Record<Family, Tally>>>;
  /** Of the published faults, by their names: in how many places each was killed and in how many it survived. */
  readonly perFault: Readonly<Record<string, Tally>>;
  readonly perKernel: Readonly<Record<string, Tally>>;
}

/** A mutant that takes longer than this for one case does not end. */
const PATIENCE_MS = 45_000;
/** Mutants of one kernel that a process tries; as many processes run at once as the machine has cores. */
const CHUNK = 32;

interface Message {
  readonly i: number;
  readonly verdict: Verdict;
  readonly by: string;
}

/** Tries mutants first … end − 1 until the process is through or stuck; gives the index to go on with. */
function tryFrom(
  name: string,
  first: number,
  end: number,
  options: MutationOptions,
  onResult: (message: Message) => void,
): Promise<number> {
  const { runs = 25, seed = 1, families: wanted = families } = options;
  return new Promise((resolve, reject) => {
    let next = first;
    let ready = false;
    const child = forkModule("conformance/mutation/worker", [name, `${first}`, `${end}`, `${runs}`, `${seed}`, JSON.stringify(wanted)]);
    let timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
    child.on("message", (message) => {
      clearTimeout(timer);
      timer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
      ready = true;
      if (!("verdict" in (message as object))) return; // open, or at its next case
      const result = message as Message;
      next = result.i + 1;
      onResult(result);
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (!ready) {
        // Nothing was tried yet: the fault is not the mutant's.
        return reject(
          new GureumError("no-adapter", { where: "--mutate", what: "no process could open a device", got: `exit ${signal ?? code}` }),
        );
      }
      if (next >= end) return resolve(end);
      const ended = signal ? (signal === "SIGKILL" ? "does not end" : `ends the process: ${signal}`) : `ends the process: exit ${code}`;
      onResult({ i: next, verdict: "killed", by: ended });
      resolve(next + 1);
    });
  });
}

/** @throws GureumError "usage" where the filter names no kernel */
export async function mutationScore(options: MutationOptions = {}): Promise<{ score: MutationScore; results: readonly MutantResult[] }> {
  const { filter = "" } = options;
  const [all, rules] = [await allKernels(), await allRules()];
  const exact = all.get(filter);
  const kernels = exact ? [exact] : [...all.values()].filter((k) => k.name.includes(filter));
  if (kernels.length === 0) throw new GureumError("usage", { where: "--mutate", what: "no such kernel", got: filter });
  const plan: { name: string; mutants: Mutant[] }[] = kernels.map((k) => ({ name: k.name, mutants: mutantsOf(k, options.families) }));
  const total = plan.reduce((sum, { mutants }) => sum + mutants.length, 0);
  const verdicts = plan.map(({ mutants }) => new Array<MutantResult>(mutants.length));
  const chunks = plan.flatMap(({ name, mutants }, k) =>
    Array.from({ length: Math.ceil(mutants.length / CHUNK) }, (_, c) => ({ name, mutants, k, first: c * CHUNK })),
  );
  const left = plan.map(({ mutants }) => mutants.length);
  let done = 0;
  const work = async (): Promise<void> => {
    for (let chunk = chunks.shift(); chunk; chunk = chunks.shift()) {
      const { name, mutants, k, first } = chunk;
      const end = Math.min(mutants.length, first + CHUNK);
      for (let at = first; at < end; )
        at = await tryFrom(name, at, end, options, ({ i, verdict, by }) => {
          verdicts[k]![i] = { mutant: mutants[i]!, verdict, by };
          left[k]!--;
          if (verdict === "survived" && proofOf(rules.get(name), mutants[i]!) === undefined)
            options.onLine?.(`survived: ${mutantName(mutants[i]!)}`);
          if (left[k] === 0) for (const line of kernelLines(scoreOf(verdicts[k]!, rules))) options.onLine?.(line);
          options.onProgress?.(++done, total, name);
        });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  const results = verdicts.flat();
  return { score: scoreOf(results, rules), results };
}

const none: Tally = { killed: 0, survived: 0, equivalent: 0, refused: 0, untried: 0 };
const plus = (tally: Tally | undefined, part: keyof Tally): Tally => ({ ...none, ...tally, [part]: (tally ?? none)[part] + 1 });

/** What became of each mutant, counted; survivors that a rule of their kernel proves the same are equivalent. */
export function scoreOf(results: readonly MutantResult[], rules: ReadonlyMap<string, readonly Rule[]>): MutationScore {
  const perKernel: Record<string, Tally> = {};
  const perFamily: Partial<Record<Family, Tally>> = {};
  const perFault: Record<string, Tally> = {};
  const equivalent: { mutant: string; proof: string }[] = [];
  const survived: string[] = [];
  let all = none;
  for (const { mutant, verdict } of results) {
    const proof = verdict === "survived" ? proofOf(rules.get(mutant.kernel), mutant) : undefined;
    const part = proof === undefined ? verdict : "equivalent";
    if (proof !== undefined) equivalent.push({ mutant: mutantName(mutant), proof });
    if (part === "survived") survived.push(mutantName(mutant));
    all = plus(all, part);
    perKernel[mutant.kernel] = plus(perKernel[mutant.kernel], part);
    perFamily[mutant.family] = plus(perFamily[mutant.family], part);
    if (mutant.family === "published") perFault[mutant.operator] = plus(perFault[mutant.operator], part);
  }
  const { killed, refused, untried } = all;
  const score = killed / Math.max(1, killed + all.survived);
  return { mutants: results.length, killed, refused, untried, equivalent, survived, score, perFamily, perFault, perKernel };
}

const kernelLines = ({ perKernel }: MutationScore): string[] =>
  Object.entries(perKernel).map(
    ([name, { killed, survived, equivalent, refused, untried }]) =>
      `${name.padEnd(28)} ${`${killed}`.padStart(4)} killed ${`${survived}`.padStart(3)} survived ${`${equivalent}`.padStart(3)} equivalent ${`${refused}`.padStart(3)} refused${untried > 0 ? ` ${untried} not run here` : ""}`,
  );

/** "from n on: killed 12 of 40: 30.00 %; 3 proven equivalent, 1 refused by the compiler". */
function tallyLine(name: string, { killed, survived, equivalent, refused, untried }: Tally): string {
  const rest = [
    ...(equivalent > 0 ? [`${equivalent} proven equivalent`] : []),
    ...(refused > 0 ? [`${refused} refused by the compiler`] : []),
    ...(untried > 0 ? [`${untried} of kernels that this device does not run`] : []),
  ];
  const share = ((100 * killed) / Math.max(1, killed + survived)).toFixed(2);
  return `${name}: killed ${killed} of ${killed + survived}: ${share} %${rest.length > 0 ? `; ${rest.join(", ")}` : ""}`;
}

/** The published faults, each with its places; how many of them are killed in every place that was tried. */
function faultLines({ perFault }: MutationScore): string[] {
  const tried = published.filter(({ name }) => perFault[name] !== undefined);
  if (tried.length === 0) return [];
  const whole = tried.filter(({ name }) => perFault[name]!.killed > 0 && perFault[name]!.survived === 0);
  return [
    `of the ten faults of arXiv 2606.20128 ${tried.length} have a place here; killed in every place that was tried: ${whole.length}`,
    ...tried.map(({ name, says }) => tallyLine(`  ${name}, ${says}`, perFault[name]!)),
  ];
}

/**
 * The score as text: one line per kernel, each survivor, each kind of mutant, the published faults, the total, each
 * equivalent mutant with its proof.
 */
export function formatScore(s: MutationScore): string {
  const lines = [...kernelLines(s), ...s.survived.map((name) => `survived: ${name}`)];
  for (const family of families) if (s.perFamily[family]) lines.push(tallyLine(family, s.perFamily[family]));
  lines.push(...faultLines(s));
  lines.push(
    `${s.mutants} mutants, ${s.refused} refused by the compiler, ${s.untried} not run here, ${s.equivalent.length} proven equivalent; killed ${s.killed} of ${s.killed + s.survived.length}: ${(100 * s.score).toFixed(2)} %`,
  );
  for (const { mutant, proof } of s.equivalent) lines.push(`equivalent: ${mutant}\n  ${proof}`);
  return lines.join("\n");
}
