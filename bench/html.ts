/**
 * Results as one page that needs nothing else: the table, and a roofline plot (Williams, Waterman & Patterson 2009) as
 * inline SVG: operations per second over operations per byte, both logarithmic, under the ceilings that were measured
 * on the same device.
 */
import { deviceName } from "../conformance/certificate/identity.ts";
import { escapeHtml } from "../core/text.ts";
import { formatLayerLinears } from "./layer.ts";
import { type BenchResults, operationsPerSecond, type Row } from "./results.ts";
import { formatHead, formatMs, formatRate, formatShare, formatTokenTimes, rowCells, rowHeader, warnings } from "./table.ts";

/** A logarithmic axis: from value to pixel. */
function axis(low: number, high: number, from: number, to: number): (value: number) => number {
  const scale = (to - from) / (Math.log10(high) - Math.log10(low));
  return (value) => from + (Math.log10(value) - Math.log10(low)) * scale;
}

const WIDTH = 900;
const HEIGHT = 520;
const AREA = { left: 80, right: WIDTH - 150, top: 20, bottom: HEIGHT - 50 } as const;

/** Powers of ten within a range. */
const decades = (low: number, high: number): number[] => {
  const list: number[] = [];
  for (let e = Math.ceil(Math.log10(low) - 1e-9); e <= Math.log10(high) + 1e-9; e++) list.push(10 ** e);
  return list;
};

const px = (value: number): string => value.toFixed(1);

/** A row that the plot shows, and where. */
interface Dot {
  readonly row: Row;
  readonly intensity: number;
  readonly rate: number;
}

/** The rows that have bytes, operations and so a place in the plot; their numbers there are their places in this list, from 1 on. */
export const dotsOf = (rows: readonly Row[]): Dot[] =>
  rows.flatMap((row) => {
    const rate = operationsPerSecond(row);
    return row.bytes && row.operations && rate ? [{ row, intensity: row.operations / row.bytes, rate }] : [];
  });

/** The colour of each kernel. */
export function coloursOf(dots: readonly Dot[]): (row: Row, lightness: number) => string {
  const kernelOf = ({ name }: Row): string => name.split(" ")[0]!;
  const kernels = [...new Set(dots.map(({ row }) => kernelOf(row)))];
  return (row, lightness) => `hsl(${Math.round((360 * kernels.indexOf(kernelOf(row))) / kernels.length)} 70% ${lightness}%)`;
}

/** Room that the number of a dot takes. */
const NUMBER = { width: 7, height: 10 } as const;

/** A place for each dot's number beside it, free of the numbers before where one of a few places is. */
function placeNumbers(dots: readonly { readonly x: number; readonly y: number }[]): { readonly x: number; readonly y: number }[] {
  const taken: { readonly x: number; readonly y: number; readonly width: number }[] = [];
  return dots.map(({ x, y }, i) => {
    const width = NUMBER.width * `${i + 1}`.length;
    const places = [6, 16, 26, 36].flatMap((far) =>
      [
        [far, 3],
        [-far - width, 3],
        [-width / 2, -far],
        [-width / 2, far + 6],
        [far, -far],
        [-far - width, -far],
        [far, far + 6],
        [-far - width, far + 6],
      ].map(([dx, dy]) => ({ x: x + dx!, y: y + dy! })),
    );
    const isFree = (place: { x: number; y: number }): boolean =>
      taken.every(
        (other) => Math.abs(other.y - place.y) >= NUMBER.height || place.x + width <= other.x || other.x + other.width <= place.x,
      ) && dots.every((dot) => Math.abs(dot.y + 3 - place.y) >= NUMBER.height - 2 || dot.x + 4 <= place.x || place.x + width <= dot.x - 4);
    const place = places.find(isFree) ?? places[0]!;
    taken.push({ ...place, width });
    return place;
  });
}

