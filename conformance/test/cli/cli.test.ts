import { cp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { dataFile, modelGolden, readTensors } from "../fixtures/golden.ts";
import { expectFailure, gureum } from "./gureum.ts";

const model = embeddedModelPath();

const work = freshFolder("cli");

const folder = async (name: string): Promise<string> => {
  const path = join(work, name);
  await cp(model, path, { recursive: true });
  return path;
};

describe("gureum chat", () => {
  it("answers the sample question of `npm start`, with figures on stderr", async () => {
    const { code, out, err } = await gureum(["chat", "고려대학교에 대해서 알고 있니?", "--backend", "cpu"]);
    expect(code).toBe(0);
    expect(out).toBe("네, 고려대학교는 서울에 있는 사립 대학교로 1905년에 설립되었어요.\n");
    expect(err).toMatch(/\d+ prompt tokens, 24 new \(stop\); first after [\d.]+ ms, then [\d.]+ tokens\/s on cpu/);
  });

  it.each([
    ["has no WebAssembly", "delete globalThis.WebAssembly"],
    ["forbids WebAssembly: not by this policy", "WebAssembly.compile = async () => { throw new Error('not by this policy') }"],
  ])("answers where the host %s, which `device` tells, and --ops wasm is refused for", async (why, program) => {
    const host = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(program)}` };
    const run = (...args: string[]): ReturnType<typeof gureum> => gureum(args, undefined, undefined, host);
    const [answer, refused, device] = await Promise.all([
      run("chat", "고려대학교에 대해서 알고 있니?", "--backend", "cpu"),
      run("chat", "너는 누구니?", "--backend", "cpu", "--ops", "wasm"),
      // No adapter is called that: the line on the CPU comes first.
      run("device", "--adapter", "no such adapter"),
    ]);
    expect(answer).toMatchObject({ code: 0, out: "네, 고려대학교는 서울에 있는 사립 대학교로 1905년에 설립되었어요.\n" });
    expectFailure(refused, 1, new RegExp(`WebAssembly ops, got this host ${why} — .*JavaScript ops`));
    expect(device.out).toMatch(new RegExp(`^cpu +JavaScript ops: this host ${why}; f64`));
  });

  it("says of an answer stopped before its first token that nothing is new, and no time of it", async () => {
    const { formatFigures } = (await import(new URL("../../../dist/cli/run.js", import.meta.url).href)) as {
      formatFigures(figures: object): string;
    };
    const stopped = { promptTokens: 36, newTokens: 0, finishReason: "aborted", firstTokenMs: null, tokensPerSecond: null, backend: "cpu" };
    expect(formatFigures(stopped)).toBe("36 prompt tokens, 0 new (aborted) on cpu");
    expect(formatFigures({ ...stopped, newTokens: 1, firstTokenMs: 12.5 })).toBe(
      "36 prompt tokens, 1 new (aborted); first after 12.5 ms on cpu",
    );
  });

  it("gives every golden answer, as one JSON object", async () => {
    const { generate } = await modelGolden(dataFile("model/gureum-tiny-awq"));
    const question = (prompt: string): string => prompt.slice(prompt.lastIndexOf("\n\n") + 2, prompt.indexOf(" [/INST]"));
    const goldens = generate.filter(({ variant, stop_at }) => variant === "default_system" && stop_at !== null);
    expect(goldens.length).toBeGreaterThan(3);
    for (const { prompt, prompt_ids, ids, stop_at, text } of goldens) {
      const { code, out } = await gureum(["chat", question(prompt), "--backend", "cpu", "--json"]);
      expect(code).toBe(0);
      const answer = JSON.parse(out);
      expect(answer).toMatchObject({ text, ids: ids.slice(0, stop_at!), finishReason: "stop", promptTokens: prompt_ids.length });
      expect(Object.keys(answer.timings)).toEqual(["loadMs", "firstTokenMs", "totalMs", "tokensPerSecond"]);
    }
  });

  it("holds a conversation with history, a question a line", async () => {
    const { code, out } = await gureum(["chat", "--backend", "cpu", "--max-new-tokens", "20"], "안녕하세요\n\n너는 누구니?\n");
    expect(code).toBe(0);
    expect(out.split("\n")).toHaveLength(3);
    expect(out.startsWith("안녕하세요. 만나서 반가워요.\n")).toBe(true);
    const second = await gureum(["chat", "너는 누구니?", "--backend", "cpu", "--max-new-tokens", "20", "--json"]);
    expect(JSON.parse(second.out).promptTokens).toBeGreaterThan(0);
  });

  it("repeats a random answer for the same seed and not for another", async () => {
    const run = async (seed: string): Promise<string> =>
      (await gureum(["chat", "심심해", "--backend", "cpu", "--temperature", "1.2", "--seed", seed])).out;
    expect(await run("5")).toBe(await run("5"));
    expect(await run("5")).not.toBe(await run("6"));
  });
});

describe("gureum generate", () => {
  it("ends before a stop string and reports it", async () => {
    const free = JSON.parse((await gureum(["generate", "오늘", "--backend", "cpu", "--max-new-tokens", "12", "--json"])).out);
    const stop = free.text.slice(3, 6);
    const stopped = JSON.parse(
      (await gureum(["generate", "오늘", "--backend", "cpu", "--max-new-tokens", "12", "--stop", stop, "--json"])).out,
    );
    expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(stopped.finishReason).toBe("stop");
  });

  it("counts no GPU work on the CPU with --stats, and says so", async () => {
    const words = ["generate", "오늘", "--backend", "cpu", "--max-new-tokens", "2", "--stats"];
    expect((await gureum(words)).err).toMatch(/stats: the CPU reference has no GPU work/);
    expect(JSON.parse((await gureum([...words, "--json"])).out).stats).toBeNull();
  });

  it("feeds one token less without BOS", async () => {
    const prompt = async (...more: string[]): Promise<number> =>
      JSON.parse((await gureum(["generate", "오늘", "--backend", "cpu", "--max-new-tokens", "1", "--json", ...more])).out).promptTokens;
    expect(await prompt("--no-bos")).toBe((await prompt()) - 1);
  });

  it("says when the context is full", async () => {
    const path = await folder("short");
    const config = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    await writeFile(join(path, "config.json"), JSON.stringify({ ...config, max_position_embeddings: 8 }));
    const { out } = await gureum(["generate", "오늘", "--model", path, "--backend", "cpu", "--json"]);
    expect(JSON.parse(out).finishReason).toBe("context");
    expectFailure(
      await gureum(["generate", "오늘 날씨가 참 좋아서 산책을 갔다", "--model", path, "--backend", "cpu"]),
      1,
      /too many tokens, expected at most 8/,
    );
  });
});

describe("gureum tokenize", () => {
  it("turns text into ids and back, line by line", async () => {
    const texts = ["안녕하세요", "<s>", "a\nb", "", "🙂 x"];
    const encoded = await gureum(["tokenize", "--jsonl"], `${texts.map((t) => JSON.stringify(t)).join("\n")}\n`);
    const decoded = await gureum(["tokenize", "--jsonl", "--decode"], encoded.out);
    expect(
      decoded.out
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    ).toEqual(texts);
  });

  it("reads a literal special token as text or as rendered", async () => {
    expect((await gureum(["tokenize", "<s>", "--as", "rendered"])).out).toBe("1\n");
    expect((await gureum(["tokenize", "<s>"])).out).not.toBe("1\n");
  });

  it("takes a single file as its model", async () => {
    const whole = await gureum(["tokenize", "안녕"]);
    for (const file of ["tokenizer.model", "tokenizer.json"])
      expect(await gureum(["tokenize", "안녕", "--model", join(model, file)])).toEqual(whole);
  });

  it("names the line that is wrong", async () => {
    expectFailure(await gureum(["tokenize", "--jsonl"], "[1]\n"), 1, /^gureum: stdin line 1: a line, expected a JSON string, got \[1\]$/);
    expectFailure(await gureum(["tokenize", "--jsonl"], "{\n"), 1, /^gureum: stdin line 1: not JSON/);
  });
});

describe("gureum render", () => {
  it("prints text or ids, and fails with the template's own words", async () => {
    const file = join(work, "messages.json");
    await writeFile(file, JSON.stringify([{ role: "user", content: "안녕하세요" }]));
    const text = await gureum(["render", file]);
    expect(text.out).toBe("<s>[INST] <<SYS>>\n당신은 gureum 엔진의 작은 데모 모델입니다.\n<</SYS>>\n\n안녕하세요 [/INST]");
    expect((await gureum(["render", file, "--ids"])).out).toBe((await gureum(["tokenize", text.out, "--as", "rendered"])).out);
    await writeFile(file, JSON.stringify([{ role: "assistant", content: "?" }]));
    expectFailure(await gureum(["render", file]), 1, /Conversation roles must alternate/);
    expectFailure(await gureum(["render", join(work, "absent.json")]), 1, /absent\.json: no such file/);
    expectFailure(await gureum(["render", "-"], '{"role": 1}'), 1, /not an array of messages/);
  });
});

describe("gureum logits", () => {
  it("writes logits and hidden states that are the golden's", async () => {
    const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));
    const { input_ids, max_abs_logit } = golden.logits.find(({ name }) => name === "ko_chat")!;
    const out = join(work, "out.safetensors");
    const { code } = await gureum(["logits", "--ids", input_ids.join(","), "--backend", "cpu", "--out", out, "--hidden-states"]);
    expect(code).toBe(0);
    const tensors = await readTensors(out);
    expect([...tensors.keys()].sort()).toEqual(["final_norm", "hidden_states", "logits"]);
    for (const [name, key] of [
      ["logits", "logits.ko_chat"],
      ["hidden_states", "hidden.ko_chat"],
      ["final_norm", "final_norm.ko_chat"],
    ] as const) {
      const { shape, bytes } = tensors.get(name)!;
      const expected = await golden.tensor(key);
      expect(shape).toEqual(expected.shape);
      const values = new Float32Array(bytes.slice().buffer);
      const largest = name === "logits" ? max_abs_logit : expected.data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      let max = 0;
      for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]! - expected.data[i]!));
      expect(max).toBeLessThanOrEqual(1e-5 * largest);
    }
  });

  it("prints the likeliest tokens, for people and for programs", async () => {
    const { out } = await gureum(["logits", "--text", "구름", "--backend", "cpu", "--top", "3", "--json"]);
    const { ids, top } = JSON.parse(out);
    expect(ids[0]).toBe(1);
    expect(top).toHaveLength(3);
    expect((await gureum(["logits", "--ids", ids.join(" "), "--backend", "cpu", "--top", "3"])).out.split("\n")).toHaveLength(4);
  });

  it("leaves nothing behind where it cannot write", async () => {
    const before = await readdir(work);
    expectFailure(
      await gureum(["logits", "--ids", "1", "--backend", "cpu", "--out", join(work, "absent", "x.safetensors")]),
      1,
      /absent.*no such file or folder/,
    );
    expect(await readdir(work)).toEqual(before);
  });
});

describe("a checkpoint that is not what it says", () => {
  const weights = "model.safetensors";
  const broken: [string, (path: string) => Promise<unknown>, RegExp][] = [
    ["a missing folder", (path) => rm(path, { recursive: true }), /no such file or folder/],
    ["missing weights", (path) => rm(join(path, weights)), /model\.safetensors/],
    ["a missing config", (path) => rm(join(path, "config.json")), /no config\.json/],
    ["truncated weights", (path) => truncate(join(path, weights), 5_000_000), /model\.safetensors/],
    ["a flipped bit in the header", (path) => patch(join(path, weights), 100, (b) => b ^ 0x80), /model\.safetensors/],
    ["a NaN scale", (path) => nanScale(join(path, weights)), /scales.*NaN or infinity/],
    ["an unknown architecture", (path) => edit(path, { architectures: ["GPT2LMHeadModel"] }), /GPT2LMHeadModel/],
    ["tensors of another shape", (path) => edit(path, { hidden_size: 512 }), /shape|expected/],
    ["fewer layers on disk", (path) => edit(path, { num_hidden_layers: 9 }), /layers\.8/],
    ["another quantization", (path) => edit(path, { quantization_config: { quant_method: "aqlm", bits: 4 } }), /aqlm/],
    ["another layout", (path) => edit(path, { quantization_config: { quant_method: "gptq", bits: 4 } }), /qweight": shape, expected/],
    ["a broken tokenizer", (path) => writeFile(join(path, "tokenizer.json"), "{"), /tokenizer\.json/],
  ];
  const edit = async (path: string, change: object): Promise<void> => {
    const file = join(path, "config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, "utf8")), ...change }));
  };
  const patch = async (file: string, at: number, change: (byte: number) => number): Promise<void> => {
    const handle = await open(file, "r+");
    const byte = new Uint8Array(1);
    await handle.read(byte, 0, 1, at);
    await handle.write(Uint8Array.of(change(byte[0]!)), 0, 1, at);
    await handle.close();
  };
  const nanScale = async (file: string): Promise<void> => {
    const bytes = await readFile(file);
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    const at = 8 + length + header["model.layers.3.mlp.up_proj.scales"].data_offsets[0];
    bytes.writeUInt16LE(0x7e00, at);
    await writeFile(file, bytes);
  };

  it.each(broken)("fails in one line: %s", async (name, break_, about) => {
    const path = await folder(name.replaceAll(" ", "-"));
    await break_(path);
    expectFailure(await gureum(["chat", "안녕", "--model", path, "--backend", "cpu"]), 1, about);
  });

  it("is reported by inspect, with exit 1, and a whole one with exit 0", async () => {
    const path = await folder("inspected");
    expect((await gureum(["inspect", path])).code).toBe(0);
    await truncate(join(path, weights), 5_000_000);
    const { code, out } = await gureum(["inspect", path, "--json"]);
    expect(code).toBe(1);
    expect(JSON.parse(out).problems.length).toBeGreaterThan(0);
  });
});

describe("the command", () => {
  it.each([
    [["--help"], 0],
    [["chat", "--help"], 0],
    [["generate", "--help"], 0],
    [["tokenize", "--help"], 0],
    [["render", "--help"], 0],
    [["inspect", "--help"], 0],
    [["logits", "--help"], 0],
    [["synth", "--help"], 0],
    [[], 2],
  ])("prints its usage for %j", async (args, exit) => {
    const { code, out, err } = await gureum(args as string[]);
    expect(code).toBe(exit);
    expect(out).toContain("usage: gureum");
    expect(err).toBe("");
  });

  it.each([
    [["nonsense"], /^gureum: no such command: "nonsense"/],
    [["device", "--all", "--arithmetic"], /--arithmetic asks about one adapter: not with --all/],
    [["diff", "--ids", "1", "--arithmetic", "exact", "--all"], /--all prints bounds of steps/],
    [["chat", "a", "b"], /too many words/],
    [["chat", "a", "--nonsense"], /nonsense/],
    [["chat", "a", "--backend", "gpu"], /--backend is auto, cpu or webgpu/],
    [["chat", "a", "--arithmetic", "f64"], /--arithmetic is auto, f32, fixed16 or exact/],
    [["generate", "a", "--kv-cache", "f8"], /--kv-cache is f32 or f16/],
    [["chat", "a", "--kernel", "matmul"], /--kernel takes STEP=VARIANT/],
    [["logits", "--ids", "1", "--kernel", "nonsense=matmul"], /no such step, expected linear, .*"nonsense"/],
    [["diff", "--ids", "1", "--kernel", "dense=nonsense"], /no such variant, expected matmul-tiles, matmul, matmul-tiled, got "nonsense"/],
    [["chat", "a", "--backend", "cpu", "--arithmetic", "f32"], /choose among variants of the WebGPU backend/],
    [["chat", "a", "--backend", "cpu", "--adapter", "99"], /an adapter is one of WebGPU's — leave it out/],
    [["quantize", "/nowhere/from", "/nowhere/to", "--adapter", "99"], /an adapter is one of WebGPU's — leave it out/],
    [["perplexity", "--text", "x", "--b", "cpu", "--adapter", "99"], /--adapter chooses among WebGPU's: not with the cpu alone/],
    [["diff", "--ids", "1", "--b", "cpu", "--adapter", "99"], /--adapter is WebGPU's: not with two sides on the CPU/],
    [["diff", "--ids", "1", "--b", "cpu", "--kv-cache", "f16"], /--kv-cache is WebGPU's/],
    [["chat", "a", "--temperature", "warm"], /--temperature takes a number/],
    [["chat", "a", "--seed", "-1"], /seed/],
    [["chat", "a", "--temperature=-1"], /temperature, expected/],
    [["chat", "a", "--max-new-tokens", "0"], /max-new-tokens, expected/],
    [["generate", "a", "--top-p", "0"], /top-p, expected/],
    [["chat", "a", "--backend", "cpu", "--robustness"], /robustness is WebGPU's.* — leave it out/],
    [["chat", "a", "--var", "name=word"], /--var name > byte 0: not JSON.* — a text is quoted: --var 'name="…"'/],
    [["logits", "a"], /too many words: "a" — see gureum logits --help/],
    [["generate", "--ids", "1,,2"], /--ids takes whole numbers, got ""/],
    [["tokenize", "--ids", "1,2,"], /--ids takes whole numbers, got ""/],
    [["generate", "a", "--greedy", "--temperature", "0.8"], /give --greedy or --temperature above 0, not both/],
    [["logits", "--ids", "1,2", "--no-bos"], /--no-bos reads a text: not with --ids/],
    [["tokenize", "a", "--decode"], /--decode goes with --jsonl/],
    [["tokenize", "a", "--as", "text", "--special-tokens"], /--special-tokens is --as rendered: give one of them/],
    [["diff", "--ids", "1", "--b", "cpu", "--kv-cache", "f16"], /--kv-cache is WebGPU's: not with two sides on the CPU/],
    [["conformance", "--backend", "cpu", "--no-robustness"], /--no-robustness is WebGPU's: not with --backend cpu/],
    [["conformance", "--mutate", "--time", "1s"], /--time is not for --mutate/],
    [["conformance", "--replay", "[]", "--report", "x"], /--report is not for --replay/],
    [["conformance", "--json", "--format", "csv"], /--format and --json both say what is printed/],
    [["bench", "kernels", "--runs", "3"], /--runs goes with --with/],
    [["bench", "kernels", "--backend", "cpu", "--shape", "tiny", "--filter", "none"], /no op matches — give less of --filter/],
    [["bench", "model", "x", "--new", "2,9"], /--new takes one number, got "2,9"/],
    [["bench", "model", "x", "--threads", "2"], /--threads is the CPU's: with --backend cpu/],
    [["bench", "model", "x", "--backend", "cpu", "--kv-cache", "f16"], /--kv-cache is WebGPU's/],
    [["bench", "model", "x", "--backend", "cpu", "--arithmetic", "f32"], /--arithmetic is WebGPU's/],
    [["generate"], /missing/],
    [["tokenize"], /give TEXT/],
    [["tokenize", "a", "--as", "x"], /--as is text or rendered/],
    [["render"], /missing/],
    [["inspect"], /missing/],
    [["logits"], /--ids, --text or --file/],
    [["logits", "--ids", "1,x"], /--ids takes whole numbers/],
    [["logits", "--ids", "1", "--hidden-states"], /needs --out/],
    [["synth", "--shape", "x", "y"], /--shape is one of/],
  ])("refuses %j with exit 2", async (args, about) => {
    expectFailure(await gureum(args), 2, about);
  });

  it.each([
    [["generate", ""], /no tokens|at least one/, ["--no-bos"]],
    [["logits", "--ids", "4096"], /expected an integer from 0 to 4095, got 4096/, []],
    [["logits", "--ids", ""], /no tokens/, []],
    [["chat", " "], /the question is empty/, []],
    [["generate", "a", "--stop", ""], /stop, expected texts of a character or more, got ""/, []],
  ])("fails on %j with exit 1", async (args, about, more) => {
    expectFailure(await gureum([...args, "--backend", "cpu", ...more]), 1, about);
  });

  it("tells a full disk in one line", async () => {
    const full = await gureum(["inspect", model], undefined, 'node "$0" "$@" > /dev/full');
    expectFailure(full, 1, /stdout: no space left/);
  });
});
