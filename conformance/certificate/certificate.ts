/** The certificate: what was run, on what, with which result, as data that another person can replay and compare. */

import type { Row } from "../check.ts";
import type { Fingerprint } from "../device/arithmetic.ts";

/** Where a backend's numbers come from. */
export interface DeviceIdentity {
  readonly backend: string;
  /** "Dawn (npm webgpu 0.6.2)", "wgpu (Deno 2.9.6)", "JavaScript (V8 …)" */
  readonly implementation: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** Driver or toggles that change arithmetic or bounds checks. */
  readonly notes: readonly string[];
  /** How it computes, as measured; absent for the CPU. */
  readonly arithmetic?: Fingerprint;
}

export interface Certificate {
  readonly format: "gureum-conformance/1";
  /** Version of this package: laws and arbitraries are part of it. */
  readonly version: string;
  /** "Node v20.20.0", "Deno 2.9.6" */
  readonly runtime: string;
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
export function table(rows: readonly Row[]): string {
  const lines = [columns, ...rows.map(cells)];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => (i >= 3 && i <= 8 ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
