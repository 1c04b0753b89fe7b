/**
 * Draws the README's pictures from what the product prints: `npm run pictures` (about a minute of CPU). A chat is run and shown as a terminal;
 * a conformance run gives a table and its plots of error against bound; `gureum bench kernels` gives the roofline.
 * `npm run pictures -- --bench results.json` draws the roofline of another machine from the file that `--json` wrote there; `--only NAME` one picture.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { coloursOf, dotsOf, rooflineSvg } from "../../bench/html.ts";
import { readResults } from "../../bench/results.ts";
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import { plot } from "../../conformance/certificate/report.ts";
import { escapeHtml } from "../../core/text.ts";

const here = new URL("../../../docs/pictures/", import.meta.url);
const cli = fileURLToPath(new URL("../../cli.js", import.meta.url));
const gureum = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [cli, ...args], { env: { ...process.env, NO_COLOR: "1" }, maxBuffer: 1 << 26 })).stdout;

const LINE = 22;
interface Line {
  readonly text: string;
  readonly kind: "prompt" | "answer";
}
/** Lines as a terminal's window. */
function terminal(title: string, lines: readonly Line[], width: number): string {
  const height = 52 + lines.length * LINE;
  const rows = lines.map(({ text, kind }, i) => {
    const y = 58 + i * LINE;
    const sign = kind === "prompt" ? '<tspan class="sign">$ </tspan>' : "";
    return `<text x="18" y="${y}" class="${kind}" xml:space="preserve">${sign}${escapeHtml(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeHtml(title)}">
<style>text { font: 14px ui-monospace, "DejaVu Sans Mono", "Noto Sans Mono CJK KR", "NanumGothicCoding", monospace; }
.prompt { fill: #e6e6e6; } .answer { fill: #9ecbff; } .sign { fill: #7ee787; } .title { fill: #8b949e; font-size: 12px; }</style>
<rect width="${width}" height="${height}" rx="8" fill="#161b22"/>
<circle cx="20" cy="18" r="6" fill="#ff5f57"/><circle cx="40" cy="18" r="6" fill="#febc2e"/><circle cx="60" cy="18" r="6" fill="#28c840"/>
<text x="${width / 2}" y="22" text-anchor="middle" class="title">${escapeHtml(title)}</text>
${rows.join("\n")}
</svg>
`;
}

/** Text in lines of about `width` columns; a wide character takes two. */
function wrap(text: string, width: number): string[] {
  const columns = (s: string): number => [...s].reduce((n, c) => n + (/[\u1100-\u11ff\u2e80-\uffdc]/u.test(c) ? 2 : 1), 0);
  return text.split(" ").reduce<string[]>((lines, word) => {
    const last = lines.at(-1);
    if (last !== undefined && columns(last) + columns(word) < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
    return lines;
  }, []);
}

async function chat(): Promise<string> {
  const lines: Line[] = [];
  for (const question of ["너는 누구니?", "한국의 수도는 어디야?", "오늘 너무 힘들어"]) {
    const answer = await gureum("chat", question, "--backend", "cpu", "--max-new-tokens", "80");
    lines.push({ text: `npx gureum chat "${question}"`, kind: "prompt" });
    for (const text of answer
      .trim()
      .split("\n")
      .flatMap((line) => wrap(line, 84)))
      lines.push({ text, kind: "answer" });
  }
  return terminal("gureum chat, with the model that comes with it", lines, 760);
}

async function conformance(folder: string): Promise<string> {
  await gureum("conformance", "--filter", "*matmul*", "--runs", "60", "--report", folder);
  const c = JSON.parse(await readFile(join(folder, "certificate.json"), "utf8")) as Certificate;
  const rows = c.rows.filter(({ variant }) => !/two-workgroups|in-pieces/.test(variant));
  const shown = rows.filter(({ points }) => points.length > 0).slice(0, 8);
  const drawn = [shown[0]!, ...shown.filter(({ backend }) => backend !== "cpu")].slice(0, 3);
  const [width, rowHeight] = [860, 20];
  const top = 96 + rows.length * rowHeight;
  const height = top + 250;
  const table = rows.map(({ op, backend, variant, cases, worst, failures }, i) => {
    const y = 96 + i * rowHeight;
    const headroom = worst ? worst.headroom.toPrecision(2) : "–";
    const cells = [op, `${backend}/${variant}`, `${cases}`, headroom, failures.length === 0 ? "holds" : `${failures.length} violated`];
    return cells.map((cell, at) => `<text x="${[24, 190, 420, 520, 640][at]}" y="${y}">${escapeHtml(cell)}</text>`).join("");
  });
  const head = ["op", "variant", "cases", "error ÷ bound", "verdict"].map(
    (cell, at) => `<text x="${[24, 190, 420, 520, 640][at]}" y="72" class="head">${cell}</text>`,
  );
  const plots = drawn.map(
    (row, i) =>
      `<g transform="translate(${24 + i * 275} ${top})">${plot(row)}<text x="130" y="222" text-anchor="middle">${escapeHtml(`${row.op} ${row.backend}/${row.variant}`)}</text></g>`,
  );
  const devices = c.devices.map(({ description, implementation }) => description || implementation).filter((text) => text !== "");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="a conformance report">
<style>text { font: 13px system-ui, sans-serif; fill: #222; } svg svg text { font-size: 9px; fill: #555; } .head { font-weight: 600; } .small { font-size: 12px; fill: #555; }
circle { fill: #1f5fa8; fill-opacity: .6; } .bad { fill: #b00020; } .frame { fill: none; stroke: #ccc; } .limit { stroke: #888; stroke-dasharray: 3 3; }</style>
<rect width="${width}" height="${height}" fill="#fff" stroke="#ddd"/>
<text x="24" y="28" class="head">gureum conformance --filter '*matmul*' --runs 60</text>
<text x="24" y="45" class="small">${escapeHtml(devices.join(" · "))}</text>
${head.join("")}
${table.join("\n")}
${plots.join("\n")}
</svg>
`;
}

async function roofline(folder: string, given: string | undefined): Promise<string> {
  const file = given ?? join(folder, "bench.json");
  if (given === undefined) await gureum("bench", "kernels", "--backend", "cpu", "--shape", "tiny", "--rows", "1,16", "--json", file);
  const results = await readResults(file);
  const svg = rooflineSvg(results);
  if (!svg) throw new Error(`${file} has no row with bytes and operations`);
  const dots = dotsOf(results.rows);
  const colour = coloursOf(dots);
  const perColumn = Math.ceil(dots.length / 3);
  // All rows end with the name of the shape, which the command below tells.
  const named = (name: string): string => name.slice(0, name.lastIndexOf(" T=") + 1) + (/T=\d+/.exec(name)?.[0] ?? name);
  const names = dots.map(
    ({ row }, i) =>
      `<text class="name" x="${20 + Math.floor(i / perColumn) * 295}" y="${545 + (i % perColumn) * 14}" style="fill: ${colour(row, 30)}">${escapeHtml(`${i + 1} ${named(row.name)}`)}</text>`,
  );
  const height = 575 + perColumn * 14;
  return `${svg
    .replace(/viewBox="0 0 (\d+) \d+"/, (_, width) => `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`)
    .replace(
      ">\n",
      `>\n<style>text { font: 12px system-ui, sans-serif; fill: #222; } .grid { stroke: #e4e4e4; } .roof { stroke: #222; stroke-width: 1.5; } circle { stroke: #fff; } .number { font-size: 10px; } .name { font-size: 10px; }</style>\n<rect width="100%" height="100%" fill="#fff"/>\n`,
    )
    .replace(
      "</svg>",
      `${names.join("\n")}\n<text x="20" y="${height - 12}" style="fill: #555">${escapeHtml(`${results.command.replace(/ --json \S+/, "")}: ${results.device.description || results.device.backend}`)}</text>\n</svg>`,
    )}\n`;
}

const { values } = parseArgs({ options: { bench: { type: "string" }, only: { type: "string" } } });
const folder = await mkdtemp(join(tmpdir(), "gureum-pictures-"));
const pictures: Readonly<Record<string, () => Promise<string>>> = {
  chat,
  conformance: () => conformance(folder),
  roofline: () => roofline(folder, values.bench),
};
try {
  for (const [name, draw] of Object.entries(pictures)) {
    if (values.only !== undefined && values.only !== name) continue;
    await writeFile(new URL(`${name}.svg`, here), await draw());
    console.log(`docs/pictures/${name}.svg`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
