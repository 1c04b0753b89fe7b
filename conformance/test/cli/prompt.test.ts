/** Prompts as the models of `fixtures/data/field` were trained on them, through the command. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataFile } from "../fixtures/golden.ts";
import { expectFailure, gureum } from "./gureum.ts";

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "gureum-"));
});
afterAll(() => rm(work, { recursive: true }));

const field = (path: string): string => dataFile(`field/${path}`);
const expected = (name: string): Record<string, string> => JSON.parse(readFileSync(field(`${name}/expected.json`), "utf8"));
const render = async (args: string[]): Promise<string> => {
  const { code, out, err } = await gureum(["render", ...args]);
  expect(err).toBe("");
  expect(code).toBe(0);
  return out;
};

describe("gureum render", () => {
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
    expect(await ids(["logits", "--text", prompt, "--special-tokens", "--json", "--backend", "cpu", ...model])).toEqual(rendered);
    expect((await ids(["logits", "--text", prompt, "--json", "--backend", "cpu", ...model])).length).toBeGreaterThan(rendered.length);
    const special = await gureum(["generate", prompt, "--special-tokens", "--backend", "cpu", "--json", "--max-new-tokens", "5", ...model]);
    expect(JSON.parse(special.out).text).toBe("안녕하세요");
  });
  it("bring their own BOS, which is not put twice", async () => {
    const args = ["logits", "--special-tokens", "--backend", "cpu", "--json"];
    expect(await ids([...args, "--text", "<s>구름"])).toEqual(await ids(["logits", "--backend", "cpu", "--json", "--text", "구름"]));
  });
});
