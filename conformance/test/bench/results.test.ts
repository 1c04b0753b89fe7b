import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareResults } from "../../../bench/compare.ts";
import { resultsPage, rooflineSvg } from "../../../bench/html.ts";
import { measuredModel } from "../../../bench/identity.ts";
import { formatLayerLinears, layerLinears } from "../../../bench/layer.ts";
import {
  type BenchResults,
  type Counts,
  checkResults,
  limitOf,
  makeRow,
  type Row,
  readResults,
  writeResults,
} from "../../../bench/results.ts";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import { csvOfComparison, csvOfRows, formatColumns, formatComparison, formatMs, formatRate, formatRows } from "../../../bench/table.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { GureumError } from "../../../core/errors.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

const limits = { readBytesPerSecond: 1e12, operationsPerSecond: { f32: 2e13, i8: 4e13 } as const };
const row = (name: string, samplesMs: number[], counts: Counts = {}): Row =>
  makeRow("kernels", { name, timer: "gpu timestamps", calls: 1, samplesMs }, counts, limits);
const resultsOf = (rows: Row[], command = "gureum bench kernels"): BenchResults => ({
  format: "gureum-bench-1",
  command,
  version: "0.1.0",
  commit: null,
  date: "2026-11-23T00:00:00.000Z",
  host: { runtime: "Node 20", platform: "linux x64", cpu: "a cpu" },
  device: {
    backend: "webgpu",
    implementation: "Dawn",
    vendor: "",
    architecture: "",
    device: "a device",
    description: "1.2",
    toggles: "",
    features: ["subgroups"],
    notes: [],
  },
  limits,
  rows,
});

const samples = fc.array(fc.double({ min: 1e-4, max: 1e4, noNaN: true }), { minLength: 3, maxLength: 20 });
const counts = fc.record({
  bytes: fc.integer({ min: 1, max: 1e9 }),
  operations: fc.integer({ min: 1, max: 1e12 }),
  arithmetic: fc.constantFrom("f32" as const, "i8" as const),
});
const rowLists = fc
  .array(fc.tuple(samples, counts), { minLength: 1, maxLength: 6 })
  .map((list) => list.map(([times, work], i) => row(`kernel${i % 3} step${i} T=1`, times, work)));

const work = freshFolder("bench");

describe("a row", () => {
  it("takes as its limit what needs more time: the bytes or the operations", () => {
    fc.assert(
      fc.property(samples, counts, (times, work) => {
        const { limitShare, limit, median } = row("k", times, work);
        const memory = work.bytes / limits.readBytesPerSecond;
        const arithmetic = work.operations / limits.operationsPerSecond[work.arithmetic];
        expect(limit).toBe(memory >= arithmetic ? "memory" : "arithmetic");
        const seconds = Math.max(memory, arithmetic);
        // Four roundings of quotients and products on each side.
        expect(Math.abs(limitShare! / (seconds / (median / 1e3)) - 1)).toBeLessThanOrEqual(8 * Number.EPSILON);
      }),
    );
  });

  it("has no share where nothing says what it could be", () => {
    expect(limitOf({}, limits)).toBeUndefined();
    expect(limitOf({ operations: 5, arithmetic: "f16" }, limits)).toBeUndefined();
    expect(limitOf({ bytes: 5 }, { operationsPerSecond: {} })).toBeUndefined();
  });
});

