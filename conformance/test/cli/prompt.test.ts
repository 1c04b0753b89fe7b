/** Prompts as the models of `fixtures/data/field` were trained on them, through the command. */
import { readFileSync } from "node:fs";
import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type ChatMessage, embeddedModel, loadModel } from "../../../index.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { dataFile } from "../fixtures/golden.ts";
import { expectFailure, gureum } from "./gureum.ts";

const work = freshFolder("prompt");

const field = (path: string): string => dataFile(`field/${path}`);
const expected = (name: string): Record<string, string> => JSON.parse(readFileSync(field(`${name}/expected.json`), "utf8"));
const render = async (args: string[]): Promise<string> => {
  const { code, out, err } = await gureum(["render", ...args]);
  expect(err).toBe("");
  expect(code).toBe(0);
  return out;
};

describe("what is wrong with the words", () => {
  // The weights of this model cannot be read: whatever is said first was found before.
  const folder = (): string => join(work, "unreadable");
  beforeAll(async () => {
    await cp(field("padded-vocab"), folder(), { recursive: true });
    const bytes = readFileSync(join(folder(), "model.safetensors"));
    bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE(0)));
    await writeFile(join(folder(), "model.safetensors"), bytes);
    await writeFile(join(work, "ids.json"), "[[1, 2], [3, 4000]]");
  });
  const beyond = /ids\[\d\]: token id, expected an integer from 0 to \d+, got 4000/;
  it.each([
    ["generate", ["--ids", "1,4000"], beyond],
    ["generate", ["--ids", ""], /prompt: no tokens/],
    ["generate", ["--ids", "1", "--stop-id", "4000"], /a stop id, expected an integer from 0 to/],
    ["generate", ["--ids", Array(5000).fill(1).join()], /context: too many tokens/],
    ["logits", ["--ids", "4000"], beyond],
    ["diff", ["--a", "cpu", "--b", "cpu", "--ids", "1,4000"], beyond],
    ["perplexity", ["--ids", "ids.json"], /ids\.json > 1 > ids\[1\]: token id/],
    ["perplexity", ["--text", "ids.json", "--context", "100000"], /--context is at most/],
    ["perplexity", ["--text", "ids.json", "--context", "1"], /context, expected a whole number from 2, got 1/],
    ["perplexity", ["--text", "ids.json", "--context", "8", "--stride", "9"], /stride, expected a whole number from 1 to 7/],
    ["perplexity", ["--text", "/dev/null"], /ids to score, expected one or more, got 0 — give a longer text/],
    ["chat", ["a", "--template", "none"], /no chat template/],
    ["chat", ["--stop-id", "4000"], /a stop id/],
  ] as const)("is found before the weights are read: %s %j", async (command, given, message) => {
    const words = given.map((word) => (word === "ids.json" ? join(work, word) : word));
    const model = command === "perplexity" ? [folder()] : ["--model", folder()];
    const { code, err } = await gureum([command, ...words, ...model]);
    expect(code).not.toBe(0);
    expect(err).toMatch(message);
  });

  it("is told of by the name of what was read, also where that is standard input", async () => {
    expectFailure(await gureum(["render", "-"]), 1, /^gureum: stdin > byte 0: not JSON/);
    expectFailure(await gureum(["render", "-"], "[]"), 1, /^gureum: stdin: no messages/);
  });

  it("is not what the weights' own fault is called", async () => {
    expect((await gureum(["logits", "--ids", "1", "--model", folder()])).err).toMatch(/NaN or infinity/);
  });
});

