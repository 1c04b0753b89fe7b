/** `gureum conformance`: holds every op and kernel on this machine to its laws and derived bounds. */
import { join } from "node:path";
import { csvLines, leftOutLines, markdownLines, type TableLines, tableLines, violations } from "../conformance/certificate/certificate.ts";
import { encodeNumbers } from "../conformance/certificate/journal.ts";
import { reportHtml } from "../conformance/certificate/report.ts";
import { replayLine, runConformance } from "../conformance/certificate/run.ts";
import { type Row, replayCommand } from "../conformance/check.ts";
import { fileJournal } from "../conformance/host/file-journal.ts";
import { readOwnFiles } from "../conformance/host/own-file.ts";
import { formatScore, mutationScore } from "../conformance/mutation/score.ts";
import { families } from "../conformance/mutation/text.ts";
import { OWN } from "../conformance/own/subjects.ts";
import { makeFolder } from "../core/host/folders.ts";
import { checkWritable, writeFile } from "../core/host/write.ts";
import { formatOf } from "./format.ts";
import { adapterFromWords, adapterHelp, adapterOptions } from "./options.ts";
import { claimOutput } from "./outputs.ts";
import { ownOptions } from "./own.ts";
import { progressBar } from "./progress.ts";
import { note, printJson, printLine } from "./terminal.ts";
import { type Command, parseTime, parseWords, refuseIdle, refuseOthers, usage, type Words } from "./words.ts";

/** What --quick takes: long enough to meet every variant on a GPU. */
const QUICK_MS = 30_000;

/** What --report writes. */
const reportFiles = ["certificate.json", "report.html"] as const;

const wholeNumber = (name: string, value: number | undefined, least: number): number | undefined => {
  if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= 0xffffffff))
    throw usage("conformance", `--${name} takes a whole number from ${least} on, got ${value}`);
  return value;
};

async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, (sink) => sink(new TextEncoder().encode(text)));
}

/**
 * Plants faults and says how many the laws noticed. @returns 1 where one survives without a proof that it computes the
 * same
 */
async function mutate(words: Words): Promise<number> {
  const format = words.flag("json") ? "json" : formatOf("conformance", words);
  if (format !== "json" && format !== "table") throw usage("conformance", "--mutate prints a table or json");
  refuseOthers("conformance", words, ["mutate", "filter", "runs", "seed", "family", "json", "format"], "is not for --mutate");
  const filter = words.text("filter");
  const runs = wholeNumber("runs", words.number("runs"), 1);
  const seed = wholeNumber("seed", words.number("seed"), 0);
  const wanted = words.list("family").map((word) => {
    const family = families.find((name) => name === word);
    if (!family) throw usage("conformance", `--family is ${families.join(", ")}, got ${JSON.stringify(word)}`);
    return family;
  });
  const { score } = await mutationScore({
    ...(wanted.length > 0 ? { families: wanted } : {}),
    ...(filter === undefined ? {} : { filter }),
    ...(runs === undefined ? {} : { runs }),
    ...(seed === undefined ? {} : { seed }),
    onProgress: progressBar("planting"),
    onLine: note,
  });
  if (format === "json") await printJson(score);
  else await printLine(formatScore(score));
  return score.survived.length > 0 ? 1 : 0;
}

