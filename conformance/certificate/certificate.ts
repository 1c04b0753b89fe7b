/** The certificate: what was run, on what, with which result, as data that another person can replay and compare. */

import { alignColumns, csvRow, markdownRows } from "../../core/text.ts";
import type { Row } from "../check.ts";
import type { AnySubject } from "../kit.ts";
import type { DeviceIdentity } from "./identity.ts";

/** The outcome of a run. */
export interface Certificate {
  /** Which form this is. */
  readonly format: "gureum-conformance/1";
  /** Version of this package: laws and arbitraries are part of it. */
  readonly version: string;
  /**
   * Of the checkout that ran, "-dirty" behind it where files differed; null for an installed package, absent in old
   * certificates.
   */
  readonly commit?: string | null;
  /** When the run ended: ISO 8601, UTC; absent in old certificates. */
  readonly date?: string;
  /** "Node 20.20.0", "Deno 2.9.6", "Chrome 142.0.0.0" */
  readonly runtime: string;
  /** Operating system and architecture; absent in old certificates. */
  readonly platform?: string;
  /** The processor's name, as the host says it. */
  readonly cpu?: string;
  /** Where it ran. */
  readonly devices: readonly DeviceIdentity[];
  /** Of the cases. */
  readonly seed: number;
  /** Random cases per law. */
  readonly runs: number;
  /** Milliseconds that the run was given; null: as many cases as `runs` says. */
  readonly timeMs: number | null;
  /** Of the subjects, as it was given. */
  readonly filter: string;
  /** Kernels of one's own that were run, as text; absent where there were none. */
  readonly own?: readonly string[];
  /** How long it took, milliseconds. */
  readonly elapsedMs: number;
  /** In the order of the subjects. */
  readonly rows: readonly Row[];
}

/** `runs` where time alone ends the drawing. */
export const UNLIMITED = 1_000_000_000;

/** Laws broken, over all rows. */
export const violations = (c: Certificate): number => c.rows.reduce((sum, row) => sum + row.failures.length, 0);

const short = (x: number | null): string =>
  x === null ? "–" : x === 0 ? "0" : x >= 0.01 && x < 10000 ? `${Number(x.toPrecision(3))}` : x.toExponential(1);

/** Header and cells of the table, for the terminal and for report.html. */
export const columns: readonly string[] = [
  "op",
  "variant",
  "arithmetic",
  "cases",
  "worst error",
  "its bound",
  "headroom",
  "median",
  "worst ULP",
  "verdict",
];

const isNumber = (column: number): boolean => column >= 3 && column <= 8;

/** "holds" says that everything was tested; what was not makes it "holds in part". */
const verdictOf = ({ failures, cases, leftOut }: Row): string => {
  if (failures.length > 0) return `${failures.length} violated`;
  if (cases === 0) return "not run";
  return leftOut ? "holds in part" : "holds";
};

export function cells(row: Row): string[] {
  return [
    row.op,
    `${row.backend}/${row.variant}`,
    row.arithmetic,
    `${row.cases}`,
    short(row.worst?.error ?? null),
    short(row.worst?.bound ?? null),
    short(row.worst?.headroom ?? null),
    short(row.medianHeadroom),
    short(row.worstUlp),
    verdictOf(row),
  ];
}

/** An aligned table; numbers to the right. */
export const table = (rows: readonly Row[]): string => alignColumns([columns, ...rows.map(cells)], isNumber).join("\n");

/** What a table that comes line by line begins with, and the line of a row. */
export interface TableLines {
  readonly header: string;
  line(row: Row): string;
}

const csvColumns = [
  "op",
  "backend",
  "variant",
  "arithmetic",
  "cases",
  "refused",
  "worst_error",
  "bound",
  "headroom",
  "median_headroom",
  "worst_ulp",
  "verdict",
];

/** As comma-separated values: numbers in full. */
export const csvLines: TableLines = {
  header: csvRow(csvColumns),
  line: (row) =>
    csvRow([
      ...[row.op, row.backend, row.variant, row.arithmetic, row.cases, row.refused],
      ...[row.worst?.error, row.worst?.bound, row.worst?.headroom, row.medianHeadroom, row.worstUlp, verdictOf(row)],
    ]),
};

/** As Markdown. */
export const markdownLines: TableLines = {
  header: markdownRows([columns], isNumber).join("\n"),
  line: (row) => markdownRows([columns, cells(row)], isNumber).at(-1)!,
};

/** The same line by line, before all rows are there: `subjects` say how wide the first columns become. */
export function tableLines(subjects: readonly AnySubject[]): TableLines {
  const names = [columns, ...subjects.map((s) => [s.op, `${s.backend}/${s.variant}`, s.arithmetic])];
  const widths = columns.map((name, i) => Math.max(name.length, ...names.map((row) => row[i]?.length ?? 0), isNumber(i) ? 9 : 0));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (isNumber(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  return { header: line(columns), line: (row) => line(cells(row)) };
}

const many = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** What was not tested, in words; empty where everything was. */
export function leftOutLines(rows: readonly Row[]): string[] {
  const unreached = rows.filter(({ cases, failures }) => cases === 0 && failures.length === 0);
  const part = rows.filter(({ cases, leftOut }) => cases > 0 && leftOut);
  const boundaries = part.reduce((sum, { leftOut }) => sum + leftOut!.boundaries, 0);
  const laws = part.reduce((sum, { leftOut }) => sum + leftOut!.laws.length, 0);
  const refused = rows.reduce((sum, row) => sum + (row.refused ?? 0), 0);
  return [
    ...(unreached.length ? [`not run: ${unreached.map((row) => `${row.op} ${row.backend}/${row.variant}`).join(", ")}`] : []),
    ...(part.length
      ? [`in part: ${many(part.length, "variant")}, without ${many(boundaries, "boundary case")} and ${many(laws, "law")}`]
      : []),
    ...(refused ? [`${many(refused, "drawn case")} that a variant does not take`] : []),
  ];
}