describe("gureum render", () => {
  it("gives a template the numbers that Python's json reads: floats stay floats, ints ints, keys in order", async () => {
    const [file, tools, model] = [join(work, "floats.json"), join(work, "tools.json"), join(work, "floats")];
    await cp(field("generation-prompt/chatml"), model, { recursive: true });
    await writeFile(
      join(model, "chat_template.jinja"),
      "{{ messages[0].x }}|{{ messages[0].content[0].n }}|{{ tools | tojson }}|{{ v }}|{{ 1.0 }}",
    );
    const x = '{"10": 1.0, "2": [1, 1e2, -0.0, 12345678901234567890, NaN]}';
    await writeFile(file, `[{"role": "user", "content": [{"type": "text", "text": "a", "n": 5e-1}], "x": ${x}}]`);
    await writeFile(tools, '[{"type": "function", "default": 2.0, "most": 2}]');
    // As CPython 3.11's json and jinja2 3.1.6 write it.
    expect(await render([file, "--model", model, "--tools", tools, "--var", "v=3.0"])).toBe(
      `{'10': 1.0, '2': [1, 100.0, -0.0, 12345678901234567890, nan]}|0.5|[{"type": "function", "default": 2.0, "most": 2}]|3.0|1.0`,
    );
  });

  it.each(["solar", "zephyr", "chatml", "llama3"])("ends with the header of the answer, unless it is told not to: %s", async (name) => {
    const args = [field("generation-prompt/messages.json"), "--model", field(`generation-prompt/${name}`)];
    const right = expected("generation-prompt")[name]!;
    expect(await render(args)).toBe(right);
    const without = await render([...args, "--no-generation-prompt"]);
    expect(right.startsWith(without)).toBe(true);
    expect(without.length).toBeLessThan(right.length);
  });

  it.each(["messages.json", "messages-strings.json"])("hands every field of a message on as it is: %s", async (name) => {
    expect(await render([field(`tool-messages/${name}`), "--model", field("tool-messages")])).toBe(expected("tool-messages")[name]);
  });

  it("ends inside the last message where that shall be continued", async () => {
    const file = join(work, "begun.json");
    await writeFile(
      file,
      JSON.stringify([
        { role: "user", content: "a" },
        { role: "assistant", content: "나는 " },
      ]),
    );
    const args = [file, "--model", field("generation-prompt/chatml"), "--continue-final-message"];
    expect(await render(args)).toBe("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n나는 ");
    // llama3's template trims each message, so the blank behind it is not the template's to keep.
    args[2] = field("generation-prompt/llama3");
    expect(await render(args)).toMatch(/<\|end_header_id\|>\n\n나는$/);
    expectFailure(
      await gureum(["render", field("tool-messages/messages.json"), "--continue-final-message", "--var", "x"]),
      2,
      /--var takes NAME=JSON/,
    );
  });

  it("gives templates tools, documents and variables, and picks a template by name", async () => {
    const template = "{{ tools[0].function.name }} {{ documents | length }} {{ thinking }}";
    await writeFile(join(work, "tokenizer.json"), readFileSync(field("tool-messages/tokenizer.json")));
    await writeFile(
      join(work, "tokenizer_config.json"),
      JSON.stringify({
        chat_template: [
          { name: "default", template: "plain" },
          { name: "tool_use", template },
        ],
      }),
    );
    await writeFile(join(work, "tools.json"), JSON.stringify([{ type: "function", function: { name: "sky" } }]));
    await writeFile(join(work, "documents.json"), JSON.stringify([{ title: "a" }, { title: "b" }]));
    const args = [field("generation-prompt/messages.json"), "--model", work];
    const given = ["--tools", join(work, "tools.json"), "--documents", join(work, "documents.json"), "--var", "thinking=[1, true]"];
    expect(await render(args)).toBe("plain");
    expect(await render([...args, ...given])).toMatch(/^sky 2 /);
    expect(await render([...args, ...given, "--template", "default"])).toBe("plain");
    expectFailure(
      await gureum(["render", ...args, "--template", "rag"]),
      1,
      /no chat template is called "rag", expected one of default, tool_use/,
    );
  });
});

describe("gureum chat", () => {
  it("answers where the prompt ends with the header of the answer", async () => {
    const { code, out } = await gureum(["chat", "안녕?", "--model", field("generation-prompt/zephyr"), "--backend", "cpu", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ text: "안녕하세요", finishReason: "stop" });
  });
});

