/** Where results go: a place that takes none is told of before anything is computed; what lies there is not lost. */
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { embeddedModel } from "../../../index.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { expectFailure, gureum } from "./gureum.ts";

const folder = freshFolder("outputs");
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  writeFileSync(at("text"), "구름");
  execFileSync("mkdir", [at("taken")]);
});

/** No model lies there: whoever asked for it first would say so. */
const noModel = ["--model", at("none")];

describe("a place that takes no file", () => {
  it.concurrent.each([
    ["logits --out", ["logits", "--text", "a", ...noModel, "--out"]],
    ["generate --receipt", ["generate", "a", "--arithmetic", "exact", ...noModel, "--receipt"]],
    ["perplexity --html", ["perplexity", at("none"), "--text", at("text"), "--html"]],
    ["bench model --json", ["bench", "model", at("none"), "--json"]],
    ["bench kernels --html", ["bench", "kernels", "--shape", at("none"), "--html"]],
    ["bench device --json", ["bench", "device", "--json"]],
    ["bench peers --html", ["bench", "peers", at("none"), "--html"]],
  ])("is told of before any work: %s", async (_name, words) => {
    expectFailure(await gureum([...words, at("taken")]), 1, /taken: is a folder, not a file — give a file$/);
  });

  it("is told of before any work: conformance --report", async () => {
    execFileSync("mkdir", ["-p", at("report/report.html")]);
    const words = ["conformance", "--backend", "cpu", "--filter", "add", "--runs", "1", "--report", at("report")];
    expectFailure(await gureum(words), 1, /report\.html: is a folder, not a file — give a file$/);
    expect(readdirSync(at("report"))).toEqual(["report.html"]);
  });

  it("is not asked for twice", async () => {
    const words = ["bench", "device", "--json", at("one"), "--html", join(folder, ".", "one")];
    expectFailure(await gureum(words), 2, /--json and --html name one file.* — give two$/);
  });
});

describe("gureum synth", () => {
  it("writes over what it wrote, and into no folder of other files", async () => {
    const words = ["synth", "--shape", "tiny", at("model")];
    for (let i = 0; i < 2; i++) expect((await gureum(words)).code).toBe(0);
    writeFileSync(at("model/tokenizer.json"), "{}");
    const before = readdirSync(at("model"));
    expectFailure(await gureum(words), 2, /model: the folder holds other files, got tokenizer\.json — give a new one, or remove it$/);
    expect(readdirSync(at("model"))).toEqual(before);
  });
});

describe("a place that is written bit by bit", () => {
  /** A process that lives: this one. */
  const held = (name: string, pid = process.pid): void => writeFileSync(at(`.${name}.lock`), `${pid} ${hostname()} 0`);
  const cases: readonly [what: string, name: string, words: readonly string[]][] = [
    ["generate --out", "r.jsonl", ["generate", "--jsonl", at("lines"), "--max-new-tokens", "1", "--backend", "cpu", "--resume", "--out"]],
    ["conformance --out", "j.jsonl", ["conformance", "--backend", "cpu", "--filter", "silu-mul cpu/reference", "--runs", "1", "--out"]],
    ["quantize", "q", ["quantize", at("float"), "--method", "rtn", "--samples", "1", "--tokens", "16"]],
  ];
  beforeAll(async () => {
    writeFileSync(at("lines"), '"구름"\n');
    expect((await gureum(["convert", embeddedModel(), at("float"), "--to", "float16"])).code).toBe(0);
  });
  it.each(cases)("is one process's at a time, and that of none that is gone: %s", async (what, name, words) => {
    const locked = what === "quantize" ? `${name}.unfinished` : name;
    held(locked);
    const before = readdirSync(folder);
    expectFailure(await gureum([...words, at(name)]), 2, new RegExp(`${locked}: another process is writing it — let that one end`));
    expect(readdirSync(folder)).toEqual(before);
    expect((await gureum([...words, at("text/none")])).err).toMatch(/^(?!.*lock).*text.*\n$/);
    held(locked, 2 ** 22 + 1); // beyond the numbers that Linux gives
    expect((await gureum([...words, at(name)])).code).toBe(0);
    expect(readdirSync(folder)).toContain(name);
    expect(readdirSync(folder)).not.toContain(`.${locked}.lock`);
  });
});
