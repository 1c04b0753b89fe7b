/** Numbers and tables as text for people. */

/** Bytes with three significant digits, decimal units. */
export function formatBytes(byteLength: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = byteLength;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** One line per row: cells padded to the widest of their column, flush right where `isRight` says so. */
export function alignColumns(rows: readonly (readonly string[])[], isRight: (column: number) => boolean): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  return rows.map((row) =>
    row
      .map((cell, i) => (isRight(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** A table as Markdown has it, its first row the header; numbers flush right where `isRight` says so. */
export const markdownRows = (rows: readonly (readonly string[])[], isRight: (column: number) => boolean): string[] =>
  rows.flatMap((row, i) => [
    markdownRow(row),
    ...(i === 0 ? [`|${row.map((_, column) => (isRight(column) ? "---:|" : "---|")).join("")}`] : []),
  ]);
const markdownRow = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;

/** A line of comma-separated values (RFC 4180); nothing for undefined and null. */
export const csvRow = (cells: readonly (string | number | boolean | undefined | null)[]): string =>
  cells
    .map((cell) => `${cell ?? ""}`)
    .map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text))
    .join(",");

/**
 * Words as a POSIX shell reads them back: apart by blanks, quoted where a character of them would mean something there.
 */
export const quoteWords = (words: readonly string[]): string =>
  words.map((word) => (/^[\w./:=,+@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as it stands in an HTML page, between tags or in an attribute. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => escapes[c]!);

/** A text without the `letters` that stand at its end, however many. */
export function withoutEnd(text: string, letters: string): string {
  let end = text.length;
  while (end > 0 && letters.includes(text[end - 1]!)) end--;
  return text.slice(0, end);
}