describe("special tokens in a hand-written prompt", () => {
  const model = ["--model", field("stop-special-token")];
  const prompt = "<|im_start|>user\n구름<|im_end|>\n<|im_start|>assistant\n";
  const ids = async (args: string[]): Promise<number[]> => JSON.parse((await gureum(args)).out).ids;

  it("are read as such where asked, the same in every command, and as plain text otherwise", async () => {
    const messages = join(work, "messages.json");
    await writeFile(messages, JSON.stringify([{ role: "user", content: "구름" }]));
    const rendered = (await render([messages, ...model, "--ids"])).trim().split(",").map(Number);
    expect(await ids(["tokenize", prompt, "--special-tokens", "--json", ...model])).toEqual(rendered);
    // Its class leaves BOS to the post-processor, which puts it first whatever add_bos_token says.
    const logits = ["logits", "--text", prompt, "--special-tokens", "--json", "--backend", "cpu", ...model];
    expect(await ids(logits)).toEqual([1, ...rendered]);
    expect(await ids([...logits, "--no-bos"])).toEqual(rendered);
    expect((await ids(["logits", "--text", prompt, "--json", "--backend", "cpu", ...model])).length).toBeGreaterThan(rendered.length);
    const special = await gureum(["generate", prompt, "--special-tokens", "--backend", "cpu", "--json", "--max-new-tokens", "5", ...model]);
    expect(JSON.parse(special.out).text).toBe("안녕하세요");
  });
  it("bring their own BOS, which is not put twice", async () => {
    const args = ["logits", "--special-tokens", "--backend", "cpu", "--json"];
    expect(await ids([...args, "--text", "<s>구름"])).toEqual(await ids(["logits", "--backend", "cpu", "--json", "--text", "구름"]));
  });
});