describe("compare", () => {
  const config = synthShapes.tiny.config;
  const measured = (name: string, of: LlamaConfig = config): BenchResults => ({
    ...resultsOf([row(`prefill 512 ${name}`, [3, 4, 5], { tokens: 512 }), row(`decode 128 at 0 ${name}`, [7, 8, 9], { tokens: 128 })]),
    model: measuredModel(name, of, syntheticRefs(of)),
  });

  it("joins one model under two names, and not another one of the same name", () => {
    const same = compareResults(measured("KULLM3-AWQ"), measured("copy of it", { ...config, eosTokenIds: [7] }));
    expect(same.rows.map(({ name }) => name)).toEqual(["prefill 512 KULLM3-AWQ", "decode 128 at 0 KULLM3-AWQ"]);
    expect(same).toMatchObject({ onlyA: [], onlyB: [], incomparable: [] });
    const other = compareResults(measured("model"), measured("model", { ...config, intermediateSize: 2 * config.intermediateSize }));
    expect(other.rows).toEqual([]);
    expect(other.incomparable).toHaveLength(2);
    expect(other.differences.join()).toMatch(/model: model \([0-9a-f]{16}\) \| model/);
    expect(formatComparison(other)).toMatch(/^nothing to compare/);
  });

  it("joins results of old, which had the path in their rows, by what the rows count", () => {
    const old = (path: string): BenchResults =>
      resultsOf([
        { ...row(`load ${path}`, [9], { bytes: 5 }), group: "model" },
        { ...row(`prefill 512 ${path}`, [3, 4, 5], { tokens: 512 }), group: "model" },
      ]);
    expect(compareResults(old("/a/model"), old("../b/model")).rows).toHaveLength(2);
    expect(compareResults(old("/a/model"), measured("model")).rows.map(({ name }) => name)).toEqual(["prefill 512 /a/model"]);
  });

  it("finds a file the same as itself, row by row", () => {
    fc.assert(
      fc.property(rowLists, (rows) => {
        const { rows: compared, ...rest } = compareResults(resultsOf(rows), resultsOf(rows));
        expect(compared.map(({ name, ratio }) => ({ name, ratio }))).toEqual(rows.map(({ name }) => ({ name, ratio: 1 })));
        for (const { interval, verdict } of compared)
          expect(verdict).toMatch(interval!.low > 0.95 && interval!.high < 1.05 ? /^same$/ : /^(same|unclear)$/);
        expect(rest).toEqual({ onlyA: [], onlyB: [], incomparable: [], differences: [] });
      }),
      { numRuns: 10 },
    );
  });

  it("turns faster into slower where the files are exchanged", () => {
    fc.assert(
      fc.property(samples, samples, (a, b) => {
        const [there] = compareResults(resultsOf([row("k", a)]), resultsOf([row("k", b)])).rows;
        const [back] = compareResults(resultsOf([row("k", b)]), resultsOf([row("k", a)])).rows;
        expect(Math.abs(there!.ratio * back!.ratio - 1)).toBeLessThanOrEqual(3 * Number.EPSILON);
        if (there!.verdict === "faster") expect(back!.verdict).not.toBe("faster");
      }),
      { numRuns: 10 },
    );
  });

  it("calls twice the speed faster, half of it slower, and one sample unclear", () => {
    const base = [10, 10.1, 9.9, 10.05, 9.95];
    const half = base.map((ms) => ms / 2);
    const verdict = (a: number[], b: number[]) => compareResults(resultsOf([row("k", a)]), resultsOf([row("k", b)])).rows[0]!.verdict;
    expect(verdict(base, half)).toBe("faster");
    expect(verdict(half, base)).toBe("slower");
    expect(verdict(base, base)).toBe("same");
    expect(verdict([10], half)).toBe("unclear");
    // Samples that lie between half and twice the median rule out neither twice as fast nor half as fast.
    expect(verdict([5, 10, 20, 7, 14], [14, 7, 20, 10, 5])).toBe("unclear");
  });

  it("gives no interval where there are too few samples to say", () => {
    const comparison = compareResults(resultsOf([row("load", [400])]), resultsOf([row("load", [600])]));
    expect(comparison.rows[0]).toMatchObject({ interval: null, verdict: "unclear" });
    expect(formatComparison(comparison)).toMatch(/0\.667x +too few samples +unclear/);
    expect(csvOfComparison(comparison)).toMatch(/\nload,400,600,0\.66+7?,,,unclear$/);
  });

  it("lists what only one file has, and sets apart rows that are not the same work", () => {
    const a = resultsOf([row("both", [1, 2, 3], { bytes: 10 }), row("a", [1])], "one");
    const b = resultsOf([row("both", [1, 2, 3], { bytes: 11 }), row("b", [1])], "two");
    const comparison = compareResults(a, b);
    expect(comparison).toEqual({ rows: [], onlyA: ["a"], onlyB: ["b"], incomparable: ["both"], differences: ["command: one | two"] });
    expect(formatComparison(comparison)).toContain("not the same work");
  });
});

