/** The conformance matrix: certificates of several machines side by side, a row a variant, as a Markdown table. */

import type { Row } from "../check.ts";
import type { Certificate } from "./certificate.ts";

const verdict = (row: Row | undefined): string => {
  if (!row) return "–";
  const headroom = row.worst ? row.worst.headroom.toPrecision(2) : "–";
  return row.failures.length === 0 ? `${headroom} (${row.cases})` : `**${row.failures.length} violated**`;
};

/** Cells: the largest headroom seen and, in brackets, the cases run. `names` head the columns. */
export function matrixTable(certificates: readonly (readonly [name: string, certificate: Certificate])[]): string {
  const keys = [...new Set(certificates.flatMap(([, c]) => c.rows.map((row) => `${row.op} ${row.backend}/${row.variant}`)))];
  const find = (c: Certificate, key: string): Row | undefined => c.rows.find((row) => `${row.op} ${row.backend}/${row.variant}` === key);
  return [
    `| op, variant | ${certificates.map(([name]) => name).join(" | ")} |`,
    `|---|${certificates.map(() => "---|").join("")}`,
    ...keys.map((key) => `| ${key} | ${certificates.map(([, c]) => verdict(find(c, key))).join(" | ")} |`),
  ].join("\n");
}
