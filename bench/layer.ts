/**
 * The linears of a layer as one number: what each way to compute them takes at each number of rows, beside the time
 * that the device's limits allow for the same work.
 */
import { linearParts } from "../core/model/layer.ts";
import type { LayerShare, Row } from "./results.ts";
import { formatColumns, formatMs, formatShare, type TableStyle } from "./table.ts";

/** All linears of a layer by one way. */
export interface LayerLinears {
  /** A kernel, or the program whose kernels share the layer's linears. */
  readonly way: string;
  /** Rows fed at once. */
  readonly T: number;
  readonly ms: number;
  /** What the limits allow; absent where a row has none. */
  readonly limitMs?: number;
}

const names: readonly string[] = linearParts.map(({ name }) => name);

/** The linears that a step is, by its name: "qProj+kProj" is two of them; none for any other step. */
export function linearsOf(step: string): readonly string[] {
  const words = step.split("+");
  return words.every((word) => names.includes(word)) ? words : [];
}

/**
 * Σ of medians over the rows of one way and number of rows, each as often as a layer runs it, where they make all
 * linears of a layer, each once. By rows, the fastest first.
 */
export function layerLinears(rows: readonly Row[]): LayerLinears[] {
  const groups = new Map<string, { readonly share: LayerShare; readonly row: Row }[]>();
  for (const row of rows)
    if (row.layer) {
      const key = JSON.stringify([row.layer.way, row.layer.T]);
      groups.set(key, [...(groups.get(key) ?? []), { share: row.layer, row }]);
    }
  const found: LayerLinears[] = [];
  for (const parts of groups.values()) {
    const covered = parts.flatMap(({ share }) => share.linears);
    if (covered.length !== names.length || new Set(covered).size !== names.length) continue;
    const sum = (value: (row: Row) => number): number => parts.reduce((total, { share, row }) => total + share.calls * value(row), 0);
    const limited = parts.every(({ row }) => row.limitShare !== undefined);
    const { way, T } = parts[0]!.share;
    found.push({ way, T, ms: sum(({ median }) => median), ...(limited ? { limitMs: sum((row) => row.median * row.limitShare!) } : {}) });
  }
  return found.sort((a, b) => a.T - b.T || a.ms - b.ms);
}

/** The same as a table; empty where no way has them all. */
export function formatLayerLinears(rows: readonly Row[], style: TableStyle = "table"): string {
  const list = layerLinears(rows);
  if (list.length === 0) return "";
  return formatColumns(
    ["linears of a layer", "rows", "time", "limit", "of limit", "per row"],
    list.map(({ way, T, ms, limitMs }) => [
      way,
      `${T}`,
      formatMs(ms),
      limitMs === undefined ? "" : formatMs(limitMs),
      limitMs === undefined ? "" : formatShare(limitMs / ms),
      formatMs(ms / T),
    ]),
    style,
  );
}
