/** The certificate: what was run, on what, with which result, as data that another person can replay and compare. */

import { alignColumns } from "../../core/text.ts";
import type { Row } from "../check.ts";
import type { DeviceIdentity } from "./identity.ts";

export interface Certificate {
  readonly format: "gureum-conformance/1";
  /** Version of this package: laws and arbitraries are part of it. */
  readonly version: string;
  /** Of the checkout that ran, "-dirty" behind it where files differed; null for an installed package, absent in old certificates. */
  readonly commit?: string | null;
  /** When the run ended: ISO 8601, UTC; absent in old certificates. */
  readonly date?: string;
  /** "Node 20.20.0", "Deno 2.9.6", "Chrome 142.0.0.0" */
  readonly runtime: string;
  /** Operating system and architecture; absent in old certificates. */
  readonly platform?: string;
  readonly cpu?: string;
  readonly devices: readonly DeviceIdentity[];
  readonly seed: number;
  readonly runs: number;
  /** Milliseconds that all laws together may draw cases for; null: as many as `runs` says. */
  readonly timeMs: number | null;
  readonly filter: string;
  readonly elapsedMs: number;
  readonly rows: readonly Row[];
}

/** `runs` where time alone ends the drawing. */
export const UNLIMITED = 1_000_000_000;

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
    row.failures.length === 0 ? "holds" : `${row.failures.length} violated`,
  ];
}

/** An aligned table; numbers to the right. */
export const table = (rows: readonly Row[]): string =>
  alignColumns([columns, ...rows.map(cells)], (column) => column >= 3 && column <= 8).join("\n");
