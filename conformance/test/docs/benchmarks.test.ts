/** docs/benchmarks.md holds present numbers, the README quotes them, docs/log holds the way there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { rowsOf } from "../house/tables.ts";

const root = new URL("../../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

const benchmarks = read("docs/benchmarks.md");
const readme = read("README.md");

describe("docs/benchmarks.md", () => {
  it("is at most 80 lines of at most 220 characters", () => {
    const lines = benchmarks.trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(80);
    expect(lines.filter((line) => line.length > 220)).toEqual([]);
  });

  it("gives machine, date, commit and command of each section, and median, spread and peer of each row", () => {
    for (const section of benchmarks.split(/^## /m).slice(1))
      for (const part of [/^- Machine: /m, /\d{4}-\d\d-\d\d, [0-9a-f]{7}\b/, /ommand: `/]) expect(section).toMatch(part);
    for (const { cells } of rowsOf(benchmarks)) {
      expect(cells.length, cells[0]).toBe(4);
      expect(cells.filter((cell) => cell === "")).toEqual([]);
    }
  });
});

describe("README.md", () => {
  const [, marked] = /<!-- written by npm run docs: speeds -->([\s\S]*?)<!-- end -->/.exec(readme)!;

  it("names no speed but those that docs/benchmarks.md gives it", () => {
    expect(readme.replace(marked!, "").match(/\d[\d.,]* (?:tokens|GB)(?:\/s| a second| per second)/g)).toBeNull();
  });

  it("and the docs link to pages and headings that exist", () => {
    const pages = [
      "README.md",
      "CONTRIBUTING.md",
      "models/gureum-tiny-awq/README.md",
      ...readdirSync(new URL("docs/", root), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".md"))
        .map((name) => `docs/${name}`),
    ];
    const slug = (heading: string): string =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-");
    const dead = pages.flatMap((page) => {
      const links = [
        ...read(page)
          .replace(/```[\s\S]*?```/g, "")
          .matchAll(/\]\(([^)\s]+)\)/g),
      ].map(([, link]) => link!);
      return links
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => {
          const [path, anchor] = link.split("#");
          const target = path === "" ? new URL(page, root) : new URL(path!, new URL(page, root));
          if (!existsSync(target)) return true;
          if (anchor === undefined) return false;
          return ![...readFileSync(target, "utf8").matchAll(/^#+ (.*)$/gm)].some(([, heading]) => slug(heading!) === anchor);
        })
        .map((link) => `${page}: ${link}`);
    });
    expect(dead).toEqual([]);
  });
});

describe("docs/log", () => {
  const pages = readdirSync(new URL("docs/log/", root)).filter((name) => name !== "README.md");
  const heading = (page: string): RegExpExecArray | null =>
    /^# (\d{4}-\d\d-\d\d): (.+) \((kept|dropped|open)\)\n/.exec(read(`docs/log/${page}`));

  it("has a date and a state in each heading, and the date in each name", () => {
    expect(pages.filter((page) => !heading(page) || !page.startsWith(`${heading(page)![1]}-`))).toEqual([]);
  });

  it("is listed whole, newest first, with the state of each page", () => {
    const listed = rowsOf(read("docs/log/README.md")).map(({ cells }) => cells);
    const expected = pages.map((page) => {
      const [, date, title, state] = heading(page)!;
      return [date, `[${title}](${page})`, state];
    });
    expect([...listed].sort()).toEqual([...expected].sort());
    const dates = listed.map(([date]) => date!);
    expect(dates).toEqual([...dates].sort().reverse());
  });
});

describe("docs/decisions", () => {
  it("are numbered without a gap, under their number, with a status", () => {
    const pages = readdirSync(new URL("docs/decisions/", root)).sort();
    expect(pages.map((page) => Number(page.slice(0, 3)))).toEqual(pages.map((_, i) => i + 1));
    for (const page of pages) {
      const text = read(`docs/decisions/${page}`);
      expect(text, page).toMatch(
        new RegExp(`^# ${page.slice(0, 3)}\\. .+\n\nStatus: (accepted|replaced by \\d{3}|withdrawn), \\d{4}-\\d\\d-\\d\\d`),
      );
    }
  });
});
