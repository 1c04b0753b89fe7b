/**
 * Rows of different sequences in one call: row t is the next token of the sequence in slot rows[t].slot, at position rows[t].start. Kernels
 * that feed read them as a uniform; those that sample move each on by itself, as they move the step of one sequence.
 */
import { STEP_BYTES } from "./step.ts";

/** Rows of a call at most: as many as the uniforms have room for. */
export const MOST_ROWS = 128;

/** WGSL of the binding `rows`, behind that of Step. */
export const rowsBindingWgsl: string = /* wgsl */ `var<uniform> rows: array<Step, ${MOST_ROWS}>;`;
export const ROWS_BYTES: number = MOST_ROWS * STEP_BYTES;

/** A sequence's next row. */
export interface Row {
  readonly slot: number;
  /** Position of the token that is fed, or of the last one where nothing is. */
  readonly start: number;
}

/** The words of rows, the rest of the uniform 0. */
export function encodeRows(rows: readonly Row[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(ROWS_BYTES / 4);
  for (const [t, { slot, start }] of rows.entries()) words.set([1, start, 0, slot], 4 * t);
  return words;
}