/** The plot, or undefined where no row has both counts or no ceiling was measured. */
export function rooflineSvg({ rows, limits }: Pick<BenchResults, "rows" | "limits">): string | undefined {
  const points = dotsOf(rows);
  const roofs = Object.entries(limits.operationsPerSecond);
  const read = limits.readBytesPerSecond;
  if (points.length === 0 || (roofs.length === 0 && !read)) return undefined;
  const rates = [...roofs.map(([, rate]) => rate), ...points.map(({ rate }) => rate)];
  const topRoof = Math.max(...(roofs.length > 0 ? roofs.map(([, rate]) => rate) : rates));
  const ridges = read ? [topRoof / read, ...roofs.map(([, rate]) => rate / read)] : [];
  const xs = [...points.map(({ intensity }) => intensity), ...ridges];
  const decadeBelow = (value: number): number => 10 ** Math.floor(Math.log10(value / 2));
  const decadeAbove = (value: number): number => 10 ** Math.ceil(Math.log10(value * 2));
  const [xLow, xHigh] = [decadeBelow(Math.min(...xs)), decadeAbove(Math.max(...xs))];
  const [yLow, yHigh] = [decadeBelow(Math.min(...rates)), decadeAbove(Math.max(...rates))];
  const x = axis(xLow, xHigh, AREA.left, AREA.right);
  const y = axis(yLow, yHigh, AREA.bottom, AREA.top);
  const parts: string[] = [];
  for (const value of decades(xLow, xHigh)) {
    parts.push(`<line class="grid" x1="${px(x(value))}" y1="${AREA.top}" x2="${px(x(value))}" y2="${AREA.bottom}"/>`);
    parts.push(
      `<text x="${px(x(value))}" y="${AREA.bottom + 18}" text-anchor="middle">${value >= 1 ? value : value.toPrecision(1)}</text>`,
    );
  }
  for (const value of decades(yLow, yHigh)) {
    parts.push(`<line class="grid" x1="${AREA.left}" y1="${px(y(value))}" x2="${AREA.right}" y2="${px(y(value))}"/>`);
    parts.push(`<text x="${AREA.left - 8}" y="${px(y(value) + 4)}" text-anchor="end">${escapeHtml(formatRate(value))}</text>`);
  }
  if (read) {
    const from = Math.max(xLow, yLow / read);
    const to = topRoof / read;
    parts.push(
      `<line class="roof" x1="${px(x(from))}" y1="${px(y(from * read))}" x2="${px(x(to))}" y2="${px(y(to * read))}"><title>memory: ${escapeHtml(formatRate(read))}B/s</title></line>`,
      `<text x="${px(x(from) + 8)}" y="${px(Math.max(AREA.top + 14, y(from * read) - 14))}">read ${escapeHtml(formatRate(read))}B/s</text>`,
    );
  }
  // Labels of roofs that lie close together keep their distance.
  let lastLabel = Number.NEGATIVE_INFINITY;
  for (const [name, rate] of [...roofs].sort(([, a], [, b]) => b - a)) {
    const from = read ? rate / read : xLow;
    const label = Math.max(y(rate) + 4, lastLabel + 14);
    lastLabel = label;
    parts.push(`<line class="roof" x1="${px(x(from))}" y1="${px(y(rate))}" x2="${AREA.right}" y2="${px(y(rate))}"/>`);
    parts.push(`<text x="${AREA.right + 6}" y="${px(label)}">${escapeHtml(`${name} ${formatRate(rate)}`)}</text>`);
  }
  const colour = coloursOf(points);
  const numbers = placeNumbers(points.map(({ intensity, rate }) => ({ x: x(intensity), y: y(rate) })));
  for (const [i, { row, intensity, rate }] of points.entries()) {
    const title = `${i + 1} ${row.name}: ${formatMs(row.median)}, ${formatRate(rate)}op/s${row.limitShare === undefined ? "" : `, ${formatShare(row.limitShare)} of the limit`}`;
    const at = numbers[i]!;
    parts.push(
      `<circle cx="${px(x(intensity))}" cy="${px(y(rate))}" r="4" fill="${colour(row, 45)}"><title>${escapeHtml(title)}</title></circle>`,
      `<text class="number" x="${px(at.x)}" y="${px(at.y)}" fill="${colour(row, 30)}">${i + 1}</text>`,
    );
  }
  parts.push(`<text x="${(AREA.left + AREA.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">operations per byte</text>`);
  parts.push(
    `<text transform="translate(16 ${(AREA.top + AREA.bottom) / 2}) rotate(-90)" text-anchor="middle">operations per second</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="roofline plot">\n${parts.join("\n")}\n</svg>`;
}

/** The names of the dots by their numbers, each in its kernel's colour. */
function legend(rows: readonly Row[]): string {
  const dots = dotsOf(rows);
  const colour = coloursOf(dots);
  return dots.map(({ row }) => `<li style="color:${colour(row, 30)}">${escapeHtml(row.name)}</li>`).join("\n");
}

export function resultsPage(results: BenchResults): string {
  const { tokenTimes = [] } = results;
  const svg = rooflineSvg(results);
  const notes = warnings(results.rows);
  const layer = formatLayerLinears(results.rows);
  const cells = (row: readonly string[], tag: "td" | "th"): string =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gureum bench: ${escapeHtml(deviceName(results.device))}</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222; background: #fff; }
pre { overflow-x: auto; background: #f5f5f5; padding: 0.8em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 2px 10px; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.wide { overflow-x: auto; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.grid { stroke: #e4e4e4; }
.roof { stroke: #222; stroke-width: 1.5; }
circle { stroke: #fff; }
.number { font-size: 10px; }
.names { columns: 18em; font-size: 12px; padding-left: 2.5em; }
</style>
</head>
<body>
<h1>gureum bench</h1>
<pre>${escapeHtml(`${results.command}\n${formatHead(results)}${results.device.toggles ? `\ntoggles   ${results.device.toggles}` : ""}\nfeatures  ${(results.device.features ?? []).join(" ") || "none"}`)}</pre>
${svg ? `<h2>Roofline</h2>\n${svg}\n<ol class="names">\n${legend(results.rows)}\n</ol>` : ""}
<h2>Rows</h2>
<div class="wide"><table>
<thead>${cells(rowHeader, "th")}</thead>
<tbody>
${results.rows.map((row) => cells(rowCells(row), "td")).join("\n")}
</tbody>
</table></div>
${notes.length > 0 ? `<p>${notes.map(escapeHtml).join("<br>")}</p>` : ""}
${layer ? `<h2>The linears of a layer</h2>\n<pre>${escapeHtml(layer)}</pre>` : ""}
${tokenTimes.length > 0 ? `<h2>A token</h2>\n<pre>${escapeHtml(formatTokenTimes(tokenTimes))}</pre>` : ""}
${
  results.facts
    ? `<h2>Memory, bytes</h2>\n<pre>${escapeHtml(
        Object.entries(results.facts)
          .map(([name, value]) => `${name}: ${value}`)
          .join("\n"),
      )}</pre>`
    : ""
}
</body>
</html>
`;
}
