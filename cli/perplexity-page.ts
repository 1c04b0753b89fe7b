/** Perplexity figures as one page that needs nothing else, with histograms as inline SVG. */

import type { PerplexityResult } from "../core/eval/perplexity.ts";
import { histogram, quantileOfSorted } from "../core/eval/statistics.ts";
import { escapeHtml } from "../core/text.ts";
import { htmlPage } from "./html-page.ts";

const [WIDTH, HEIGHT] = [640, 220];
const AREA = { left: 56, right: WIDTH - 12, top: 10, bottom: HEIGHT - 40 } as const;
const BINS = 48;

/** Bars of counts; a value beyond `low` or `high` counts in the outermost bar, and the axis says so. */
function plot(label: string, values: Float64Array, low: number, high: number): string {
  if (!(high > low)) return `<p>${escapeHtml(label)}: all values are ${low}</p>`;
  const counts = histogram(values, low, high, BINS);
  const most = Math.max(...counts);
  const width = (AREA.right - AREA.left) / BINS;
  const bars = counts
    .map((count, i) => {
      const height = (count / most) * (AREA.bottom - AREA.top);
      const [from, to] = [low + ((high - low) * i) / BINS, low + ((high - low) * (i + 1)) / BINS];
      return `<rect x="${(AREA.left + i * width).toFixed(1)}" y="${(AREA.bottom - height).toFixed(1)}" width="${(width - 1).toFixed(1)}" height="${height.toFixed(1)}"><title>${from.toPrecision(3)} to ${to.toPrecision(3)}: ${count}</title></rect>`;
    })
    .join("");
  const name = escapeHtml(label);
  return `<h2>${name}</h2>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="histogram of ${name}">${bars}
<line x1="${AREA.left}" x2="${AREA.right}" y1="${AREA.bottom}" y2="${AREA.bottom}"/>
<text x="${AREA.left}" y="${AREA.bottom + 16}">≤ ${low.toPrecision(3)}</text>
<text x="${AREA.right}" y="${AREA.bottom + 16}" text-anchor="end">≥ ${high.toPrecision(3)}</text>
<text x="${(AREA.left + AREA.right) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${name}</text>
<text x="${AREA.left - 6}" y="${AREA.top + 10}" text-anchor="end">${most}</text></svg>`;
}

const style = `rect { fill: #3b6ea5; }
line { stroke: #222; }
@media (prefers-color-scheme: dark) { rect { fill: #79a7d8; } line { stroke: #ddd; } text { fill: #ddd; } }`;

/** A histogram of the middle 99 % of the values. */
function middle(label: string, values: Float64Array): string {
  const sorted = values.toSorted();
  return plot(label, values, quantileOfSorted(sorted, 0.005), quantileOfSorted(sorted, 0.995));
}

export function perplexityPage({ perToken }: PerplexityResult, title: string, text: string): string {
  const { loss, kl, deltaP } = perToken;
  const plots = [middle("−log p of each token, nats", loss)];
  if (kl)
    plots.push(
      middle(
        "log₁₀ KL(base ‖ model), nats",
        kl.map((value) => Math.log10(Math.max(value, 1e-16))),
      ),
    );
  if (deltaP) plots.push(middle("change of the right token's p", deltaP));
  return htmlPage("perplexity", title, style, [`<pre>${escapeHtml(text)}</pre>`, ...plots].join("\n"));
}
