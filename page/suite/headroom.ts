/** Headroom of every variant: its worst error as a share of its bound, with that of another device beside it. */
import type { Row } from "../../conformance/check/row.ts";
import type { Dot, Drawing } from "../plots/drawing.ts";
import type { Words } from "../text/en.ts";
import { keyOf } from "./others.ts";

/** Shares below this are drawn at it: what is exact has none. */
const LEAST = 1e-3;

export function headroomDrawing(rows: readonly Row[], there: readonly Row[] | null, t: Words): Drawing {
  const ops = [...new Set(rows.filter(({ worst }) => worst).map(({ op }) => op))];
  const dotsOf = (some: readonly Row[], of: (headroom: number) => Pick<Dot, "colour" | "hollow">): Dot[] =>
    some.flatMap((row) => {
      const y = ops.indexOf(row.op);
      if (!row.worst || y < 0) return [];
      const { headroom } = row.worst;
      return [{ x: Math.max(LEAST, headroom), y, title: `${keyOf(row)}: ${headroom.toPrecision(3)}`, ...of(headroom) }];
    });
  const dots = [
    ...dotsOf(there ?? [], () => ({ colour: "edge", hollow: true })),
    ...dotsOf(rows, (headroom) => ({ colour: headroom > 1 ? "bad" : "sky" })),
  ];
  return {
    x: { scale: "log", low: LEAST / 1.3, high: Math.max(2, ...dots.map(({ x }) => x * 1.3)), label: t.headroomAxis },
    y: { scale: "names", low: -0.7, high: Math.max(1, ops.length) - 0.3, names: ops, label: "" },
    lines: [
      {
        points: [
          [1, -0.7],
          [1, ops.length],
        ],
        colour: "bad",
      },
    ],
    dots,
    height: () => 70 + 17 * ops.length,
  };
}
