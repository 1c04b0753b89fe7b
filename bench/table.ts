/** Results as text for people: one row a line, rates in the unit that fits, and the breakdown of a token. */
import { deviceName } from "../conformance/certificate/identity.ts";
import { alignColumns, csvRow, formatBytes, markdownRows } from "../core/text.ts";
import type { Comparison } from "./compare.ts";
import {
  type BenchResults,
  bytesPerSecond,
  operationsPerSecond,
  type Row,
  type RowCheck,
  type TokenTime,
  tokensPerSecond,
} from "./results.ts";
import { spreadOf, WIDE } from "./statistics.ts";

/** Milliseconds in the unit that leaves one to three digits before the point. */
export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toPrecision(4)} s`;
  if (ms >= 1) return `${ms.toPrecision(4)} ms`;
  return ms >= 1e-3 ? `${(ms * 1e3).toPrecision(4)} µs` : `${(ms * 1e6).toPrecision(3)} ns`;
}

/** A rate with three digits: "4.68 T", "0.88 G", "12 k". */
export function formatRate(perSecond: number): string {
  for (const [unit, size] of [
    ["T", 1e12],
    ["G", 1e9],
    ["M", 1e6],
    ["k", 1e3],
  ] as const)
    if (perSecond >= size) return `${(perSecond / size).toPrecision(3)} ${unit}`;
  return perSecond.toPrecision(3);
}

export const formatShare = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

/** How a table is written for people. */
export type TableStyle = "table" | "markdown";

/**
 * Columns padded to their widest cell, or as Markdown; all but the first flush right, those that are empty throughout
 * left out.
 */
export function formatColumns(header: readonly string[], rows: readonly (readonly string[])[], style: TableStyle = "table"): string {
  const used = header.map((_, i) => i === 0 || rows.some((row) => row[i] !== ""));
  const table = [header, ...rows].map((row) => row.filter((_, i) => used[i]));
  return (style === "markdown" ? markdownRows : alignColumns)(table, (column) => column > 0).join("\n");
}

export const rowHeader: readonly string[] = [
  ...["", "median", "spread", "bytes/s", "op/s", "tokens/s", "of limit", "limited by", "clock"],
  ...["cpu time", "op/cpu s", "tokens/cpu s", "threads"],
  ...["error", "its bound", "headroom", "results"],
];

/** Error ÷ bound. */
const headroomOf = ({ error, bound }: RowCheck): number => (error === null ? Infinity : error === 0 ? 0 : error / bound);

const formatNumber = (x: number): string =>
  x === 0 ? "0" : !Number.isFinite(x) ? "∞" : x >= 0.01 && x < 10000 ? `${Number(x.toPrecision(3))}` : x.toExponential(1);

const checkCells = (check: RowCheck | undefined): string[] =>
  check
    ? [formatNumber(check.error ?? Infinity), formatNumber(check.bound), formatNumber(headroomOf(check)), check.holds ? "hold" : "WRONG"]
    : ["", "", "", ""];

/** Whether the spread leaves a number that says little. */
export const isWide = (row: Row): boolean => row.samples.length > 1 && spreadOf(row) > WIDE;

/** What stands behind a spread: "!" where it is wide, an arrow where the times still fell or rose. */
const marksOf = (row: Row): string => `${isWide(row) ? " !" : ""}${row.trend === undefined ? "" : row.trend < 0 ? " ↘" : " ↗"}`;

/** What the marks of some rows mean; empty where there are none. */
export function warnings(rows: readonly Row[]): string[] {
  const [wide, moving] = [rows.filter(isWide), rows.filter(({ trend }) => trend !== undefined)];
  return [
    ...(wide.length > 0
      ? [
          `!   the middle half of the samples spans more than ±${formatShare(WIDE)} of the median: a rough number; run it again on a quiet machine`,
        ]
      : []),
    ...(moving.length > 0
      ? ["↘ ↗ the times still fell or rose while they were taken, by 2 % or more and more steadily than chance: clocks were not steady"]
      : []),
  ];
}

export function rowCells(row: Row): string[] {
  const bytes = bytesPerSecond(row);
  const operations = operationsPerSecond(row);
  const tokens = tokensPerSecond(row);
  return [
    row.name,
    formatMs(row.median),
    row.samples.length > 1 ? `±${formatShare(spreadOf(row))}${marksOf(row)}` : "one run",
    bytes === undefined ? "" : formatBytes(bytes),
    operations === undefined ? "" : formatRate(operations),
    tokens === undefined ? "" : tokens.toPrecision(4),
    row.limitShare === undefined ? "" : formatShare(row.limitShare),
    row.limit ?? "",
    row.timer === "gpu timestamps" ? "gpu" : "host",
    row.cpuMs === undefined ? "" : formatMs(row.cpuMs),
    row.cpuMs && row.operations ? formatRate((row.operations / row.cpuMs) * 1e3) : "",
    row.cpuMs && row.tokens ? ((row.tokens / row.cpuMs) * 1e3).toPrecision(4) : "",
    row.threads === undefined ? "" : `${row.threads}`,
    ...checkCells(row.check),
  ];
}

/** Rows as a table, with what its marks mean. */
export function formatRows(rows: readonly Row[], style: TableStyle = "table"): string {
  const table = formatColumns(rowHeader, rows.map(rowCells), style);
  const notes = warnings(rows);
  return notes.length === 0 ? table : [table, "", ...notes.map((line) => (style === "markdown" ? `- ${line}` : line))].join("\n");
}

const csvHeader = [
  ...["name", "group", "median_ms", "lower_quartile_ms", "upper_quartile_ms", "samples", "wide", "trend", "clock", "calls"],
  ...["bytes", "operations", "arithmetic", "tokens", "bytes_per_s", "operations_per_s", "tokens_per_s", "limit_share", "limit"],
  ...["cpu_ms", "threads", "rotated_bytes", "check_cases", "error", "bound", "headroom", "holds"],
];

/** Rows as comma-separated values: numbers in full, times in milliseconds, the header first. */
export const csvOfRows = (rows: readonly Row[]): string =>
  [
    csvHeader,
    ...rows.map((row) => [
      ...[
        row.name,
        row.group,
        row.median,
        row.lowerQuartile,
        row.upperQuartile,
        row.samples.length,
        isWide(row),
        row.trend,
        row.timer,
        row.calls,
      ],
      ...[row.bytes, row.operations, row.arithmetic, row.tokens, bytesPerSecond(row), operationsPerSecond(row), tokensPerSecond(row)],
      ...[row.limitShare, row.limit, row.cpuMs, row.threads, row.rotatedBytes],
      ...(row.check
        ? [row.check.cases, row.check.error ?? Infinity, row.check.bound, headroomOf(row.check), row.check.holds]
        : ["", "", "", "", ""]),
    ]),
  ]
    .map(csvRow)
    .join("\n");

/** What stands above a table: device, driver, runtime, commit. */
export function formatHead({ device, host, commit, date, version, limits }: BenchResults): string {
  const ceilings = [
    ...(limits.readBytesPerSecond ? [`read ${formatBytes(limits.readBytesPerSecond)}/s`] : []),
    ...Object.entries(limits.operationsPerSecond).map(([name, rate]) => `${name} ${formatRate(rate)}op/s`),
  ];
  return [
    `device    ${deviceName(device)}${device.description ? `, ${device.description}` : ""}`,
    `host      ${host.runtime}, ${host.platform}, ${host.cpu}`,
    `gureum    ${version}, commit ${commit ?? "unknown"}, ${date}`,
    ...(ceilings.length > 0 ? [`limits    ${ceilings.join(", ")} (measured)`] : []),
  ].join("\n");
}

/** A number per token: whole where it is. */
const formatCount = (n: number): string => (Number.isInteger(n) ? `${n}` : n.toPrecision(4));

/** Where the time of a token goes. */
export function formatTokenTimes(times: readonly TokenTime[], style: TableStyle = "table"): string {
  return times
    .map((time) => {
      const { depth, wallMs, encodeMs, submitMs, waitMs, gpuMs, dispatches, kernels } = time;
      const gpu = gpuMs === undefined ? "" : `; gpu ${formatMs(gpuMs)}`;
      const lines = [
        `a token at ${depth}: wall ${formatMs(wallMs)} = encode ${formatMs(encodeMs)} + submit ${formatMs(submitMs)} + wait ${formatMs(waitMs)}${gpu}; ${formatCount(dispatches)} dispatches`,
      ];
      const alone = kernels.reduce((sum, { ms }) => sum + ms, 0);
      const counted = kernels.reduce((sum, kernel) => sum + kernel.dispatches, 0);
      if (kernels.length > 0)
        lines.push(
          ...(style === "markdown" ? [""] : []),
          formatColumns(
            ["  kernel, each dispatch timed alone", "a token", "share", "dispatches"],
            [
              ...kernels.map(({ kernel, ms, dispatches: n }) => [`  ${kernel}`, formatMs(ms), formatShare(ms / alone), formatCount(n)]),
              ["  all", formatMs(alone), formatShare(1), formatCount(counted)],
            ],
            style,
          ),
        );
      return lines.join("\n");
    })
    .join("\n\n");
}

/** A comparison as comma-separated values, the header first. */
export const csvOfComparison = ({ rows }: Comparison): string =>
  [
    ["name", "a_ms", "b_ms", "b_faster_by", "low", "high", "verdict"],
    ...rows.map((r) => [r.name, r.aMs, r.bMs, r.ratio, r.interval?.low ?? null, r.interval?.high ?? null, r.verdict]),
  ]
    .map(csvRow)
    .join("\n");

export function formatComparison({ rows, onlyA, onlyB, incomparable, differences }: Comparison, style: TableStyle = "table"): string {
  const cells = rows.map(({ name, aMs, bMs, ratio, interval, verdict }) => [
    name,
    formatMs(aMs),
    formatMs(bMs),
    `${ratio.toFixed(3)}x`,
    interval ? `${interval.low.toFixed(3)} to ${interval.high.toFixed(3)}` : "too few samples",
    verdict,
  ]);
  const lists: [string, readonly string[]][] = [
    ["only in A", onlyA],
    ["only in B", onlyB],
    ["of one name, but not the same work", incomparable],
  ];
  return [
    ...(rows.length === 0 ? ["nothing to compare: no row of A does the same work on the same model as one of B", ""] : []),
    ...(differences.length > 0 ? ["A | B", ...differences.map((line) => `  ${line}`), ""] : []),
    ...(rows.length > 0 ? [formatColumns(["", "A", "B", "B is faster by", "95 % interval", "B is"], cells, style)] : []),
    ...lists.flatMap(([title, names]) => (names.length > 0 ? ["", `${title}:`, ...names.map((name) => `  ${name}`)] : [])),
  ].join("\n");
}
