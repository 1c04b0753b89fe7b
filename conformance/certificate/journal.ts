/**
 * Rows as they come, in a file of one JSON value per line: first what the run is about, then each row as it ends. An
 * interrupted run goes on where it stopped: the rows that are there are taken, not run again. Numbers that JSON lacks
 * are kept as words.
 */
import { GureumError } from "../../core/errors.ts";
import type { Row } from "../check.ts";
import type { Certificate } from "./certificate.ts";

/** What must be the same for rows of two runs to belong together. */
export interface RunHead
  extends Pick<Certificate, "version" | "commit" | "runtime" | "platform" | "cpu" | "devices" | "seed" | "runs" | "timeMs" | "filter"> {
  /** Which form this is. */
  readonly format: "gureum-conformance-run/1";
  /** The one that was asked for; empty for all. */
  readonly variant: string;
  /** Kernels of one's own, as text; absent where there are none. */
  readonly own?: readonly string[];
}

/** Where rows are kept. */
export interface Journal {
  /**
   * Begins, or goes on with, a run.
   * @returns the rows that an interrupted run of the same head left; none for a new one
   */
  open(head: RunHead): Promise<readonly Row[]>;
  /** Keeps a row. */
  add(row: Row): Promise<void>;
}

const words = ["NaN", "Infinity", "-Infinity"];

/** JSON in which NaN and infinities are words, not null. */
export const encodeNumbers = (value: unknown, indent?: number): string =>
  JSON.stringify(value, (_, v: unknown) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v), indent);

const numeric = new Set(["error", "bound", "headroom", "expected", "got", "ulp", "worstError", "worstUlp", "medianHeadroom"]);

export const decodeNumbers = (text: string): unknown =>
  JSON.parse(text, (key, v: unknown) => (numeric.has(key) && typeof v === "string" && words.includes(v) ? Number(v) : v));

/**
 * What a journal's text holds. A last line that was cut off is dropped.
 * @throws GureumError "format" for any other text, "usage" where it belongs to another run
 */
export function readJournal(where: string, text: string, head: RunHead): Row[] {
  const lines = text.split("\n");
  lines.pop(); // empty, or cut off
  if (lines.length === 0) return [];
  let values: unknown[];
  try {
    values = lines.map(decodeNumbers);
  } catch (error) {
    throw new GureumError("format", { where, what: "not a file of conformance rows", got: (error as Error).message });
  }
  const [first, ...rows] = values as [Partial<RunHead>, ...Row[]];
  if (first?.format !== head.format || !rows.every((row) => typeof row?.op === "string" && Array.isArray(row.failures)))
    throw new GureumError("format", { where, what: "not a file of conformance rows", expected: `a first line with format ${head.format}` });
  const written = JSON.parse(encodeNumbers(head)) as RunHead;
  const keys = [...new Set([...Object.keys(head), ...Object.keys(first)])] as (keyof RunHead)[];
  const differs = keys.filter((key) => JSON.stringify(first[key]) !== JSON.stringify(written[key]));
  if (differs.length > 0)
    throw new GureumError("usage", {
      where,
      what: `belongs to another run: ${differs.join(", ")} ${differs.length === 1 ? "differs" : "differ"}`,
      remedy: "give another file, or remove this one",
    });
  return rows;
}
