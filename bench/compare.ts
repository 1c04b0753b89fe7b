/**
 * Two files of results against each other, row by row: how much faster B is than A, with the interval in which that
 * ratio lies. Rows of one task and one model, whatever its path, are taken for the same work; where their counts differ
 * they are not, and that is said.
 */
import { deviceName } from "../conformance/certificate/identity.ts";
import type { BenchResults, Row } from "./results.ts";
import { medianRatio, type RatioInterval } from "./statistics.ts";

/** A row that both files have. */
export interface ComparedRow {
  /** The row's. */
  readonly name: string;
  /** Medians, milliseconds. */
  readonly aMs: number;
  /** Median of B, milliseconds. */
  readonly bMs: number;
  /** aMs / bMs */
  readonly ratio: number;
  /** Where the ratio lies, 95 %; null where a side has too few samples to say. */
  readonly interval: RatioInterval | null;
  /**
   * "faster", "slower": the interval leaves out 1. "same": it holds 1 and is narrow. "unclear": it holds 1 and other answers, too, or there is
   * none.
   */
  readonly verdict: "faster" | "slower" | "same" | "unclear";
}

/** What two files of results have in common, and where they differ. */
export interface Comparison {
  /** ratio = A's time / B's time: above 1, B is faster. */
  readonly rows: readonly ComparedRow[];
  /** Names of rows that only A has. */
  readonly onlyA: readonly string[];
  /** Names of rows that only B has. */
  readonly onlyB: readonly string[];
  /** Of one name in both, but not the same work: bytes, operations, tokens or clock differ. */
  readonly incomparable: readonly string[];
  /** What differs around the rows: device, driver, toggles, … */
  readonly differences: readonly string[];
}

/** Samples a side below which an interval means nothing. */
const FEWEST_SAMPLES = 3;

/** How far from 1 an interval may reach that says "same". */
const SAME_WITHIN = 1.1;

function verdictOf({ low, high }: RatioInterval): ComparedRow["verdict"] {
  if (low > 1) return "faster";
  if (high < 1) return "slower";
  return low * SAME_WITHIN >= 1 && high <= SAME_WITHIN ? "same" : "unclear";
}

/** The model of results as earlier versions wrote them: by its name alone, which their first row ends with. */
const modelOf = ({ model, rows }: BenchResults): { readonly name: string; readonly identity?: string } | undefined => {
  const loaded = rows.find(({ name, group }) => group === "model" && name.startsWith("load "));
  return model ?? (loaded && { name: loaded.name.slice("load ".length) });
};

/** What a row does, without the name of what it is done to: by this rows are joined. */
const taskOf = (name: string, model: string | undefined): string =>
  model !== undefined && name.endsWith(` ${model}`) ? name.slice(0, -model.length - 1) : name;

const sameWork = (a: Row, b: Row): boolean =>
  a.bytes === b.bytes && a.operations === b.operations && a.tokens === b.tokens && a.timer === b.timer;

function compareRow(a: Row, b: Row): ComparedRow {
  const measured = medianRatio(a.samples, b.samples);
  const interval = Math.min(a.samples.length, b.samples.length) < FEWEST_SAMPLES ? null : measured;
  const verdict = interval ? verdictOf(interval) : "unclear";
  return { name: a.name, aMs: a.median, bMs: b.median, ratio: measured.ratio, interval, verdict };
}

const modelWords = (model: ReturnType<typeof modelOf>): string =>
  model === undefined ? "" : model.identity === undefined ? model.name : `${model.name} (${model.identity})`;

/** Joins the rows of A and B that do the same work on the same model. */
export function compareResults(a: BenchResults, b: BenchResults): Comparison {
  const [modelA, modelB] = [modelOf(a), modelOf(b)];
  const inB = new Map(b.rows.map((row) => [taskOf(row.name, modelB?.name), row]));
  const inA = new Set(a.rows.map(({ name }) => taskOf(name, modelA?.name)));
  const shared = a.rows.flatMap((row): [Row, Row][] => {
    const other = inB.get(taskOf(row.name, modelA?.name));
    return other ? [[row, other]] : [];
  });
  // Results of old do not say what their model holds: then the counts of a row decide alone.
  const sameModel = !modelA?.identity || !modelB?.identity || modelA.identity === modelB.identity;
  const joins = ([x, y]: readonly [Row, Row]): boolean => sameModel && sameWork(x, y);
  const around = (results: BenchResults): Record<string, string> => ({
    model: modelWords(modelOf(results)),
    device: deviceName(results.device),
    driver: results.device.description,
    toggles: results.device.toggles ?? "",
    features: (results.device.features ?? []).join(" "),
    runtime: results.host.runtime,
    cpu: results.host.cpu,
    commit: results.commit ?? "unknown",
    command: results.command,
  });
  const [aroundA, aroundB] = [around(a), around(b)];
  return {
    rows: shared.filter(joins).map(([x, y]) => compareRow(x, y)),
    onlyA: a.rows.filter(({ name }) => !inB.has(taskOf(name, modelA?.name))).map(({ name }) => name),
    onlyB: b.rows.filter(({ name }) => !inA.has(taskOf(name, modelB?.name))).map(({ name }) => name),
    incomparable: shared.filter((pair) => !joins(pair)).map(([x]) => x.name),
    differences: Object.keys(aroundA)
      .filter((key) => aroundA[key] !== aroundB[key])
      .map((key) => `${key}: ${aroundA[key]} | ${aroundB[key]}`),
  };
}