describe("results on disk", () => {
  it("read back as they were written", async () => {
    await fc.assert(
      fc.asyncProperty(rowLists, async (rows) => {
        const path = join(work, "results.json");
        await writeResults(path, resultsOf(rows));
        expect(await readResults(path)).toEqual(resultsOf(rows));
      }),
      { numRuns: 10 },
    );
  });

  it("are a value or a GureumError, whatever the file says", () => {
    const damaged = fc.tuple(rowLists, fc.jsonValue(), fc.nat()).map(([rows, junk, where]) => {
      const copy = JSON.parse(JSON.stringify(resultsOf(rows))) as Record<string, unknown>;
      const targets: [Record<string, unknown>, string][] = [
        ...Object.keys(copy).map((key): [Record<string, unknown>, string] => [copy, key]),
        ...["device", "host", "limits"].flatMap((name) => {
          const inner = copy[name] as Record<string, unknown>;
          return Object.keys(inner).map((key): [Record<string, unknown>, string] => [inner, key]);
        }),
        ...Object.keys((copy.rows as Record<string, unknown>[])[0]!).map((key): [Record<string, unknown>, string] => [
          (copy.rows as Record<string, unknown>[])[0]!,
          key,
        ]),
      ];
      const [target, key] = targets[where % targets.length]!;
      target[key] = junk;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), damaged), (value) => {
        let results: BenchResults;
        try {
          results = checkResults(value);
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          return;
        }
        // What passes can be compared and shown.
        formatComparison(compareResults(results, results));
        resultsPage(results);
      }),
      { numRuns: 300 },
    );
  });

  it("are refused where a number is impossible", () => {
    for (const bad of [{ bytes: 5e-324 }, { operations: 1e308 }, { tokens: -1 }, { limitShare: Number.NaN }])
      expect(() => checkResults(resultsOf([{ ...row("k", [1, 2, 3], { bytes: 1, operations: 1 }), ...bad }]))).toThrow(/no number as/);
    expect(() => checkResults(resultsOf([row("k", [1e-320, 1e-320])]))).toThrow(/no samples/);
    expect(() => checkResults({ ...resultsOf([row("k", [1])]), limits: { ...limits, readBytesPerSecond: 1e-320 } })).toThrow(/limit/);
  });

  it("are refused by name where two rows share one, a median is not of its samples, or samples are missing", async () => {
    const good = resultsOf([row("k", [1, 2, 3])]);
    const [first] = good.rows;
    const bad: [RegExp, unknown][] = [
      [/two rows are called "k"/, { ...good, rows: [first, first] }],
      [/median/, { ...good, rows: [{ ...first, median: 7 }] }],
      [/no samples/, { ...good, rows: [{ ...first, samples: [] }] }],
      [/no samples/, { ...good, rows: [{ ...first, samples: [0, 0, 0] }] }],
      [/no benchmark results/, { rows: [] }],
    ];
    for (const [message, value] of bad) {
      const path = join(work, "bad.json");
      await writeFile(path, JSON.stringify(value));
      await expect(readResults(path)).rejects.toMatchObject({ code: "format", message: expect.stringMatching(message) });
    }
    await writeFile(join(work, "bad.json"), "{");
    await expect(readResults(join(work, "bad.json"))).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/not JSON/) });
  });
});

describe("the page", () => {
  it("draws every row that has both counts once, inside the axes", () => {
    fc.assert(
      fc.property(rowLists, (rows) => {
        const svg = rooflineSvg({ rows, limits })!;
        const circles = [...svg.matchAll(/<circle cx="([\d.-]+)" cy="([\d.-]+)"/g)].map(([, x, y]) => [Number(x), Number(y)] as const);
        expect(circles).toHaveLength(rows.length);
        for (const [x, y] of circles) {
          expect(x).toBeGreaterThanOrEqual(80);
          expect(x).toBeLessThanOrEqual(750);
          expect(y).toBeGreaterThanOrEqual(20);
          expect(y).toBeLessThanOrEqual(470);
        }
        expect(svg.match(/class="roof"/g)).toHaveLength(3);
        const numbers = [...svg.matchAll(/<text class="number"[^>]*>(\d+)</g)].map(([, n]) => Number(n));
        expect(numbers).toEqual(rows.map((_, i) => i + 1));
      }),
    );
  });

  it("names every dot by its number, and keeps the numbers of dots in one place apart", () => {
    const rows = Array.from({ length: 12 }, (_, i) => row(`kernel${i} step T=1`, [1], { bytes: 100, operations: 100, arithmetic: "f32" }));
    const page = resultsPage(resultsOf(rows));
    for (const [i, { name }] of rows.entries()) {
      expect(page).toContain(`${name}</li>`);
      expect(page).toContain(`<title>${i + 1} ${name}: `);
    }
    const places = [...page.matchAll(/<text class="number" x="([\d.-]+)" y="([\d.-]+)"/g)].map(([, x, y]) => `${x},${y}`);
    expect(new Set(places).size).toBe(12);
  });

  it("has no plot where there is nothing to draw under", () => {
    expect(rooflineSvg({ rows: [row("k", [1])], limits })).toBeUndefined();
    expect(rooflineSvg({ rows: [row("k", [1], { bytes: 1, operations: 1 })], limits: { operationsPerSecond: {} } })).toBeUndefined();
  });

  it("needs nothing from elsewhere, and shows names as text", () => {
    const name = `<script>alert("x")</script>&'`;
    const page = resultsPage(resultsOf([row(name, [1, 2, 3], { bytes: 4, operations: 8, arithmetic: "f32" })]));
    expect(page).not.toContain("<script");
    expect(page).toContain("&lt;script&gt;");
    expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', "")).not.toMatch(/https?:|src=|<link|@import|url\(/);
  });
});

