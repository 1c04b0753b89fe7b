/** Results as text for people: one row a line, rates in the unit that fits, and the breakdown of a token. */
import { deviceName } from "../conformance/certificate/identity.ts";
import { alignColumns, formatBytes } from "../core/text.ts";
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
import { spreadOf } from "./statistics.ts";

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

/**
 * Columns padded to their widest cell, all but the first flush right; columns that are empty throughout are left out.
 */
export function formatColumns(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const used = header.map((_, i) => i === 0 || rows.some((row) => row[i] !== ""));
  const table = [header, ...rows].map((row) => row.filter((_, i) => used[i]));
  return alignColumns(table, (column) => column > 0).join("\n");
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

export function rowCells(row: Row): string[] {
  const bytes = bytesPerSecond(row);
  const operations = operationsPerSecond(row);
  const tokens = tokensPerSecond(row);
  return [
    row.name,
    formatMs(row.median),
    row.samples.length > 1 ? `±${formatShare(spreadOf(row))}` : "one run",
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

export const formatRows = (rows: readonly Row[]): string => formatColumns(rowHeader, rows.map(rowCells));

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

/** Where the time of a token goes. */
export function formatTokenTimes(times: readonly TokenTime[]): string {
  return times
    .map((time) => {
      const parts: [string, number | undefined][] = [
        ["wall", time.wallMs],
        ["gpu", time.gpuMs],
        ["encode", time.encodeMs],
        ["submit", time.submitMs],
        ["wait", time.waitMs],
      ];
      const alone = time.kernels.reduce((sum, { ms }) => sum + ms, 0);
      const lines = [
        `a token at ${time.depth}: ${parts.flatMap(([name, ms]) => (ms === undefined ? [] : [`${name} ${formatMs(ms)}`])).join(", ")}; ${time.dispatches.toFixed(0)} dispatches`,
      ];
      if (time.kernels.length > 0)
        lines.push(
          formatColumns(
            ["  kernel, each dispatch timed alone", "a token", "share", "dispatches"],
            time.kernels.map(({ kernel, ms, dispatches }) => [`  ${kernel}`, formatMs(ms), formatShare(ms / alone), dispatches.toFixed(0)]),
          ),
        );
      return lines.join("\n");
    })
    .join("\n\n");
}

export function formatComparison({ rows, onlyA, onlyB, incomparable, differences }: Comparison): string {
  const cells = rows.map(({ name, aMs, bMs, ratio, low, high, verdict }) => [
    name,
    formatMs(aMs),
    formatMs(bMs),
    `${ratio.toFixed(3)}x`,
    `${low.toFixed(3)} to ${high.toFixed(3)}`,
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
    ...(rows.length > 0 ? [formatColumns(["", "A", "B", "B is faster by", "95 % interval", "B is"], cells)] : []),
    ...lists.flatMap(([title, names]) => (names.length > 0 ? ["", `${title}:`, ...names.map((name) => `  ${name}`)] : [])),
  ].join("\n");
}
