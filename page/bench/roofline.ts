/**
 * The roofline (Williams, Waterman & Patterson 2009): operations per second over operations per byte, both logarithmic, under the limits
 * measured on the same device. Each point bears its number in the table below and, where they are few, its kernel's name.
 */
import { type BenchResults, operationsPerSecond, type Row } from "../../bench/results.ts";
import { formatRate } from "../../bench/table.ts";
import type { Drawing } from "../plots/drawing.ts";
import type { Words } from "../text/en.ts";

export interface Point {
  readonly number: number;
  readonly row: Row;
  readonly kernel: string;
  readonly intensity: number;
  readonly rate: number;
}

/** With more points than these their names would cover them. */
const FEW = 16;
const COLOURS = 8;

/** The rows that have bytes and operations, and so a place. */
export const pointsOf = (rows: readonly Row[]): Point[] =>
  rows
    .flatMap((row) => {
      const rate = operationsPerSecond(row);
      return row.bytes && row.operations && rate
        ? [{ row, kernel: row.name.split(" ")[0]!, intensity: row.operations / row.bytes, rate }]
        : [];
    })
    .map((point, i) => ({ number: i + 1, ...point }));

/** @param limits of the device; roofs end where the plot does */
export function rooflineDrawing({ rows, limits }: Pick<BenchResults, "rows" | "limits">, t: Words): Drawing {
  const points = pointsOf(rows);
  const kernels = [...new Set(points.map(({ kernel }) => kernel))];
  const roofs = Object.entries(limits.operationsPerSecond);
  const read = limits.readBytesPerSecond;
  const top = Math.max(...roofs.map(([, rate]) => rate), ...points.map(({ rate }) => rate));
  const intensities = [...points.map(({ intensity }) => intensity), ...(read ? roofs.map(([, rate]) => rate / read) : [])];
  const [low, high] = [Math.min(...intensities) / 3, Math.max(...intensities) * 5];
  const least = Math.min(...points.map(({ rate }) => rate)) / 4;
  const from = read ? Math.max(low, least / read) : low;
  return {
    x: { scale: "log", low, high, label: t.rooflineX, format: formatRate },
    y: { scale: "log", low: least, high: top * 3, label: t.rooflineY, format: formatRate },
    lines: [
      ...(read
        ? [
            {
              points: [
                [from, from * read],
                [top / read, top],
              ] as const,
              colour: "ink",
              text: `${formatRate(read)}B/s`,
              textAt: "first" as const,
            },
          ]
        : []),
      ...roofs.map(([name, rate]) => ({
        points: [
          [read ? rate / read : low, rate],
          [high, rate],
        ] as const,
        colour: "ink",
        text: `${name} ${formatRate(rate)}op/s`,
      })),
    ],
    dots: points.map(({ number, row, kernel, intensity, rate }) => ({
      x: intensity,
      y: rate,
      title: `${number} ${row.name}`,
      text: points.length <= FEW ? `${number} ${kernel}` : `${number}`,
      colour: `plot-${(kernels.indexOf(kernel) % COLOURS) + 1}`,
    })),
    height: (width) => Math.round(Math.min(480, Math.max(320, width * 0.5))),
  };
}
