import { execFileSync } from "node:child_process";
import process from "node:process";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { rmsNorm } from "../../../core/ops/rms-norm.ts";
import { siluMul } from "../../../core/ops/silu-mul.ts";
import { leftOutLines, table, violations } from "../../certificate/certificate.ts";
import { encodeNumbers, type Journal, type RunHead, readJournal } from "../../certificate/journal.ts";
import { plot, reportHtml } from "../../certificate/report.ts";
import { runConformance } from "../../certificate/run.ts";
import { BOUND_LAW, checkKernel, lawNames, replay, replayCommand } from "../../check.ts";
import { POISON } from "../../compare.ts";
import type { AnyKit, Subject } from "../../kit.ts";
import { kitOf, laws } from "../../laws.ts";
import type { RmsNormCase } from "../../ops/rms-norm.ts";
import type { SiluMulCase } from "../../ops/silu-mul.ts";

const norm = (variant: string, run: Subject<RmsNormCase>["run"]): Subject<RmsNormCase> => ({
  op: "rms-norm",
  backend: "mine",
  variant,
  arithmetic: "f64",
  run,
});
const options = { runs: 60, seed: 3 };
const kit = laws["rms-norm"];
const right: Subject<RmsNormCase>["run"] = (c, out) => rmsNorm(out, c.x, c.weight, c.eps, c.T);

describe("the report", () => {
  it("says of a violated row nothing that is not so, and plots it", async () => {
    const off = norm("off", (c, out) => {
      right(c, out);
      out[0] = out[0]! + 1e5;
    });
    const certificate = await runConformance({ subjects: [off], runs: 5 });
    expect(violations(certificate)).toBeGreaterThan(0);
    const html = reportHtml(certificate);
    expect(html).not.toMatch(/exact/);
    expect(html).toContain('class="bad"/>');
  });

  it("plots a sound row whose time ended before a random case, and calls exact only what is", async () => {
    const [sound] = (await runConformance({ subjects: [norm("right", right)], runs: 0 })).rows;
    expect(plot(sound!)).toContain("<circle");
    const row = { ...sound!, points: [] };
    expect(plot(row)).not.toMatch(/exact/);
    expect(plot({ ...row, worstError: 0 })).toMatch(/Every compared result is exact/);
    expect(plot({ ...row, cases: 0 })).toMatch(/Not run/);
    expect(plot({ ...row, worst: null, worstError: 0 })).toMatch(/No element had a finite bound/);
  });
});

describe("checkKernel", () => {
  it("passes a right subject, asynchronous or not", async () => {
    expect((await checkKernel(kit, norm("right", right), options)).failures).toEqual([]);
    expect(
      (
        await checkKernel(
          kit,
          norm("async", async (c, out) => right(c, out)),
          options,
        )
      ).failures,
    ).toEqual([]);
  });

  /** The right result, then something done to the words of the output; element 0 is at word 64. */
  const spoilt =
    (spoil: (words: Uint32Array, length: number) => void): Subject<RmsNormCase>["run"] =>
    (c, out) => {
      right(c, out);
      spoil(new Uint32Array(out.buffer), out.length);
    };

  it.each<[string, Subject<RmsNormCase>["run"], RegExp]>([
    ["one output is left out", spoilt((words) => words.fill(POISON, 64, 65)), /element 0 was not written/],
    ["nothing is written", () => {}, /element 0 was not written/],
    ["one output too many is written", spoilt((words, length) => words.fill(0, 64 + length, 65 + length)), /wrote outside, at element \d/],
    ["one before the first is written", spoilt((words) => words.fill(0, 63, 64)), /wrote outside, at element -1/],
    [
      "the input is changed",
      (c, out) => {
        right(c, out);
        c.weight[0] = 77;
      },
      /input was changed/,
    ],
    [
      "it throws",
      () => {
        throw new TypeError("oh");
      },
      /threw TypeError: oh/,
    ],
    ["NaN comes out", (_c, out) => void out.fill(Number.NaN), /got NaN/],
    ["the result is one ULP off", spoilt((words, length) => words.fill(words[64]! + 1, 64, 64 + length)), /× the bound/],
    ["eps is forgotten", (c, out) => rmsNorm(out, c.x, c.weight, 0, c.T), /× the bound/],
  ])("catches it where %s", async (_what, run, message) => {
    const { failures } = await checkKernel(kit, norm("wrong", run), { ...options, laws: [BOUND_LAW] });
    expect(failures).toHaveLength(1);
    expect(failures[0]!.message).toMatch(message);
  });

  it("shrinks a failure and prints a line that replays it alone", async () => {
    // Wrong between two boundary cases, so that it is found by chance.
    const subject: Subject<SiluMulCase> = {
      op: "silu-mul",
      backend: "mine",
      variant: "wrong",
      arithmetic: "f64",
      run(c, out) {
        siluMul(out, c.gate, c.up, c.length);
        if (c.length >= 39 && c.length < 60) out[38] = 1e9;
      },
    };
    const [failure] = (await checkKernel(laws["silu-mul"], subject, { runs: 3000, seed: 5, laws: [BOUND_LAW] })).failures;
    const [, , , spec] = JSON.parse(failure!.replay) as [string, string, string, { length: number; gate: { kind: string; seed: number } }];
    expect(spec).toMatchObject({ length: 39, gate: { kind: "ones", exponent: 0, seed: 0 } });
    expect(await replay(failure!.replay, laws, [subject])).toEqual(failure);
    expect(await replay(failure!.replay, laws, [{ ...subject, run: (c, out) => siluMul(out, c.gate, c.up, c.length) }])).toBeNull();
  });

  it.each([
    "",
    "{}",
    "[1,2,3,4]",
    '["rms-norm","mine/right","no such law",{}]',
    '["constructor","mine/right","x",{}]',
    "[]",
    '["rms-norm","mine/right","negates with its input, bit for bit",{"T":"x"}]',
  ])("refuses %j as a replay line", async (line) => {
    await expect(replay(line, laws, [norm("right", right)])).rejects.toThrow(GureumError);
  });
});

