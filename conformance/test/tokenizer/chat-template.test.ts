/** Chat templates against jinja2 in transformers' environment, and the conventions around them. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { type ChatTemplate, loadChatTemplates, parseChatTemplate } from "../../../tokenizer/chat-template.ts";
import { type ChatGolden, dataFolder, gureum, modelFolder, readJson, readTokenizer } from "./fixtures.ts";

const tokens = { bos_token: "<s>", eos_token: "</s>" };
const parse = (source: string): ChatTemplate => parseChatTemplate(source, tokens);

function errorOf(run: () => unknown): GureumError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    return error as GureumError;
  }
  throw new Error("nothing was thrown");
}

for (const [name, golden, tokenizer] of [
  ["gureum-tiny's template", "chat-gureum-tiny.json", gureum["tokenizer.json"]],
  ["KULLM3's template", "chat-kullm3.json", readTokenizer(`${dataFolder}/mistral-7b-v0.1.model`)],
] as const)
  describe(name, () => {
    const { info, conversations } = readJson<ChatGolden>(`${dataFolder}/${golden}`);
    const template = parse(info.template);
    for (const { name: conversation, messages, add_generation_prompt, text, ids, error } of conversations) {
      const run = (): string => template.render(messages, { addGenerationPrompt: add_generation_prompt ?? false });
      if (error)
        it(`fails on ${conversation}`, () => {
          const thrown = errorOf(run);
          expect(thrown.code).toBe("template");
          if (error.type === "TemplateError") expect(thrown.details.what).toBe(error.message);
        });
      else
        it(`renders ${conversation}`, () => {
          expect(run()).toBe(text);
          expect(tokenizer.encode(run(), { specialTokens: "recognise" })).toEqual(ids);
        });
    }
  });

describe("a rendering", () => {
  const messages = [{ role: "user", content: "hi" }];
  it("ends with the answer's header unless told not to, and inside the last message where asked", () => {
    const template = parse(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
    );
    const begun = [...messages, { role: "assistant", content: "so " }];
    expect(template.render(messages)).toBe("<user>hi</><assistant>");
    expect(template.render(messages, { addGenerationPrompt: false })).toBe("<user>hi</>");
    expect(template.render(begun, { continueFinalMessage: true })).toBe("<user>hi</><assistant>so ");
    const parts = [{ role: "user", content: [{ type: "text", text: "a" }, { type: "image" }] }];
    const ofParts = parse("{{ messages[0].content[0].text }}!");
    expect(ofParts.render(parts, { continueFinalMessage: true })).toBe("a");
    expect(parts[0]!.content[0]).toEqual({ type: "text", text: "a" });
  });
  it("cuts trailing blanks with a template that trims, and fails where the message is not in the prompt", () => {
    const begun = [{ role: "assistant", content: "so " }];
    expect(parse("<{{ messages[0].content | trim }}>").render(begun, { continueFinalMessage: true })).toBe("<so");
    expect(errorOf(() => parse("x").render(begun, { continueFinalMessage: true })).message).toMatch(/does not appear in the prompt/);
    expect(errorOf(() => parse("x").render([{ role: "user", content: null }], { continueFinalMessage: true })).code).toBe("usage");
  });
  it("refuses options of the wrong type, and two that exclude each other", () => {
    const refuse = (options: object): string => {
      const error = errorOf(() => parse("x").render(messages, options));
      expect(error.code).toBe("usage");
      return error.message;
    };
    expect(refuse({ addGenerationPrompt: "yes" })).toMatch(/addGenerationPrompt has the wrong type, expected true or false/);
    expect(refuse({ tools: {} })).toMatch(/tools has the wrong type, expected an array/);
    expect(refuse({ addGenerationPrompt: true, continueFinalMessage: true })).toMatch(/exclude each other/);
  });
  it("gives the template its variables, which win over the tokens, and none where nothing is given", () => {
    expect(parse("{{ tools }} {{ documents }} {{ bos_token }} {{ pad_token is defined }}").render(messages)).toBe("None None <s> False");
    expect(parse("{{ bos_token }}{{ x.y }}").render(messages, { variables: { bos_token: "b", x: { y: [1] } } })).toBe("b[1]");
  });
});

describe("a folder's chat templates", () => {
  const config = readFileSync(`${modelFolder}/tokenizer_config.json`, "utf8");
  const load = async (files: Record<string, unknown>) => {
    const bytes = Object.entries(files).map(
      ([name, body]) => [name, encodeUtf8(typeof body === "string" ? body : JSON.stringify(body))] as const,
    );
    return loadChatTemplates(memoryStore("folder", new Map(bytes)));
  };
  const messages = [{ role: "user", content: "hi" }];
  const named = ["bos_token", "eos_token", "unk_token", "pad_token"].map((name) => `{{ ${name} if ${name} is defined else "?" }}`);
  const tokenTemplate = `${named.join(" ")}{% for token in additional_special_tokens or [] %} {{ token }}{% endfor %}`;
  const tokensOf = async (files: Record<string, unknown>) =>
    (await load({ "chat_template.jinja": tokenTemplate, ...files }))?.pick().render(messages);

  it("come from tokenizer_config.json, with its tokens", async () => {
    expect((await load({ "tokenizer_config.json": config }))?.pick().render(messages)).toMatch(/^<s>\[INST\] .*hi \[\/INST\]$/s);
  });
  it("come from chat_template.jinja where there is one, and additional_chat_templates", async () => {
    const templates = await load({
      "tokenizer_config.json": config,
      "chat_template.jinja": "{{ messages[0].content }}{{ eos_token }}\n",
      "additional_chat_templates/tool_use.jinja": "tools",
      "additional_chat_templates/notes.txt": "{% no template",
    });
    expect(templates?.names).toEqual(["default", "tool_use"]);
    expect(templates?.pick().render(messages)).toBe("hi</s>");
    expect(templates?.pick(undefined, true).render(messages)).toBe("tools");
  });
  it("have names, of which tool_use is taken for tools and default else", async () => {
    const list = {
      bos_token: { content: "<b>" },
      chat_template: [
        { name: "default", template: "d{{ bos_token }}" },
        { name: "tool_use", template: "t" },
      ],
    };
    const templates = (await load({ "tokenizer_config.json": list }))!;
    expect(templates.pick().render(messages)).toBe("d<b>");
    expect(templates.pick("tool_use").render(messages)).toBe("t");
    expect(templates.pick(undefined, true).render(messages)).toBe("t");
    expect(templates.pick("default", true).render(messages)).toBe("d<b>");
    expect(() => templates.pick("rag")).toThrow(/no chat template is called "rag", expected one of default, tool_use/);
    const nameless = (await load({ "tokenizer_config.json": { chat_template: [{ name: "rag", template: "r" }] } }))!;
    expect(() => nameless.pick()).toThrow(/no default among the chat templates, expected one of rag — name one/);
  });
  it("are null where a folder has none", async () => {
    expect(await load({ "tokenizer_config.json": "{}" })).toBeNull();
    expect(await load({})).toBeNull();
  });
  it("stop nothing but their own use where they are broken", async () => {
    const templates = (await load({
      "tokenizer_config.json": {
        chat_template: [
          { name: "default", template: "a\n{% if %}" },
          { name: "b", template: "b" },
          { name: "c", template: 3 },
        ],
      },
    }))!;
    expect(() => templates.pick()).toThrow(/^folder > tokenizer_config.json > /);
    expect(() => templates.pick("c")).toThrow(/chat_template > 2 > template: wrong type, expected a string/);
    expect(templates.pick("b").render(messages)).toBe("b");
  });
  it("name the file of a broken config", async () => {
    await expect(load({ "tokenizer_config.json": "{" })).rejects.toThrow(/^folder > tokenizer_config.json > byte 1: not JSON/);
    await expect(load({ "special_tokens_map.json": "[]" })).rejects.toThrow(/^folder > special_tokens_map.json: wrong type/);
  });

  it("get tokens of special_tokens_map.json where tokenizer_config.json names none, null meaning none", async () => {
    const map = { bos_token: "<m>", eos_token: { content: "</m>" }, additional_special_tokens: ["<x>", { content: "<y>" }] };
    const config = { bos_token: "<c>", pad_token: null, added_tokens_decoder: {} };
    expect(await tokensOf({ "tokenizer_config.json": config, "special_tokens_map.json": map })).toBe("<c> </m> ? ? <x> <y>");
  });
  it("get tokens of special_tokens_map.json first in folders older than added_tokens_decoder, additional ones of both", async () => {
    const map = { bos_token: "<m>", eos_token: null, additional_special_tokens: ["<x>", { content: "<y>" }] };
    const config = { bos_token: "<c>", eos_token: "</c>", additional_special_tokens: [{ content: "<z>" }, "<x>"] };
    expect(await tokensOf({ "tokenizer_config.json": config, "special_tokens_map.json": map })).toBe("<m> ? ? ? <z> <x> <y>");
  });
  it("get the defaults of the tokenizer's class, or of the class that the model's type has", async () => {
    const llama = "<s> </s> <unk> ?";
    expect(await tokensOf({ "tokenizer_config.json": { tokenizer_class: "LlamaTokenizerFast" } })).toBe(llama);
    expect(await tokensOf({ "config.json": { model_type: "mistral" } })).toBe(llama);
    expect(await tokensOf({ "tokenizer_config.json": { tokenizer_class: "Qwen2Tokenizer", bos_token: null } })).toBe(
      "? <|endoftext|> <|endoftext|> <|endoftext|>",
    );
    expect(
      await tokensOf({ "tokenizer_config.json": { tokenizer_class: "PreTrainedTokenizerFast" }, "config.json": { model_type: "llama" } }),
    ).toBe("? ? ? ?");
  });
});
