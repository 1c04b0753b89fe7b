/**
 * A drawing by uPlot, which makes axes, scales and grid; the points and their names are drawn over them. It is drawn anew where its data,
 * the width or the colours change. A table beside it says the same in words, so for those who do not see it a label is enough.
 */
import "uplot/dist/uPlot.min.css";
import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { Axis, Dot, Drawing } from "./drawing.ts";
import { placeTexts } from "./place-texts.ts";

const FONT = "12px system-ui, sans-serif";
const RADIUS = 4;
/** Pixels from a point within which the pointer means it. */
const NEAR = 14;

/** The page's colour of this name as a canvas takes it: an element that has it says so. */
function colourOf(name: string): string {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const scaleOf = ({ scale, low, high }: Axis): uPlot.Scale => ({
  time: false,
  range: [low, high],
  ...(scale === "log" ? { distr: 3, log: 10 } : { dir: -1 }),
});

/** Powers of ten; every name. */
const splitsOf = ({ scale, low, high, names = [] }: Axis): number[] => {
  if (scale === "names") return names.map((_, i) => i);
  const [from, to] = [Math.ceil(Math.log10(low)), Math.floor(Math.log10(high))];
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => 10 ** (from + i));
};

const axisOf = (axis: Axis, side: 2 | 3): uPlot.Axis => ({
  side,
  font: FONT,
  labelFont: FONT,
  stroke: colourOf("soft"),
  grid: { stroke: colourOf("line"), width: 1 },
  ticks: { show: false },
  splits: () => splitsOf(axis),
  filter: (_, splits) => splits,
  values: (_, splits) => splits.map((value) => axis.names?.[value] ?? axis.format?.(value) ?? `${value}`),
  gap: 6,
  ...(axis.label === "" ? {} : { label: axis.label, labelSize: 22 }),
  size: side === 2 ? 26 : axis.names ? 12 + 6.8 * Math.max(...axis.names.map(({ length }) => length)) : 56,
});

function paint(u: uPlot, { lines, dots }: Drawing): void {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  const at = (x: number, y: number): [number, number] => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)];
  ctx.save();
  ctx.font = FONT.replace("12px", `${12 * ratio}px`);
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.lineWidth = 1.5 * ratio;
  const taken: { x: number; y: number; width: number }[] = [];
  for (const { points, colour, text, textAt = "last" } of lines) {
    ctx.strokeStyle = colourOf(colour);
    ctx.beginPath();
    for (const [i, [x, y]] of points.entries()) ctx[i === 0 ? "moveTo" : "lineTo"](...at(x, y));
    ctx.stroke();
    if (text === undefined) continue;
    const [x, y] = at(...points.at(textAt === "last" ? -1 : 0)!);
    const width = ctx.measureText(text).width;
    const left = textAt === "last" ? x - width - 4 * ratio : x + 10 * ratio;
    ctx.fillStyle = colourOf("soft");
    ctx.fillText(text, left, y - 6 * ratio);
    taken.push({ x: left, y: y - 6 * ratio, width });
  }
  for (const { x, y, colour, hollow } of dots) {
    ctx.beginPath();
    ctx.arc(...at(x, y), RADIUS * ratio, 0, 2 * Math.PI);
    ctx.fillStyle = ctx.strokeStyle = colourOf(colour);
    if (hollow) ctx.stroke();
    else ctx.fill();
  }
  const named = dots.filter(({ text }) => text !== undefined);
  const places = placeTexts(
    named.map(({ x, y, text }) => ({ at: at(x, y), width: ctx.measureText(text!).width })),
    { height: 12 * ratio, gap: (RADIUS + 3) * ratio, right: u.bbox.left + u.bbox.width },
    taken,
  );
  ctx.fillStyle = colourOf("ink");
  for (const [i, { text }] of named.entries()) ctx.fillText(text!, ...places[i]!);
  ctx.restore();
}

/** The point that the pointer means. */
function nearest(u: uPlot, dots: readonly Dot[]): { readonly dot: Dot; readonly left: number; readonly top: number } | null {
  const { left = -1, top = -1 } = u.cursor;
  if (left < 0 || top < 0) return null;
  let best = NEAR;
  let found: ReturnType<typeof nearest> = null;
  for (const dot of dots) {
    const [x, y] = [u.valToPos(dot.x, "x"), u.valToPos(dot.y, "y")];
    const distance = Math.hypot(x - left, y - top);
    if (distance < best) {
      best = distance;
      found = { dot, left: x + u.over.offsetLeft, top: y + u.over.offsetTop };
    }
  }
  return found;
}

export function Figure({ label, drawing }: { readonly label: string; readonly drawing: Drawing }): VNode {
  const box = useRef<HTMLDivElement>(null);
  const [tip, setTip] = useState<ReturnType<typeof nearest>>(null);
  useEffect(() => {
    const target = box.current!;
    let drawn: uPlot | undefined;
    const draw = (): void => {
      const width = Math.floor(target.clientWidth);
      drawn?.destroy();
      drawn = undefined;
      if (width === 0) return;
      const { x, y, height } = drawing;
      const options: uPlot.Options = {
        width,
        height: height(width),
        padding: [10, 14, 0, 4],
        legend: { show: false },
        cursor: { x: false, y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: { x: scaleOf(x), y: scaleOf(y) },
        series: [{}, { paths: () => null, points: { show: false } }],
        axes: [axisOf(x, 2), axisOf(y, 3)],
        hooks: { draw: [(u) => paint(u, drawing)], setCursor: [(u) => setTip(nearest(u, drawing.dots))] },
      };
      drawn = new uPlot(
        options,
        [
          [x.low, x.high],
          [null, null],
        ],
        target,
      );
    };
    let width = -1;
    const watch = new ResizeObserver(() => {
      if (target.clientWidth === width) return;
      width = target.clientWidth;
      draw();
    });
    watch.observe(target);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", draw);
      drawn?.destroy();
    };
  }, [drawing]);
  return (
    <div class="plot">
      <div ref={box} role="img" aria-label={label} />
      {tip && (
        <div class="tip" style={{ left: `${tip.left}px`, top: `${tip.top}px` }}>
          {tip.dot.title}
        </div>
      )}
    </div>
  );
}
