/**
 * report.html: a certificate as one self-contained page, with the error against the bound of each kernel's cases as
 * inline SVG.
 */

import { escapeHtml as html } from "../../core/text.ts";
import { type Row, replayCommand } from "../check.ts";
import { formatFingerprint, outOfSpecification } from "../device/arithmetic.ts";
import { type Certificate, cells, columns, leftOutLines, UNLIMITED, violations } from "./certificate.ts";

const [WIDTH, HEIGHT, MARGIN] = [260, 200, 34];

/** Points (bound, error) on two log₁₀ axes with the line error = bound; cases without error lie on the lower edge. */
export function plot(row: Row): string {
  const seen = row.points.filter(({ bound, error }) => bound > 0 && Number.isFinite(error));
  if (seen.length === 0) return `<p>${withoutPoints(row)}</p>`;
  const logs = seen.flatMap(({ bound, error }) => (error > 0 ? [Math.log10(bound), Math.log10(error)] : [Math.log10(bound)]));
  const low = Math.max(Math.floor(Math.min(...logs)), Math.floor(Math.max(...logs)) - 24);
  const high = Math.max(Math.ceil(Math.max(...logs)), low + 1);
  const at = (log: number): number => Math.max(0, Math.min(1, (log - low) / (high - low)));
  const x = (bound: number): string => (MARGIN + at(Math.log10(bound)) * (WIDTH - MARGIN - 8)).toFixed(1);
  const y = (error: number): string => (HEIGHT - MARGIN - (error > 0 ? at(Math.log10(error)) : 0) * (HEIGHT - MARGIN - 8)).toFixed(1);
  const dots = seen
    .map(({ bound, error }) => `<circle cx="${x(bound)}" cy="${y(error)}" r="2"${error > bound ? ' class="bad"' : ""}/>`)
    .join("");
  const [x0, y0, x1, y1] = [x(10 ** low), y(10 ** low), x(10 ** high), y(10 ** high)];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="error against bound">
<rect x="${x0}" y="${y1}" width="${Number(x1) - Number(x0)}" height="${Number(y0) - Number(y1)}" class="frame"/>
<line x1="${x0}" y1="${y0}" x2="${x1}" y2="${y1}" class="limit"/>${dots}
<text x="${x0}" y="${HEIGHT - 18}">1e${low}</text><text x="${x1}" y="${HEIGHT - 18}" text-anchor="end">1e${high}</text>
<text x="${WIDTH / 2}" y="${HEIGHT - 4}" text-anchor="middle">bound</text>
<text x="4" y="${HEIGHT / 2}">error</text>
<text x="4" y="${y0}">1e${low}</text><text x="4" y="${Number(y1) + 8}">1e${high}</text></svg>`;
}

/** Why there is nothing to plot: true of the row, whatever it holds. */
function withoutPoints({ cases, failures, worst, worstError }: Row): string {
  if (failures.length > 0) return "Violated; no case with a finite error and a bound above 0 to plot.";
  if (cases === 0) return "Not run.";
  if (worst === null) return "No element had a finite bound to compare with.";
  if (worstError === 0) return "Every compared result is exact.";
  return "No point was kept.";
}

const drawn = ({ runs, timeMs }: Certificate): string =>
  [...(runs < UNLIMITED ? [`${runs} cases per law`] : []), ...(timeMs === null ? [] : [`within ${timeMs / 1000} s in all`])].join(", ");

/** What the whole comes to; "every law holds" only where every law was tried. */
const title = (c: Certificate): string => {
  const failed = violations(c);
  if (failed > 0) return `${failed} violated`;
  if (c.rows.every(({ cases }) => cases === 0)) return "nothing was run";
  return c.rows.some(({ leftOut }) => leftOut) ? "every law that was tried holds" : "every law holds";
};

/** Version, commit, date and machine, as far as the certificate says them. */
const provenance = ({ version, commit, date, runtime, platform, cpu }: Certificate): string =>
  [`${version}${commit ? ` (commit ${commit})` : ""} on ${runtime}`, platform, cpu, date].filter(Boolean).join(", ");

/** The page. */
export function reportHtml(c: Certificate): string {
  const devices = c.devices
    .map((d) => {
      const facts = [d.implementation, d.vendor, d.architecture, d.device, d.description, ...d.notes].filter((s) => s !== "");
      return `<li><b>${html(d.backend)}</b>: ${html(facts.join(" · "))}</li>`;
    })
    .join("\n");
  const rows = c.rows
    .map(
      (row) =>
        `<tr${row.failures.length ? ' class="bad"' : ""}>${cells(row)
          .map((cell) => `<td>${html(cell)}</td>`)
          .join("")}</tr>`,
    )
    .join("\n");
  const failures = c.rows
    .flatMap((row) => row.failures.map((f) => ({ row, f })))
    .map(
      ({ row, f }) =>
        `<h3>${html(`${row.op} on ${row.backend}/${row.variant}`)}</h3><p>${html(f.law)}: ${html(f.message)}</p><pre>${html(replayCommand(f))}</pre>`,
    )
    .join("\n");
  const plots = c.rows
    .map((row) => `<figure>${plot(row)}<figcaption>${html(row.op)} · ${html(`${row.backend}/${row.variant}`)}</figcaption></figure>`)
    .join("\n");
  const arithmetic = c.devices
    .flatMap((d) => (d.arithmetic ? [d.arithmetic] : []))
    .map((f) => {
      const wrong = outOfSpecification(f);
      const verdict = wrong.length === 0 ? "Every built-in is within what WGSL allows." : `Out of specification: ${wrong.join("; ")}.`;
      return `<p${wrong.length ? ' class="bad"' : ""}>${html(verdict)}</p><pre>${html(formatFingerprint(f))}</pre>`;
    })
    .join("\n");
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>gureum conformance</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1100px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: 2px 10px 2px 0; text-align: left; border-bottom: 1px solid #ddd; }
tr.bad td, .bad { color: #b00020; fill: #b00020; }
figure { display: inline-block; margin: 0 8px 16px 0; vertical-align: top; width: ${WIDTH}px; }
figcaption { font-size: 12px; } svg text { font-size: 9px; fill: #555; }
circle { fill: #1f5fa8; fill-opacity: .6; } .frame { fill: none; stroke: #ccc; } .limit { stroke: #888; stroke-dasharray: 3 3; }
pre { white-space: pre-wrap; background: #f5f5f5; padding: 8px; }
</style>
<h1>Conformance: ${title(c)}</h1>
<p>gureum ${html(provenance(c))}; seed ${c.seed}, ${drawn(c)}; ${(c.elapsedMs / 1000).toFixed(1)} s.</p>
<ul>${devices}</ul>
${failures ? `<h2>Violations</h2>${failures}` : ""}
${arithmetic ? `<h2>Arithmetic</h2>${arithmetic}` : ""}
<h2>Results</h2>
${leftOutLines(c.rows)
  .map((line) => `<p>Left out, ${html(line)}.</p>`)
  .join("\n")}
<table><tr>${columns.map((name) => `<th>${name}</th>`).join("")}</tr>
${rows}</table>
<p>Worst error, its bound and headroom (error ÷ bound) are of the element nearest its bound; the median is over random cases. Bounds are
derived: docs/accuracy.md.</p>
<h2>Error against bound</h2>
<p>One dot a case, its worst element; the dashed line is error = bound.</p>
${plots}
</html>
`;
}
