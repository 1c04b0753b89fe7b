/** `gureum quantize` as users run it: what it writes and says, that it goes on after a kill, and its refusals. */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadModel, quantize } from "../../../index.ts";
import { smallTexts, writeFloat } from "../core/quant/float-checkpoint.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { killQuantize } from "../quantize/kills.ts";
import { expectFailure, gureum } from "./gureum.ts";

const place = freshFolder("quantize");
let source = "";
const at = (name: string): string => join(place, name);

beforeAll(async () => {
  source = at("source");
  mkdirSync(source);
  for (const [name, bytes] of await writeFloat({ family: "llama" })) writeFileSync(join(source, name), bytes);
  writeFileSync(at("ids.json"), JSON.stringify(smallTexts()));
});

const words = (to: string, ...more: string[]): string[] => [
  "quantize",
  source,
  to,
  "--group-size",
  "16",
  "--calibration",
  at("ids.json"),
  ...more,
];

describe("gureum quantize", () => {
  it("writes a folder that loads, tells of each layer, prints the losses, and leaves a report and a page", async () => {
    const { code, out, err } = await gureum(words(at("whole"), "--report", "--method", "best", "--set", "modelSteps=0"));
    expect(code).toBe(0);
    expect(err).toMatch(/^layer 1 of 2: [\d.]+ s, mean loss [\d.]+ → [\d.]+ ‰, about \d+ s left\nlayer 2 of 2: .* ‰\nwrote .*whole\n$/);
    expect(out).toMatch(/^layer +qProj +kProj .*downProj\n +0 +[\d.]+→[\d.]+/);
    expect(readdirSync(at("whole")).sort()).toEqual([
      "LICENSE",
      "config.json",
      "generation_config.json",
      "gureum-quantize.html",
      "gureum-quantize.json",
      "model.safetensors",
    ]);
    expect(existsSync(`${at("whole")}.unfinished`)).toBe(false);
    const page = readFileSync(join(at("whole"), "gureum-quantize.html"), "utf8");
    expect(page.match(/<rect /g)).toHaveLength(2 * 2 * 7);
    expect(page).not.toMatch(/src=|href=|<script/);
    const model = await loadModel(at("whole"));
    expect((await model.forward([1, 5, 7])).logits).toHaveLength(40);
    model.dispose();
  });

  it("writes what the library writes, whatever the threads and ops, and its layers come as they are done", async () => {
    const seen: number[] = [];
    for (const [name, more] of [
      ["one", { threads: 1 }],
      ["two", { threads: 2 }],
      ["javascript", { ops: "javascript" as const }],
    ] as const)
      await quantize(source, {
        to: at(name),
        method: "best",
        settings: { modelSteps: 0 },
        groupSize: 16,
        calibration: smallTexts().map((ids) => ({ ids })),
        onLayer: ({ layer }) => void seen.push(layer),
        ...more,
      });
    expect(seen).toEqual([0, 1, 0, 1, 0, 1]);
    for (const name of ["two", "javascript", "whole"])
      for (const file of ["model.safetensors", "config.json"])
        expect(readFileSync(join(at(name), file)).equals(readFileSync(join(at("one"), file))), `${name} ${file}`).toBe(true);
  });

  it("trains on text of the float model's own to the same bytes whatever the threads, and tells of both", async () => {
    const settings = { modelSteps: 3, ownTokens: 60, stepTokens: 40 };
    const seen: number[] = [];
    const how = { settings, groupSize: 16, calibration: smallTexts().map((ids) => ({ ids })) };
    // A GPU does not train a model of 40 ids: asked for it refuses before the search, and auto takes the CPU.
    await expect(quantize(source, { to: at("trained by none"), backend: "webgpu", ...how })).rejects.toThrow("40 ids, no multiple of 16");
    expect(existsSync(`${at("trained by none")}.unfinished`)).toBe(false);
    await quantize(source, {
      to: at("trained by two"),
      backend: "auto",
      ...how,
      onWriting: ({ tokens, of }) => void seen.push(tokens / of),
      threads: 2,
    });
    expect(seen.at(-1)).toBe(1);
    const set = Object.entries(settings).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    const { code, err } = await gureum(words(at("trained by one"), "--threads", "1", ...set));
    expect(code).toBe(0);
    expect(err).toMatch(
      /\ntext by the float model: 60 of 60 tokens\nstep 1 of 3: KL [\d.]+\nstep 2 of 3: KL [\d.]+, about \d+ s left\nstep 3/,
    );
    const [one, two] = ["one", "two"].map((name) => readFileSync(join(at(`trained by ${name}`), "model.safetensors"))) as [Buffer, Buffer];
    expect(one.equals(two)).toBe(true);
  });

  it("goes on after kills at random moments, to the bytes of an undisturbed run", async () => {
    const { kills, completed } = await killQuantize(6, 11, 2);
    expect(kills).toBe(6);
    expect(completed).toBeGreaterThanOrEqual(0);
  });

  it("refuses in one line, and leaves nothing half-written", async () => {
    writeFileSync(at("file"), "");
    mkdirSync(at("full"));
    writeFileSync(join(at("full"), "mine.txt"), "kept");
    writeFileSync(at("broken.jsonl"), '{"messages": []}\n');
    writeFileSync(at("text.txt"), "구름");
    writeFileSync(at("latin.txt"), Uint8Array.of(0x63, 0x61, 0x66, 0xe9));
    mkdirSync(at("void"));
    symlinkSync(at("void"), at("linked"));
    symlinkSync(at("nothing"), at("astray"));
    const cases: readonly (readonly [string[], number, RegExp])[] = [
      [words(at("full")), 2, /full: the folder is not empty — give a new one, or remove it$/m],
      [words(join(at("file"), "x")), 1, /file.*: a part of the path is not a folder — check the path$/m],
      [["quantize", source], 2, /give the folder of a float model and the folder to write/],
      [words(at("x"), "--method", "gptq"), 2, /--method is rtn, awq or best, got "gptq"/],
      [words(at("x"), "--bits", "8"), 2, /--bits is 4, 3 or 2, got 8/],
      [words(at("x"), "--set", "clip=all"), 2, /--set: clip, expected none, symmetric, asymmetric, got "all"/],
      [words(at("x"), "--set", "speed=1"), 2, /--set: no such choice, expected scaleSteps, .*, got "speed"/],
      [words(at("x"), "--set", "scaleSteps=1e12"), 2, /--set: scaleSteps, expected a whole number from 0 to 10000, got 1000000000000/],
      [words(at("x"), "--set", "sweeps=1=2"), 2, /--set: sweeps, expected a whole number from 0 to 10000, got "1=2"/],
      [words(at("file")), 2, /file: is there and not a folder — give another name$/m],
      [words(at("linked")), 2, /linked: is a link to an empty folder — give that folder itself$/m],
      [words(at("astray")), 2, /astray: is a link that leads nowhere — remove it, or give another name$/m],
      [words(""), 2, /the path of the folder is empty — give a name$/m],
      [words(at("x"), "--calibration", at("latin.txt")), 1, /latin\.txt: not UTF-8 text — save or convert it as UTF-8$/m],
      [
        words(at("x"), "--set", "ownTokens=9"),
        2,
        /ownTokens without what it is part of, expected modelSteps from 1 beside it, got ownTokens=9/,
      ],
      [words(at("x"), "--samples", "0"), 2, /samples is a whole number from 1, got 0/],
      [words(at("x"), "--backend", "cuda"), 2, /--backend is auto, cpu or webgpu, got "cuda"/],
      [words(at("x"), "--calibration", at("none.txt")), 1, /none.txt: no such file or folder — check the path$/m],
      [words(at("x"), "--calibration", at("broken.jsonl")), 1, /broken.jsonl, line 1 > messages: no messages/],
      [words(at("x"), "--calibration", at("text.txt")), 1, /tokenizer/],
      [["quantize", at("whole"), at("x")], 1, /q_proj: is quantized already — take the float release of the model/],
    ];
    for (const [args, exit, about] of cases) expectFailure(await gureum(args), exit, about);
    expect(existsSync(at("x"))).toBe(false);
    expect(readdirSync(at("full"))).toEqual(["mine.txt"]);
  });

  it("on a full disk, in a folder that takes no files, and on a NaN ends in one line, with nothing under the result's name", async () => {
    // A limit on the size of a file stands for the full disk.
    const limited = await gureum(words(at("limited")), undefined, `ulimit -f 8; exec ${process.execPath} "$0" "$@"`);
    expectFailure(
      { ...limited, err: limited.err.replace(/^layer .*\n/gm, "") },
      1,
      /larger than the file system or its limit allows — give a path on another disk, or raise the limit \(ulimit -f\)$/m,
    );
    expect(existsSync(at("limited"))).toBe(false);
    expectFailure(await gureum(words("/proc/gureum/result")), 1, /not enough free space|no such file or folder|permission denied/);
    const files = await writeFloat({ family: "llama" });
    const weights = files.get("model.safetensors")!.slice();
    weights.fill(0xff, weights.length - 64);
    mkdirSync(at("nan"));
    for (const [name, bytes] of files) writeFileSync(join(at("nan"), name), name === "model.safetensors" ? weights : bytes);
    const nan = await gureum(["quantize", at("nan"), at("from-nan"), "--group-size", "16", "--calibration", at("ids.json")]);
    expectFailure(
      { ...nan, err: nan.err.replace(/^layer .*\n/gm, "") },
      1,
      /model\.safetensors > ".*": NaN or infinity at element \d+, expected finite/,
    );
    expect(existsSync(at("from-nan"))).toBe(false);
  });

  it("gives models that gureum convert writes in every format, each of which loads and answers the same", async () => {
    const logitsOf = async (folder: string): Promise<Float32Array> => {
      const model = await loadModel(folder, { backend: "cpu" });
      const { logits } = await model.forward([1, 5, 7]);
      model.dispose();
      return logits;
    };
    const expected = await logitsOf(at("one"));
    for (const format of ["awq-gemm", "compressed-tensors", "gptq-v2"]) {
      const { code, out, err } = await gureum(["convert", at("one"), at(format), "--to", format]);
      expect({ code, out, err }).toEqual({ code: 0, out: "", err: `wrote ${at(format)}\n` });
      expect(await logitsOf(at(format))).toEqual(expected);
    }
    const { err } = await gureum(["convert", at("one"), at("float"), "--to", "float16"]);
    expect(err).toMatch(/^\d+ numbers in 14 tensors are not numbers of float16 and were rounded to the nearest\nwrote /);
    const float = await logitsOf(at("float"));
    for (const [i, logit] of expected.entries()) expect(float[i]).toBeCloseTo(logit, 1);
    expectFailure(
      await gureum(["convert", source, at("y"), "--to", "gptq"]),
      1,
      /no linear is int4, expected .* — gureum quantize makes one$/m,
    );
    expectFailure(await gureum(["convert", at("one"), at("float"), "--to", "gptq-v2"]), 2, /float: the folder is not empty/);
    expectFailure(await gureum(["convert", at("one"), at("y"), "--to", "gguf"]), 2, /--to is awq-gemm, .* or float16, got "gguf"/);
    expectFailure(await gureum(["convert", at("one"), at("y")]), 2, /--to is missing/);
    expect(existsSync(at("y"))).toBe(false);
  });
});