describe("checkKernel refuses what would test nothing:", () => {
  const refusal = async (...args: unknown[]): Promise<string> => {
    const error = await (checkKernel as (...args: unknown[]) => Promise<unknown>)(...args).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(GureumError);
    expect(error).toMatchObject({ code: "usage" });
    return (error as Error).message;
  };
  const mine = norm("right", right);

  it("a kit that there is not", async () => {
    const kits = laws as unknown as Record<string, unknown>;
    expect(await refusal(kits.awq_matmul, mine, options)).toMatch(/no kit, expected .*awq-matmul.*, got undefined/);
    expect(() => kitOf("awq_matmul")).toThrow(/no such op, got "awq_matmul" — ops are .*awq-matmul/);
  });

  it.each<[string, object, object, RegExp]>([
    ["an unknown law", {}, { laws: ["nope"] }, /no such law of this subject, expected stays within .*, got "nope"/],
    ["no law", {}, { laws: [] }, /laws, expected one or more/],
    ["an unknown arithmetic", { arithmetic: "f23" }, {}, /arithmetic, expected one of f64, f32, .*, got "f23"/],
    ["another op", { op: "softmax" }, {}, /rms-norm: the subject's op, expected "rms-norm", got "softmax"/],
    ["no run", { run: undefined }, {}, /no subject/],
    ["no variant", { variant: undefined }, {}, /variant, expected a name/],
    ["runs that are not a count", {}, { runs: 0.5 }, /runs, expected a whole number/],
    ["a seed that is not one", {}, { seed: Number.NaN }, /seed/],
    ["no time", {}, { timeMs: 0 }, /timeMs, expected milliseconds above 0/],
  ])("%s", async (_what, subject, more, message) => {
    expect(await refusal(kit, { ...mine, ...subject }, { ...options, ...more })).toMatch(message);
  });
});

describe("what was not tested", () => {
  it("is a failure where no case is left, law by law", async () => {
    const row = await checkKernel(kit, { ...norm("picky", right), accepts: () => false }, options);
    expect(row).toMatchObject({ cases: 0 });
    expect(row.refused).toBeGreaterThan(options.runs);
    expect(row.failures.map(({ law }) => law)).toEqual(lawNames(kit, norm("picky", right)));
    expect(row.failures[0]!.message).toMatch(/not tested: .* no case is left to test/);
    expect(await replay(row.failures[0]!.replay, laws, [{ ...norm("picky", right), accepts: () => false }])).not.toBeNull();
  });

  it("is counted where some cases are not taken", async () => {
    const row = await checkKernel(kit, { ...norm("even", right), accepts: ({ T }: RmsNormCase) => T % 2 === 0 }, options);
    expect(row.failures).toEqual([]);
    expect(row.refused).toBeGreaterThan(0);
    expect(leftOutLines([row])).toEqual([`${row.refused} drawn cases that a variant does not take`]);
    expect((await checkKernel(kit, norm("right", right), options)).refused).toBe(0);
  });

  it("is all of the cases of real sizes where time is short, which then leaves room for the others", async () => {
    const sizes: number[] = [];
    const watched = norm("watched", (c, out) => {
      sizes.push(c.x.length);
      right(c, out);
    });
    const row = await checkKernel(kit, watched, { runs: 1000, seed: 1, timeMs: 400, laws: [BOUND_LAW] });
    const largest = Math.max(...kit.boundaries.map((spec) => kit.make(spec).x.length));
    expect(sizes.length).toBeGreaterThan(3);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(largest);
    expect(row.leftOut!.boundaries).toBeGreaterThanOrEqual(kit.reach!.length);
  });

  it("is said law by law and by the number of boundary cases where time is short", async () => {
    const slow = norm("slow", async (c, out) => {
      await new Promise((done) => setTimeout(done, 20));
      right(c, out);
    });
    const began = performance.now();
    const row = await checkKernel(kit, slow, { runs: 1000, seed: 1, timeMs: 300 });
    expect(performance.now() - began).toBeLessThan(600);
    expect(row.leftOut!.boundaries).toBeGreaterThan(10);
    expect(row.cases).toBeGreaterThan(3);
    expect(row.failures).toEqual([]);
    expect(table([row])).toMatch(/holds in part$/);
    expect(table([{ ...row, cases: 0 }])).toMatch(/not run$/);
  });
});

describe("a failure", () => {
  it("is reported by a small case, though a case of real sizes or a boundary case met it first", async () => {
    const wrong = norm("wrong", (c, out) => {
      right(c, out);
      out[0] = out[0]! * 1.01 + 1;
    });
    const bound = (row: Awaited<ReturnType<typeof checkKernel>>): { T: number; D: number } => {
      const failure = row.failures.find(({ law }) => law === BOUND_LAW);
      return (JSON.parse(failure!.replay) as [string, string, string, { T: number; D: number }])[3];
    };
    const { T, D } = bound(await checkKernel(kit, wrong, options));
    expect(T * D).toBeLessThanOrEqual(2);
    const large = norm("large", (c, out) => {
      right(c, out);
      if (c.x.length > 1000) out[0] = out[0]! + 1;
    });
    const found = bound(await checkKernel(kit, large, options));
    expect(found.T * found.D).toBeGreaterThan(1000);
    expect(bound(await checkKernel(kit, wrong, { ...options, runs: 0 }))).toMatchObject({ T: expect.any(Number) });
  });
});

describe("the line that replays a failure", () => {
  const lines = Object.values<AnyKit>(laws).flatMap((of) =>
    of.laws.map(({ name }) => ({
      law: name,
      message: "",
      replay: JSON.stringify([of.name, "a/b", name, { text: "it's $HOME `x` \\ \"" }]),
    })),
  );

  it("comes out of a shell as it went in, apostrophes and all", () => {
    expect(lines.some(({ law }) => law.includes("'"))).toBe(true);
    for (const failure of lines) {
      const command = replayCommand(failure).replace(/^gureum conformance --replay/, "printf %s");
      expect(execFileSync("sh", ["-c", command], { encoding: "utf8" })).toBe(failure.replay);
    }
  });
});

describe("runConformance", () => {
  it("gives the same certificate for the same seed", async () => {
    const run = async () => ({
      ...(await runConformance({ backend: "cpu", filter: "rms*cpu/reference", runs: 20, seed: 9 })),
      elapsedMs: 0,
      date: "",
    });
    const first = await run();
    expect(first).toEqual(await run());
    expect(first.rows.map((row) => row.op)).toEqual(["rms-norm"]);
    expect(violations(first)).toBe(0);
  });

  it("ends within the time it is given, but for the case that runs then, and says what it left out", async () => {
    const began = performance.now();
    const { rows } = await runConformance({ backend: "cpu", timeMs: 1500 });
    // One case of 600,000 logits takes up to two seconds on a busy machine.
    expect(performance.now() - began).toBeLessThan(4500);
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.filter(({ leftOut }) => leftOut).length).toBeGreaterThan(3);
    expect(leftOutLines(rows).join()).toMatch(/boundary case/);
  });

  it("meets a device before the CPU where time is limited, and one variant of each op before the second of any", async () => {
    const silu: Subject<SiluMulCase> = {
      op: "silu-mul",
      backend: "mine",
      variant: "a",
      arithmetic: "f64",
      run: (c, out) => siluMul(out, c.gate, c.up, c.gate.length),
    };
    const subjects = [{ ...norm("c", right), backend: "cpu" }, norm("a", right), norm("b", right), silu];
    const order = async (timed: object): Promise<string[]> => {
      const met: string[] = [];
      await runConformance({
        subjects,
        runs: 1,
        ...timed,
        onRow: ({ op, backend, variant }) => void met.push(`${op} ${backend}/${variant}`),
      });
      return met;
    };
    expect(await order({ timeMs: 2000 })).toEqual(["rms-norm mine/a", "silu-mul mine/a", "rms-norm mine/b", "rms-norm cpu/c"]);
    expect(await order({})).toEqual(["rms-norm cpu/c", "rms-norm mine/a", "rms-norm mine/b", "silu-mul mine/a"]);
  });

  it("goes on after an interruption, with the rows that were kept", async () => {
    let text = "";
    const journal = (head?: RunHead): Journal => ({
      async open(given) {
        const rows = readJournal("rows", text, { ...given, ...head });
        text = [given, ...rows].map((value) => `${encodeNumbers(value)}\n`).join("");
        return rows;
      },
      async add(row) {
        text += `${encodeNumbers(row)}\n`;
      },
    });
    const ran: string[] = [];
    const counted = (variant: string) =>
      norm(variant, (c, out) => {
        if (ran.at(-1) !== variant) ran.push(variant);
        if (variant === "nan") out.fill(Number.NaN);
        else right(c, out);
      });
    const subjects = [counted("nan"), counted("one"), counted("two")];
    const whole = await runConformance({ subjects, runs: 5, seed: 2, journal: journal() });
    expect(ran).toEqual(["nan", "one", "two"]);
    // Cut off in the middle of the last row.
    text = text.slice(0, -20);
    ran.length = 0;
    const again = await runConformance({ subjects, runs: 5, seed: 2, journal: journal() });
    expect(ran).toEqual(["two"]);
    expect(again.rows).toEqual(whole.rows);
    expect(again.rows[0]!.worst!.got).toBeNaN();
    await expect(runConformance({ subjects, runs: 5, seed: 3, journal: journal() })).rejects.toThrow(
      /belongs to another run: seed differs — give another file/,
    );
    text = "no rows\n";
    await expect(runConformance({ subjects, runs: 5, seed: 3, journal: journal() })).rejects.toMatchObject({ code: "format" });
  });

  it("says when, on what and by which commit or version it was run", async () => {
    const certificate = await runConformance({ backend: "cpu", filter: "add cpu", runs: 1 });
    expect(certificate.date).toMatch(/^20\d\d-\d\d-\d\dT.*Z$/);
    expect(certificate.platform).toContain(process.platform);
    expect(certificate.version).toBe("0.1.0");
    expect(certificate.commit === null || /^[0-9a-f]{40}(-dirty)?$/.test(certificate.commit!)).toBe(true);
    for (const word of [certificate.date!, certificate.platform!, certificate.runtime]) expect(reportHtml(certificate)).toContain(word);
  });

  it("refuses a filter that selects nothing", async () => {
    await expect(runConformance({ backend: "cpu", filter: "no-such-op" })).rejects.toMatchObject({ code: "usage" });
  });

  it("reports as one page that needs nothing else, violations with their replay line", async () => {
    const wrong = norm("<wrong>", (c, out) => rmsNorm(out, c.x, c.weight, 0, c.T));
    const certificate = await runConformance({ subjects: [wrong, norm("right", right)], runs: 30 });
    const html = reportHtml(certificate);
    expect(html).toContain("<svg");
    expect(html).toContain("--replay");
    expect(html).not.toContain("<wrong>");
    expect(html).not.toMatch(/src=|href=|@import|url\(/);
    expect(table(certificate.rows)).toContain("violated");
    expect(JSON.parse(JSON.stringify(certificate)).rows).toHaveLength(2);
  });
});
