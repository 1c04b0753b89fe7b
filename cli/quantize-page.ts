/** What quantization cost, as a table for terminals and as one page that needs nothing else. */
import { type LinearName, linearParts } from "../core/model/layer.ts";
import type { QuantizeReport } from "../core/quant/quantize-model.ts";
import { alignColumns, escapeHtml } from "../core/text.ts";
import { htmlPage } from "./html-page.ts";

const names: readonly LinearName[] = linearParts.map(({ name }) => name);

/** A loss, in thousandths of the output's power. */
const thousandths = (loss: number): string => (1000 * loss).toPrecision(3);

const mean = (losses: readonly number[]): number => losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

/** A line for each layer: the loss of each linear, of plain rounding and as written. */
export function lossTable({ layers }: Pick<QuantizeReport, "layers">): string {
  const cell = (nearest: number, quantized: number): string => `${thousandths(nearest)}→${thousandths(quantized)}`;
  const rows = layers.map((losses, i) => [`${i}`, ...names.map((name) => cell(losses[name].nearest, losses[name].quantized))]);
  const means = names.map((name) => cell(mean(layers.map((l) => l[name].nearest)), mean(layers.map((l) => l[name].quantized))));
  return alignColumns([["layer", ...names], ...rows, ["mean", ...means]], () => true).join("\n");
}

const style = `svg { font-size: 11px; }
svg text { fill: #222; }
@media (prefers-color-scheme: dark) { svg text.head { fill: #ddd; } }`;

/** From pale to dark with the logarithm of the loss between the least and the largest. */
function shade(loss: number, least: number, largest: number): string {
  const share = largest > least && loss > 0 ? (Math.log(loss) - Math.log(least)) / (Math.log(largest) - Math.log(least)) : 0;
  return `hsl(${(210 - 190 * share).toFixed(0)} 70% ${(92 - 42 * share).toFixed(0)}%)`;
}

function heatMap(report: QuantizeReport, title: string, which: "nearest" | "quantized", least: number, largest: number): string {
  const [left, top, width, height] = [60, 24, 84, 20];
  const cells = report.layers.flatMap((losses, i) =>
    names.map((name, j) => {
      const loss = losses[name][which];
      const [x, y] = [left + j * width, top + i * height];
      return `<rect x="${x}" y="${y}" width="${width - 1}" height="${height - 1}" fill="${shade(loss, least, largest)}"><title>layer ${i}, ${name}: ${thousandths(loss)} ‰</title></rect><text x="${x + width / 2}" y="${y + 14}" text-anchor="middle">${thousandths(loss)}</text>`;
    }),
  );
  const heads = names.map((name, j) => `<text class="head" x="${left + (j + 0.5) * width}" y="16" text-anchor="middle">${name}</text>`);
  const sides = report.layers.map(
    (_, i) => `<text class="head" x="${left - 8}" y="${top + i * height + 14}" text-anchor="end">${i}</text>`,
  );
  return `<h2>${escapeHtml(title)}</h2>
<svg viewBox="0 0 ${left + names.length * width} ${top + report.layers.length * height}" role="img" aria-label="${escapeHtml(title)}">${[...heads, ...sides, ...cells].join("")}</svg>`;
}

export function quantizePage(report: QuantizeReport, title: string): string {
  const all = report.layers.flatMap((losses) => names.flatMap((name) => [losses[name].nearest, losses[name].quantized]));
  const positive = all.filter((loss) => loss > 0);
  const [least, largest] = [Math.min(...positive), Math.max(...positive)];
  const { settings, calibration } = report;
  const sampled = report.layers.some((losses) => names.some((name) => losses[name].sampled));
  const facts = [
    `bits ${settings.bits}, groups of ${settings.groupSize}`,
    `calibration: ${calibration.name}, ${calibration.texts} texts, ${calibration.tokens} tokens`,
    ...Object.entries(settings).map(([key, value]) => `${key}: ${value}`),
  ];
  const body = `<p>Squared error of each linear's output on the calibration tokens, in thousandths of the squared output${sampled ? "; of large linears on evenly spaced outputs" : ""}.
Both maps have the same colours.</p>
${heatMap(report, "Before: plain rounding", "nearest", least, largest)}
${heatMap(report, "After: as written", "quantized", least, largest)}
<h2>Settings</h2>
<pre>${escapeHtml(facts.join("\n"))}</pre>`;
  return htmlPage("quantize", title, style, body);
}
