/** Chat templates against jinja2 in transformers' environment, and the Python rules the interpreter does not have. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { type ChatTemplate, loadChatTemplates, parseChatTemplate } from "../../../tokenizer/chat-template.ts";
import { pythonEqual, strftime } from "../../../tokenizer/python-builtins.ts";
import { type ChatGolden, dataFolder, gureum, modelFolder, readJson, readTokenizer } from "./fixtures.ts";

const tokens = { bos_token: "<s>", eos_token: "</s>" };
const parse = (source: string): ChatTemplate => parseChatTemplate(source, tokens);
const render = (source: string, variables: Record<string, unknown> = {}): string => parse(source).render([], { variables });

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

describe("strip, as Python has it", () => {
  it("takes off Unicode white space and U+001C to U+001F, but not U+FEFF or U+200B", () => {
    const spaces = "\t\n\v\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000";
    expect(render("{{ x.strip() }}|{{ x | trim }}", { x: `${spaces}a${spaces}` })).toBe("a|a");
    expect(render("{{ x.strip() }}", { x: "\ufeff\u200b a \u200b" })).toBe("\ufeff\u200b a \u200b");
    expect(render("{{ x.lstrip() }}|{{ x.rstrip() }}", { x: " a " })).toBe("a | a");
  });
  it("takes a set of characters", () => expect(render("{{ x.strip('<>😀') }}", { x: "<<😀a>b>😀" })).toBe("a>b"));
  it("is refused on what is no string", () => expect(errorOf(() => render("{{ x.strip() }}", { x: 3 })).code).toBe("template"));
});

describe("equality, as Python has it", () => {
  it("tells an empty string, zero, none and false apart as Python does", () => {
    expect(render("{{ '' == false }} {{ '' != false }} {{ 0 == false }} {{ '1' == 1 }} {{ none == false }}")).toBe(
      "false true true false false",
    );
  });
  it("compares lists and objects by content", () => {
    expect(render("{{ [1, 'a'] == [1, 'a'] }} {{ [1] == ['1'] }} {{ x == {'a': 1} }}", { x: { a: 1 } })).toBe("true false true");
  });
  it("is an equivalence on values without containers", () => {
    const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.constant(undefined));
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(pythonEqual(a, a)).toBe(true);
        expect(pythonEqual(a, b)).toBe(pythonEqual(b, a));
      }),
    );
  });
});

describe("a template's surroundings", () => {
  it("raise its own message as a template error", () => {
    const error = errorOf(() => render("{{ raise_exception('no\nsystem') }}"));
    expect(error.code).toBe("template");
    expect(error.message).toBe("chat template: no system");
  });
  it("write dates in the C locale", () => {
    expect(strftime(new Date(2024, 6, 4, 15, 5, 9), "%d %b %Y|%A %B %j %H:%M:%S %I %p %y %% %q")).toBe(
      "04 Jul 2024|Thursday July 186 15:05:09 03 PM 24 % %q",
    );
    expect(render("{{ strftime_now('%Y') }}")).toMatch(/^\d{4}$/);
  });
  it("trim blocks and know the tokens", () => {
    expect(render("{% if true %}\n  {{ bos_token }}\n  {%- endif %}\n{{ eos_token }}")).toBe("  <s></s>");
  });
  it("refuse an endless range, an element of something undefined, and what is not Jinja", () => {
    expect(errorOf(() => render("{% for i in range(1000000000) %}{% endfor %}")).code).toBe("template");
    expect(errorOf(() => render("{{ nothing.at.all }}")).message).toMatch(/undefined has no element "at"/);
    expect(errorOf(() => parse("{% if %}")).code).toBe("template");
    expect(errorOf(() => parse(`{{ ${"(".repeat(100_000)} }}`)).code).toBe("template");
  });
  it("give text or a template error for any source", () => {
    const word = fc.constantFrom(
      "{{",
      "}}",
      "{%",
      "%}",
      " if ",
      " for ",
      "x",
      " in ",
      "messages",
      "[0]",
      ".role",
      "'a'",
      "==",
      "|trim",
      "endif",
      "endfor",
      "{#",
      "-",
      "(",
      ")",
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        try {
          expect(typeof parse(words.join("")).render([{ role: "user", content: "hi" }])).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          expect((error as GureumError).code).toBe("template");
        }
      }),
      { numRuns: 1000 },
    );
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
    expect(await tokensOf({ "tokenizer_config.json": { bos_token: "<c>", pad_token: null }, "special_tokens_map.json": map })).toBe(
      "<c> </m> ? ? <x> <y>",
    );
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
