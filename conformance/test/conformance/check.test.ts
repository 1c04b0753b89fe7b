import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { rmsNorm } from "../../../core/ops/rms-norm.ts";
import { siluMul } from "../../../core/ops/silu-mul.ts";
import { table, violations } from "../../certificate/certificate.ts";
import { reportHtml } from "../../certificate/report.ts";
import { runConformance } from "../../certificate/run.ts";
import { BOUND_LAW, checkKernel, replay } from "../../check.ts";
import { POISON } from "../../compare.ts";
import type { Subject } from "../../kit.ts";
import { laws } from "../../laws.ts";
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
const kit = laws["rms-norm"]!;
const right: Subject<RmsNormCase>["run"] = (c, out) => rmsNorm(out, c.x, c.weight, c.eps, c.T);

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
    const [failure] = (await checkKernel(laws["silu-mul"]!, subject, { runs: 3000, seed: 5, laws: [BOUND_LAW] })).failures;
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

describe("runConformance", () => {
  it("gives the same certificate for the same seed", async () => {
    const run = async () => ({
      ...(await runConformance({ backend: "cpu", filter: "rms*cpu", runs: 20, seed: 9 })),
      elapsedMs: 0,
      date: "",
    });
    const first = await run();
    expect(first).toEqual(await run());
    expect(first.rows.map((row) => row.op)).toEqual(["rms-norm"]);
    expect(violations(first)).toBe(0);
  });

  it("ends near the time it is given", async () => {
    const began = performance.now();
    const { rows } = await runConformance({ backend: "cpu", timeMs: 1500 });
    expect(rows.length).toBeGreaterThan(5);
    // Boundary cases are always run; drawing stops in time.
    expect(performance.now() - began).toBeLessThan(30_000);
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
