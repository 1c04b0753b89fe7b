/** Tables of the documents, from certificates, mutation scores and the kernels' own records. */
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { variants } from "../../../gpu/programs/plan.ts";
import { variantSteps } from "../../../gpu/programs/steps.ts";
import type { Certificate } from "../../certificate/certificate.ts";
import type { Row } from "../../check.ts";

const markdown = (header: readonly string[], rows: readonly (readonly string[])[]): string =>
  [header, header.map(() => "---"), ...rows.map((row) => row.map((cell) => cell.replaceAll("|", "\\|")))]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");

/** Rows of all tables of a page, without their heads, with the section they stand in. */
export function rowsOf(text: string): { readonly section: string; readonly cells: readonly string[] }[] {
  let section = "";
  const rows: { section: string; cells: readonly string[] }[] = [];
  const lines = text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.startsWith("## ")) section = line.slice(3);
    if (!line.startsWith("| ") || lines[i + 1]?.startsWith("|---")) continue;
    const cells = line.split("|").slice(1, -1);
    rows.push({ section, cells: cells.map((cell) => cell.trim()) });
  }
  return rows;
}

/** The speeds that the README shows: rows of docs/benchmarks.md by their work, of the first card that has them all. */
const quoted = [
  /^decode, \d+ tokens from 0$/,
  /^decode, \d+ tokens from 2048$/,
  /^prefill of 512 tokens$/,
  /^prefill of 2048 tokens$/,
  /^loading /,
];

/** @throws where no section has a row for each */
export function speedTable(benchmarks: string): string {
  const rows = rowsOf(benchmarks);
  for (const machine of new Set(rows.map(({ section }) => section))) {
    const found = quoted.map((work) => rows.find(({ section, cells }) => section === machine && work.test(cells[0]!)));
    if (found.some((row) => row === undefined)) continue;
    return markdown(
      [machine.replace(/^O/, "o"), "gureum", "peer"],
      found.map((row) => [row!.cells[0]!, row!.cells[1]!, row!.cells[3]!]),
    );
  }
  throw new Error("docs/benchmarks.md has no section with all that the README shows");
}

const verdict = (row: Row | undefined): string => {
  if (!row) return "–";
  const headroom = row.worst ? row.worst.headroom.toPrecision(2) : "–";
  return row.failures.length === 0 ? `${headroom} (${row.cases})` : `**${row.failures.length} violated**`;
};

const keyOf = ({ op, backend, variant }: Row): string => `${op} ${backend}/${variant}`;

/** One row per variant, one column per certificate: the largest headroom seen and, in brackets, the cases run. */
export function matrixTable(certificates: readonly (readonly [name: string, certificate: Certificate])[]): string {
  const keys = [...new Set(certificates.flatMap(([, c]) => c.rows.map(keyOf)))];
  return markdown(
    ["op, variant", ...certificates.map(([name]) => name)],
    keys.map((key) => [key, ...certificates.map(([, c]) => verdict(c.rows.find((row) => keyOf(row) === key)))]),
  );
}

/** docs/conformance/mutation.json: what `--mutate` found, run by run. */
export interface MutationRuns {
  readonly format: "gureum-mutation/1";
  readonly runs: readonly {
    readonly date: string;
    readonly what: string;
    readonly device: string;
    readonly kernels: Readonly<Record<string, { readonly killed: number; readonly equivalent: number; readonly survived: number }>>;
  }[];
}

/** The kernels of all runs of one kind, with their sum. */
export function mutationTable({ runs }: MutationRuns, what: string): string {
  const rows = runs
    .filter((run) => run.what === what)
    .flatMap(({ kernels, device }) => Object.entries(kernels).map(([name, score]) => ({ name, device, ...score })));
  const sum = (part: "killed" | "equivalent" | "survived"): number => rows.reduce((total, row) => total + row[part], 0);
  return markdown(
    ["kernel", "killed", "equivalent", "survived", "device"],
    [
      ...rows.map(({ name, killed, equivalent, survived, device }) => [name, `${killed}`, `${equivalent}`, `${survived}`, device]),
      ["all", `${sum("killed")}`, `${sum("equivalent")}`, `${sum("survived")}`, ""],
    ],
  );
}

/** One row per step that has variants: what it covers, and the variants in the order in which they are tried. */
export const variantTable = (): string =>
  markdown(
    ["step", "covers", "variants, the first that fits is taken"],
    Object.entries(variantSteps).map(([step, { covers }]) => [
      `\`${step}\``,
      covers,
      variants
        .filter((variant) => variant.step === step)
        .map(({ name }) => `\`${name}\``)
        .join(", "),
    ]),
  );

/** The head comment of a kernel's file as one line. */
const headOf = (source: string): string =>
  (/\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "")
    .replace(/\n \* ?/g, " ")
    .replace(/\s+/g, " ")
    .trim();

/** Its first words: up to the first full stop, colon or semicolon outside brackets. */
function firstWords(head: string): string {
  let depth = 0;
  for (const [i, c] of [...head].entries()) {
    if ("([".includes(c)) depth++;
    if (")]".includes(c)) depth--;
    if (depth === 0 && ".:;".includes(c) && /^\s|^$/.test([...head].slice(i + 1, i + 2).join(""))) return [...head].slice(0, i).join("");
  }
  return head;
}

const needsOf = ({ features = [], limits = {}, subgroupSize }: Kernel): string =>
  [
    ...features,
    ...(subgroupSize === undefined ? [] : [`subgroups of ${subgroupSize}`]),
    ...Object.entries(limits).map(([name, value]) => `${name} ${value}`),
  ].join(", ");

/** One row per kernel: its file, what the first words of its head say it computes, what it needs, what limits it. */
export const kernelTable = (kernels: readonly { readonly kernel: Kernel; readonly path: string; readonly source: string }[]): string =>
  markdown(
    ["kernel", "computes", "needs", "limited by"],
    kernels.map(({ kernel, path, source }) => {
      const head = headOf(source);
      return [`[${kernel.name}](../${path})`, firstWords(head), needsOf(kernel), /[Ll]imited by (.*?)\.(?=\s|$)/.exec(head)?.[1] ?? ""];
    }),
  );

/** The files whose code, comments aside, holds one of `words`, folder by folder, with their number. */
export function filesNaming(words: readonly string[], files: readonly (readonly [path: string, text: string])[]): string {
  const word = new RegExp(`(?<![\\w-])(?:${words.join("|")})(?![\\w-])`);
  const code = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$/gm, "");
  const naming = files.filter(([, text]) => word.test(code(text))).map(([path]) => path);
  return [`${naming.length} files:`, "", ...naming.map((path) => `- \`${path}\``)].join("\n");
}