describe("what ends an answer", () => {
  const ask = async (name: string, ...args: string[]) => {
    const { code, out, err } = await gureum([
      "chat",
      "구름",
      "--model",
      field(name),
      "--backend",
      "cpu",
      "--json",
      "--max-new-tokens",
      "20",
      ...args,
    ]);
    expect(code).toBe(0);
    return { ...(JSON.parse(out) as { text: string; ids: number[]; finishReason: string }), err };
  };

  it("is a stop string that spells a special token, by its id, and a stop id", async () => {
    const right = { text: "안녕하세요", finishReason: "stop" };
    const byText = await ask("stop-special-token", "--stop", "<|im_end|>");
    expect(byText).toMatchObject(right);
    expect(byText.ids).toHaveLength(5);
    const id = JSON.parse(
      (await gureum(["tokenize", "<|im_end|>", "--special-tokens", "--json", "--model", field("stop-special-token")])).out,
    ).ids[0];
    expect(await ask("stop-special-token", "--stop-id", `${id}`)).toMatchObject(right);
    expect(await ask("stop-special-token")).toMatchObject({ finishReason: "length" });
    expectFailure(await gureum(["chat", "a", "--stop-id", "x"]), 2, /--stop-id takes a token id/);
  });
  it("is an EOS token that only tokenizer_config.json names", async () => {
    const folder = join(work, "eos");
    await cp(field("stop-special-token"), folder, { recursive: true });
    const file = join(folder, "tokenizer_config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), eos_token: "<|im_end|>" }));
    const { out } = await gureum(["chat", "구름", "--model", folder, "--backend", "cpu", "--json", "--max-new-tokens", "20"]);
    expect(JSON.parse(out)).toMatchObject({ text: "안녕하세요", finishReason: "stop" });
  });
  it("is no row without a token, which decodes to nothing and is ranked like any other", async () => {
    expect(await ask("padded-vocab")).toMatchObject({ text: "안녕하세요.", ids: [36, 37, 38, 39, 40, 61, 49], finishReason: "stop" });
    const { code, out } = await gureum([
      "logits",
      "--ids",
      "40",
      "--model",
      field("padded-vocab"),
      "--backend",
      "cpu",
      "--top",
      "64",
      "--json",
    ]);
    expect(code).toBe(0);
    const { top } = JSON.parse(out) as { top: { id: number; piece: string | null }[] };
    expect(top).toHaveLength(64);
    expect(top.find(({ id }) => id === 61)!.piece).toBeNull();
    expect((await gureum(["tokenize", "--ids", "36,61,37", "--model", field("padded-vocab")])).out).toBe("안녕\n");
  });
});

describe("generation_config.json", () => {
  it("is followed as transformers' generate does, in one line on stderr, and --greedy overrides it", async () => {
    const folder = join(work, "drawn");
    await cp(field("generation-prompt/zephyr"), folder, { recursive: true });
    await writeFile(
      join(folder, "generation_config.json"),
      JSON.stringify({ do_sample: true, temperature: 9, top_p: 0.95, num_beams: 3, eos_token_id: 2 }),
    );
    const args = ["chat", "안녕?", "--model", folder, "--backend", "cpu"];
    const drawn = await gureum([...args, "--seed", "3"]);
    expect(drawn.err).toContain(
      "sampling: temperature 9, top-k 50, top-p 0.95, seed 3 (as the model's generation_config.json has it; --greedy: always the likeliest)",
    );
    expect(drawn.err).toContain("note: generation_config.json: not honoured: num_beams");
    expect((await gureum([...args, "--seed", "3"])).out).toBe(drawn.out);
    const byHand = ["--temperature", "9", "--top-k", "50", "--top-p", "0.95", "--seed", "3"];
    expect((await gureum(["chat", "안녕?", "--model", field("generation-prompt/zephyr"), "--backend", "cpu", ...byHand])).out).toBe(
      drawn.out,
    );
    const likeliest = await gureum([...args, "--greedy"]);
    expect(likeliest.out).toBe("안녕하세요\n");
    expect(likeliest.err).not.toContain("sampling:");
    const idle = await gureum([...args, "--greedy", "--top-k", "9", "--top-p", "1", "--seed", "3"]);
    expect(idle.out).toBe(likeliest.out);
    expect(idle.err).toContain("note: no effect of --top-k, --seed: the likeliest token is always taken; --temperature T draws");
    expect(drawn.err).not.toContain("no effect");
  });
});

describe("a model whose tokenizer or template cannot be read", () => {
  it("runs on ids, and text says which file and line is wrong", async () => {
    const folder = join(work, "broken");
    await cp(field("stop-special-token"), folder, { recursive: true });
    const args = ["--model", folder, "--backend", "cpu"];
    const before = JSON.parse((await gureum(["generate", "--ids", "36,37", "--json", "--max-new-tokens", "4", ...args])).out);
    const file = join(folder, "tokenizer_config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), chat_template: "a\n{% if %}" }));
    expectFailure(await gureum(["chat", "a", ...args]), 1, /tokenizer_config.json > chat template, line 2: expected an expression/);
    expect((await gureum(["generate", "안", "--max-new-tokens", "1", ...args])).code).toBe(0);
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify({ model: { type: "WordPiece" } }));
    const after = await gureum(["generate", "--ids", "36,37", "--max-new-tokens", "4", ...args]);
    expect(after.code).toBe(0);
    expect(after.out.trim()).toBe(before.ids.join(" "));
    expectFailure(await gureum(["generate", "a", ...args]), 1, /tokenizer.json.*"WordPiece" is not supported/);
  });
});

describe("a conversation", () => {
  it("gives the answers that each turn alone gives, feeding only what is new", async () => {
    const turns = ["안녕하세요", "너는 누구니?", "고마워"];
    const { out, code } = await gureum(["chat", "--backend", "cpu"], `${turns.join("\n")}\n`);
    expect(code).toBe(0);
    const answers = out.trimEnd().split("\n");
    expect(answers).toHaveLength(3);
    const model = await loadModel(embeddedModel(), { backend: "cpu" });
    const messages: ChatMessage[] = [];
    for (const [i, content] of turns.entries()) {
      messages.push({ role: "user", content });
      let text = "";
      for await (const event of model.generate({ messages })) text += event.text;
      expect(answers[i]).toBe(text);
      messages.push({ role: "assistant", content: text });
    }
    model.dispose();
  });
});
