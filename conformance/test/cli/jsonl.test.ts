/** `gureum generate --jsonl` as it is run: the built command. About 10 s. */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { pathOf } from "../house/tree.ts";
import { cli, expectFailure, gureum } from "./gureum.ts";

const work = freshFolder("jsonl");
const at = (name: string): string => join(work, name);

type Result = Record<string, unknown> & { line: number; text: string; error?: { code: string; message: string } };
const results = (text: string): Result[] =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Result);
const many = (file: string, ...args: string[]) => gureum(["generate", "--jsonl", file, "--backend", "cpu", ...args]);

const lines = [
  '"오늘 날씨가"',
  '{"messages": [{"role": "user", "content": "너는 누구니?"}], "id": "q7", "meta": {"gold": [1]}}',
  "",
  '{"prompt": "구름", "temperature": 0.9, "topP": 0.9, "seed": "18446744073709551615", "maxNewTokens": 3, "topLogprobs": 2}',
  '{"ids": [1, 2038, 2544], "maxNewTokens": 2, "stop": ["x"], "stopIds": [5]}',
  '{"prompt": "하나 둘 셋", "greedy": true}',
];

describe("gureum generate --jsonl", () => {
  it("writes what each line gives alone, in the order of the input, with what it carried", async () => {
    await writeFile(at("in.jsonl"), `${lines.join("\n")}\n`);
    const { code, out, err } = await many(at("in.jsonl"), "--max-new-tokens", "20", "--batch", "2");
    expect([code, err.split("\n").at(-2)]).toEqual([
      0,
      expect.stringMatching(/^5 of 5 lines written, 0 failed; \d+ prompt tokens, \d+ new/),
    ]);
    const all = results(out);
    expect(all.map(({ line }) => line)).toEqual([1, 2, 4, 5, 6]);
    expect(all[1]).toMatchObject({
      id: "q7",
      meta: { gold: [1] },
      text: "저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.",
      finishReason: "stop",
    });
    expect(all[2]!.logprobs).toHaveLength(3);
    expect((all[2]!.logprobs as { top: unknown[] }[])[0]!.top).toHaveLength(2);
    expect(all[3]!.ids).toHaveLength(2);
    const alone = await gureum([
      ...["generate", "구름", "--backend", "cpu", "--temperature", "0.9", "--top-p", "0.9", "--seed", "18446744073709551615"],
      ...["--max-new-tokens", "3", "--json"],
    ]);
    const { text, ids, promptTokens } = JSON.parse(alone.out) as Record<string, unknown>;
    expect(all[2]).toMatchObject({ text, ids, promptTokens });
  });

  it("names each bad line by its number and runs the others", async () => {
    const bad = [
      '"하나"',
      "nope",
      '{"prompt": 5}',
      '{"prompt": "a", "tempreature": 1}',
      '{"prompt": "a", "ids": [1]}',
      "[1]",
      '{"ids": [99999]}',
      '{"prompt": "a", "temperature": "1"}',
      '{"prompt": "a", "seed": -1}',
      '{"messages": []}',
      '"둘"',
    ];
    const { code, out, err } = await many("-", ...["--max-new-tokens", "2"]).catch(() => ({ code: null, out: "", err: "" }));
    expect(code).toBe(1); // nothing on stdin
    expect([out, err]).toEqual(["", "gureum: stdin: no line with a prompt — write a prompt a line\n"]);
    const run = await gureum(["generate", "--jsonl", "-", "--backend", "cpu", "--max-new-tokens", "2"], bad.join("\n"));
    expect(run.code).toBe(1);
    const all = results(run.out);
    expect(all.map(({ line, error }) => [line, error?.code])).toEqual([
      [1, undefined],
      ...[2, 3, 4, 5, 6].map((line) => [line, "format"]),
      [7, "range"],
      [8, "usage"],
      [9, "format"],
      [10, "format"],
      [11, undefined],
    ]);
    for (const about of [
      /^line 2: not JSON/,
      /^line 3: prompt, expected a string, got 5$/,
      /^line 4: no such key: "tempreature", expected prompt, .* — put what is only to be carried along under "meta"$/,
      /^line 5: what to continue, expected one of "prompt", "messages", "ids", got prompt and ids$/,
      /^line 6: not a prompt, .*, got an array$/,
      /^line 7: ids\[0\]: token id, expected an integer from 0 to 4095, got 99999 — give ids of this model's tokenizer$/,
      /^line 8: sampling: temperature has the wrong type, expected a number, got "1"$/,
      /^line 9: seed, expected a whole number from 0, or its digits as text, got -1$/,
      /^line 10: messages: no messages/,
    ])
      expect(run.err.split("\n").filter((text) => about.test(text))).toHaveLength(1);
  });

  it("goes on with an output that was cut off, and runs no line twice", async () => {
    const out = at("out.jsonl");
    const options = ["--max-new-tokens", "5", "--out", out];
    await writeFile(at("in.jsonl"), `${lines.join("\n")}\n`);
    expect((await many(at("in.jsonl"), ...options)).code).toBe(0);
    const whole = await readFile(out, "utf8");
    expectFailure(await many(at("in.jsonl"), ...options), 2, /out\.jsonl is there already — give --resume to go on with it/);
    // Two lines whole, one in half; a mark in the first shows that it is not run again.
    const [first, second, third] = whole.split("\n");
    const marked = first!.replace('"text":"', '"text":"kept ');
    await writeFile(out, `${marked}\n${second}\n${third!.slice(0, 30)}`);
    const resumed = await many(at("in.jsonl"), ...options, "--resume");
    expect([resumed.code, resumed.out]).toEqual([0, ""]);
    expect(resumed.err).toMatch(/out\.jsonl: 2 of 5 lines are there already\n/);
    expect(resumed.err).toMatch(/\n3 of 3 lines written, 0 failed/);
    expect(await readFile(out, "utf8")).toBe(whole.replace(first!, marked));
    const again = await many(at("in.jsonl"), ...options, "--resume");
    expect([again.code, again.err]).toEqual([0, `${out}: 5 of 5 lines are there already\n`]);
    // Another input under the same name.
    await writeFile(at("in.jsonl"), '"something else"\n');
    expectFailure(
      await many(at("in.jsonl"), ...options, "--resume"),
      1,
      /out\.jsonl:1: not the result of a line of this input, got one of line 1, which reads differently now — resume with the input/,
    );
  });

  it("does not call an output done well that holds a failure", async () => {
    const out = at("failed.jsonl");
    await writeFile(at("in.jsonl"), '"하나"\n{"prompt": 5}\n');
    const options = ["--max-new-tokens", "2", "--out", out];
    expect((await many(at("in.jsonl"), ...options)).code).toBe(1);
    const again = await many(at("in.jsonl"), ...options, "--resume");
    expect([again.code, again.err]).toEqual([1, `${out}: 2 of 2 lines are there already, 1 of them failed\n`]);
    // Its good line goes: the run that writes it anew still leaves the failure there.
    await writeFile(out, `${(await readFile(out, "utf8")).split("\n")[1]}\n`);
    expect((await many(at("in.jsonl"), ...options, "--resume")).code).toBe(1);
  });

  it("leaves what Ctrl-C cut off to --resume", async () => {
    const out = at("cut.jsonl");
    const prompts = Array.from({ length: 40 }, (_, i) =>
      JSON.stringify({ prompt: `${i}`, maxNewTokens: 200, stopIds: [], temperature: 1, seed: i }),
    );
    await writeFile(at("long.jsonl"), prompts.join("\n"));
    const child = spawn(process.execPath, [cli, "generate", "--jsonl", at("long.jsonl"), "--backend", "cpu", "--batch", "4", "--out", out]);
    let err = "";
    child.stderr.on("data", (part) => (err += part));
    const ended = new Promise((resolve) => child.on("close", resolve));
    // Once the first results are there.
    for (let i = 0; i < 600 && (await readFile(out, "utf8").catch(() => "")) === ""; i++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGINT");
    expect(await ended).toBe(1);
    expect(err).toMatch(/interrupted: --resume goes on with what is left/);
    const written = results(await readFile(out, "utf8"));
    expect(written.length).toBeGreaterThan(0);
    expect(written.length).toBeLessThan(40);
    for (const { finishReason } of written) expect(finishReason).not.toBe("aborted");
  });

  it.each([
    ["a text as well", ["구름"], /give TEXT or --jsonl, not both/],
    ["ids as well", ["--ids", "1"], /--ids is not for --jsonl/],
    ["--json", ["--json"], /--json is not for --jsonl/],
    ["--resume without a file", ["--resume"], /--resume goes on with the file of --out — give both/],
    ["no number of sequences", ["--batch", "0"], /--batch takes a whole number from 1, got 0/],
  ])("refuses %s", async (_, more, about) => {
    expectFailure(await many(at("in.jsonl"), ...more), 2, about);
  });

  it("refuses its options without it", async () => {
    expectFailure(await gureum(["generate", "구름", "--batch", "2"]), 2, /--batch is for --jsonl/);
  });

  it("runs as docs/library.md shows it", async () => {
    const page = await readFile(pathOf("docs/library.md"), "utf8");
    const [, shown, printed] = /```sh\n(printf[\s\S]*?)```\n\n```json\n([\s\S]*?)```/.exec(page)!;
    const script = shown!.replaceAll("npx gureum", `${process.execPath} "$0"`);
    const { code, out } = await gureum([], undefined, script);
    expect(code).toBe(0);
    expect(out).toBe(printed);
  });
});