describe("tables", () => {
  it("give times and rates three or four digits in the unit that fits", () => {
    expect([1234.5, 12.345, 0.012345, 0.0000123].map(formatMs)).toEqual(["1.234 s", "12.35 ms", "12.35 µs", "12.3 ns"]);
    expect([4.68e12, 8.8e8, 12_000, 3].map(formatRate)).toEqual(["4.68 T", "880 M", "12.0 k", "3.00"]);
  });

  it("mark a spread of more than a tenth, and say what the mark means", () => {
    const [steady, wide] = [row("steady", [10, 10.1, 10.2, 10.3, 10.1]), row("wide", [10, 14, 6, 15, 10])];
    expect(formatRows([steady])).not.toMatch(/!/);
    const text = formatRows([steady, wide]);
    expect(text).toMatch(/^wide .* ±\d+ % !/m);
    expect(text).toMatch(/^steady .* ±[\d.]+ %(?! !)/m);
    expect(text).toMatch(/^! {3}the middle half of the samples spans more than ±10 % of the median/m);
  });

  it("say the same as Markdown, and as values that read back", () => {
    const rows = [row('a, "b" | c', [1, 2, 3], { bytes: 4, operations: 8, arithmetic: "f32" }), row("d", [5])];
    const markdown = formatRows(rows, "markdown").split("\n");
    expect(markdown[1]).toMatch(/^\|---\|(---:\|)+$/);
    expect(markdown[2]).toContain('| a, "b" \\| c |');
    const [header, first, second, ...rest] = csvOfRows(rows).split("\n");
    expect(rest).toEqual([]);
    const at = (name: string): number => header!.split(",").indexOf(name);
    expect(first!.startsWith('"a, ""b"" | c",kernels,2,')).toBe(true);
    const cells = second!.split(",");
    expect(cells).toHaveLength(header!.split(",").length);
    expect([cells[at("median_ms")], cells[at("samples")], cells[at("wide")], cells[at("bytes")]]).toEqual(["5", "1", "false", ""]);
  });

  it("leave out columns that are empty throughout", () => {
    expect(formatColumns(["", "a", "b"], [["x", "", "1"]])).toBe("   b\nx  1");
  });
});

describe("the linears of a layer", () => {
  const part = (way: string, T: number, linears: string[], calls: number, ms: number): Row =>
    makeRow(
      "kernels",
      { name: `${way} ${linears.join("+")} T=${T}`, timer: "gpu timestamps", calls: 1, samplesMs: [ms] },
      { bytes: 1e9 * ms * 0.5 },
      limits,
      { layer: { way, linears, calls, T } },
    );
  const whole = (way: string, T: number): Row[] => [
    part(way, T, ["qProj", "oProj"], 2, 10),
    part(way, T, ["kProj", "vProj"], 2, 3),
    part(way, T, ["gateProj", "upProj"], 2, 20),
    part(way, T, ["downProj"], 1, 21),
  ];

  it("are one number per way and number of rows, each row as often as a layer runs it, beside what the limits allow", () => {
    const found = layerLinears([...whole("slow", 16), ...whole("one", 1), row("other", [1])]);
    expect(found.map(({ way, T, ms }) => [way, T, ms])).toEqual([
      ["one", 1, 87],
      ["slow", 16, 87],
    ]);
    for (const { ms, limitMs } of found) expect(limitMs! / ms).toBeCloseTo(0.5, 12);
  });

  it("are left out where one of them is missing, or counted twice", () => {
    expect(layerLinears(whole("part", 1).slice(1))).toEqual([]);
    expect(layerLinears([...whole("twice", 1), part("twice", 1, ["downProj"], 1, 1)])).toEqual([]);
    expect(formatLayerLinears(whole("part", 1).slice(1))).toBe("");
  });
});

it("a written file ends with a line break", async () => {
  const path = join(work, "end.json");
  await writeResults(path, resultsOf([row("k", [1])]));
  expect((await readFile(path, "utf8")).endsWith("}\n")).toBe(true);
});