/** @returns 0 where every law holds, 1 where one is violated; wrong usage is thrown as GureumError "usage" (exit 2) */
export async function conformanceCommand(args: string[]): Promise<number> {
  const words = parseWords(
    "conformance",
    args,
    {
      backend: { type: "string" },
      filter: { type: "string" },
      variant: { type: "string" },
      runs: { type: "string" },
      seed: { type: "string" },
      time: { type: "string" },
      jobs: { type: "string" },
      quick: { type: "boolean" },
      out: { type: "string" },
      report: { type: "string" },
      replay: { type: "string" },
      with: { type: "string", multiple: true },
      ...adapterOptions,
      "no-robustness": { type: "boolean" },
      mutate: { type: "boolean" },
      family: { type: "string", multiple: true },
      json: { type: "boolean" },
      format: { type: "string" },
    },
    0,
  );
  if (words.flag("json")) refuseIdle("conformance", words, ["format"], "and --json both say what is printed: give one of them");
  if (words.flag("mutate")) return mutate(words);
  if (words.list("family").length > 0) throw usage("conformance", "--family goes with --mutate");
  const files = await readOwnFiles(words.list("with"));
  const own = ownOptions(files);
  const line = words.text("replay");
  const adapter = adapterFromWords(words);
  if (line !== undefined) {
    refuseOthers("conformance", words, ["replay", "with", "adapter"], "is not for --replay, whose line says all");
    const failure = await replayLine(line, { ...own, ...adapter });
    await printLine(failure ? `violated: ${failure.law}: ${failure.message}` : "holds");
    return failure ? 1 : 0;
  }
  const backend = words.text("backend");
  if (backend !== undefined && backend !== "cpu" && backend !== "webgpu" && backend !== "emulated")
    throw usage("conformance", `--backend is cpu, webgpu or emulated, got ${JSON.stringify(backend)}`);
  if (backend === "cpu") refuseIdle("conformance", words, ["adapter", "no-robustness"], "is WebGPU's: not with --backend cpu");
  if (files.length > 0 && backend !== undefined && backend !== "webgpu")
    throw usage("conformance", `--with runs kernels on WebGPU, not with --backend ${backend}`);
  const filter = words.text("filter");
  const variant = words.text("variant");
  const runs = wholeNumber("runs", words.number("runs"), 1);
  const seed = wholeNumber("seed", words.number("seed"), 0);
  const asked = parseTime("conformance", words);
  if (words.flag("quick") && asked !== undefined) throw usage("conformance", "give --quick or --time, not both");
  const timeMs = words.flag("quick") ? QUICK_MS : asked;
  const out = words.text("out");
  const format = words.flag("json") ? "json" : formatOf("conformance", words);
  const jobs = wholeNumber("jobs", words.number("jobs"), 1);
  const report = words.text("report");
  // Before the work, whose result they are to hold.
  if (report !== undefined) {
    await makeFolder(report);
    for (const name of reportFiles) await checkWritable(join(report, name));
  }
  const bar = progressBar("checking");
  // Rows are printed as they come, each before the next.
  let printed: Promise<void> = Promise.resolve();
  let lines: TableLines | undefined;
  const say = (line: string): void => {
    if (format === "json") return;
    printed = printed.then(() => printLine(line));
    printed.catch(() => {}); // reported at the end
  };
  const showRow = (row: Row): void => {
    say(lines!.line(row));
    for (const failure of row.failures) {
      note(`${row.op} on ${row.backend}/${row.variant} violates: ${failure.law}`);
      note(`  ${failure.message}`);
      note(`  ${replayCommand(failure, row.backend === OWN ? words.list("with").flatMap((path) => ["--with", path]) : [])}`);
    }
  };
  const release = out === undefined ? undefined : await claimOutput(out);
  const certificate = await runConformance({
    ...own,
    ...(backend ? { backend } : {}),
    ...(filter === undefined ? {} : { filter }),
    ...(variant === undefined ? {} : { variant }),
    ...(runs === undefined ? {} : { runs }),
    ...(seed === undefined ? {} : { seed }),
    ...(timeMs === undefined ? {} : { timeMs }),
    ...(out === undefined ? {} : { journal: fileJournal(out) }),
    ...(jobs === undefined ? {} : { jobs }),
    robustness: !words.flag("no-robustness"),
    ...adapter,
    onStart({ devices, subjects, finished }) {
      lines = format === "csv" ? csvLines : format === "markdown" ? markdownLines : tableLines(subjects);
      for (const { implementation, description, vendor } of devices) {
        const line = `${implementation}: ${[vendor, description].filter(Boolean).join(" ")}`;
        if (format === "table") say(line);
        else note(line);
      }
      if (finished.length > 0) note(`${finished.length} of ${subjects.length} are in ${out} already`);
      say(lines.header);
      for (const row of finished) showRow(row);
    },
    onRow: async (row) => {
      showRow(row);
      await printed;
    },
    onProgress: (done, total, what, violated) => bar(done, total, `${done}/${total} ${what}${violated ? `, ${violated} violated` : ""}`),
  }).finally(() => release?.());
  await printed;
  if (format === "json") await printLine(encodeNumbers(certificate));
  for (const line of leftOutLines(certificate.rows)) note(line);
  if (report !== undefined) {
    const texts = [`${encodeNumbers(certificate, 1)}\n`, reportHtml(certificate)];
    for (const [i, name] of reportFiles.entries()) await writeText(join(report, name), texts[i]!);
  }
  return violations(certificate) > 0 || certificate.rows.every(({ cases }) => cases === 0) ? 1 : 0;
}

export const conformance: Command = {
  help: `usage: gureum conformance [options]

Holds every CPU op, and every GPU kernel where an adapter answers, to its laws: results within bounds derived from the data,
relations between results, every output written and nothing else. A violation is shrunk and printed with a line that replays it.
Rows are printed as they come. Exit code 1 where a law is violated, or where nothing at all was run.

  --backend cpu|webgpu        only these (default: both, where there is an adapter); emulated: the kernels that ask for subgroups of
                              32 or their matrices, on a device without, by functions of plain WGSL in their place
  --filter PATTERN            only ops and variants whose "op backend/variant" contains PATTERN (* stands for anything)
  --variant NAME              only this variant
  --quick                     30 seconds: a first look at a GPU; the same as --time 30s
  --runs N                    random cases per law (default 100)
  --seed S                    seed of the cases (default 1)
  --time 60s                  this long in all (s, m or h) instead of a number of cases: boundary cases and random ones are planned
                              within it, and what was left out is said
  --jobs N                    check N subjects at once, each in a process with a device of its own (default 1)
  --out FILE                  keep each row there as it comes; the same command again goes on after an interruption
  --report DIR                write certificate.json and report.html there
  --with FILE                 a kernel of one's own (.js, .mjs; .ts where the host reads it), beside gureum's of the same op; may be repeated
  --replay LINE               run the one case of a line that a violation printed
  --mutate                    plant faults in the kernels (those whose name contains --filter) one at a time and report the share
                              that the laws notice; exit code 1 where one survives that is not proven to compute the same
  --family NAME               with --mutate: only edits, "from n on" (faults that act from a size on) or published (faults that others
                              defined); may be repeated
${adapterHelp}
  --no-robustness             Dawn without bounds checks, as some engines run it
  --format F                  what is printed: table, markdown, csv (numbers in full) or json (default: table)
  --json                      print the certificate; the same as --format json`,
  run: conformanceCommand,
};
