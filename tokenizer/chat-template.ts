/**
 * Chat templates: messages to prompt text, with the variables and conventions of transformers' `apply_chat_template`.
 * The template language is tokenizer/jinja's. A folder's templates are found here, and parsed when one is first used: one that is
 * broken stops nothing else.
 * Source: transformers `utils/chat_template_utils.py`, `tokenization_utils_base.py`.
 */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { openFolder } from "../core/checkpoint/folder.ts";
import { GureumError, within, withinAsync } from "../core/errors.ts";
import { decodeUtf8 } from "../core/utf8.ts";
import { parseJinja } from "./jinja.ts";
import { asObject, asString, isObject } from "./json.ts";
import { pythonStrip } from "./python-builtins.ts";
import { readStoreFile, readTokenizerConfig, templateTokens } from "./tokenizer-config.ts";

/** One turn. Every field reaches the template as it is: `content` (text, null, parts), `tool_calls`, `name` … */
export interface ChatMessage {
  /** Who speaks: "user", "assistant", … */
  readonly role?: string;
  /** What is said; what it may be, the template decides. */
  readonly content?: unknown;
  /** Whatever else the template reads. */
  readonly [field: string]: unknown;
}

/** What a template is given beside the messages. */
export interface RenderOptions {
  /** `add_generation_prompt`: end with the header of the answer. True by default, unless `continueFinalMessage` is. */
  readonly addGenerationPrompt?: boolean;
  /** `continue_final_message`: end inside the last message, so that the model goes on with it. */
  readonly continueFinalMessage?: boolean;
  /** Function schemas, none by default. */
  readonly tools?: readonly unknown[];
  /** Documents for retrieval, none by default. */
  readonly documents?: readonly unknown[];
  /** Further variables of the template, by their Jinja names: `enable_thinking` … They win over the tokens'. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** A parsed template. */
export interface ChatTemplate {
  /** The template's own text. */
  readonly source: string;
  /**
   * Messages to prompt text. It brings its own BOS: encode it with `specialTokens: "recognise"` and without `addBos`.
   * @throws GureumError "template" with the template's own message where it raises, and for anything that goes wrong inside it;
   * "usage" for options that exclude each other or have the wrong type.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** The templates of a model folder. */
export interface ChatTemplates {
  readonly names: readonly string[];
  /**
   * The template of this name. Without one, as transformers picks: "tool_use" where tools are given and there is such a template,
   * else "default". @throws GureumError "template" where none has the name, or the text is not Jinja.
   */
  pick(name?: string, withTools?: boolean): ChatTemplate;
}

const wrong = (what: string, expected?: string): GureumError =>
  new GureumError("usage", { where: "chat", what, ...(expected === undefined ? {} : { expected }) });

function checkOptions(options: RenderOptions): void {
  for (const name of ["addGenerationPrompt", "continueFinalMessage"] as const)
    if (options[name] !== undefined && typeof options[name] !== "boolean") throw wrong(`${name} has the wrong type`, "true or false");
  for (const name of ["tools", "documents"] as const)
    if (options[name] !== undefined && !Array.isArray(options[name])) throw wrong(`${name} has the wrong type`, "an array");
  if (options.addGenerationPrompt && options.continueFinalMessage)
    throw wrong("addGenerationPrompt and continueFinalMessage exclude each other");
}

/** Text that no message holds, put where the answer shall go on. */
const mark = "CONTINUE_FINAL_MESSAGE_TAG ";

/** The messages with the mark behind the last text of the last one, and that text. @throws GureumError "usage" */
function markFinal(messages: readonly ChatMessage[]): { marked: ChatMessage[]; final: string } {
  const last = messages.at(-1);
  const { content } = last ?? {};
  const withContent = (marked: unknown, final: string) => ({ marked: [...messages.slice(0, -1), { ...last, content: marked }], final });
  if (typeof content === "string") return withContent(content + mark, content);
  if (Array.isArray(content))
    for (let i = content.length - 1; i >= 0; i--) {
      const part: unknown = content[i];
      if (isObject(part) && typeof part.text === "string")
        return withContent(content.with(i, { ...part, text: part.text + mark }), part.text);
    }
  throw wrong("the last message has no text that could be continued");
}

/** The rendered text up to the mark; trailing blanks go with it where the template trimmed the message. */
function cutAtMark(rendered: string, final: string): string {
  const at = rendered.lastIndexOf(mark.trimEnd());
  if (at < 0 || !rendered.includes(pythonStrip("strip", final)))
    throw new GureumError("template", {
      where: "chat template",
      what: "the final message that is to be continued does not appear in the prompt",
    });
  const text = rendered.slice(0, at);
  return rendered.startsWith(mark, at) ? text : pythonStrip("rstrip", text);
}

/**
 * A template's text to something that renders.
 * @param tokens what the template calls its special tokens: `bos_token` …
 * @throws GureumError "template" where it is not Jinja.
 */
export function parseChatTemplate(source: string, tokens: Readonly<Record<string, unknown>> = {}): ChatTemplate {
  const run = parseJinja(source);
  return {
    source,
    render(messages, options = {}) {
      checkOptions(options);
      const { continueFinalMessage = false } = options;
      const { marked, final } = continueFinalMessage ? markFinal(messages) : { marked: messages, final: "" };
      const rendered = run({
        ...tokens,
        messages: marked,
        add_generation_prompt: options.addGenerationPrompt ?? !continueFinalMessage,
        tools: options.tools ?? null,
        documents: options.documents ?? null,
        ...options.variables,
      });
      return continueFinalMessage ? cutAtMark(rendered, final) : rendered;
    },
  };
}

/** A template's text, or why there is none. */
type Source = () => string;

/** `chat_template` of tokenizer_config.json: a string, or a list of { name, template }. */
function configSources(value: unknown): Map<string, Source> {
  const sources = new Map<string, Source>();
  if (value === undefined || value === null) return sources;
  if (!Array.isArray(value)) return sources.set("default", () => asString(value, "chat_template"));
  for (const [i, entry] of value.entries()) {
    const { name, template } = isObject(entry) ? entry : {};
    sources.set(typeof name === "string" ? name : `${i}`, () => {
      asString(asObject(entry, `chat_template > ${i}`).name, `chat_template > ${i} > name`);
      return asString(template, `chat_template > ${i} > template`);
    });
  }
  return sources;
}

/** chat_template.jinja and the files of additional_chat_templates, by name. */
async function fileSources(store: ByteStore, files: ReadonlySet<string>): Promise<Map<string, Source>> {
  const sources = new Map<string, Source>();
  const add = async (from: ByteStore, fileName: string, name: string, where: string): Promise<void> => {
    // What is no template stops only who asks for it.
    const read = await readStoreFile(from, fileName).then(
      (bytes) => () => within(where, () => decodeUtf8(bytes)),
      (error: unknown) => () => {
        throw error;
      },
    );
    sources.set(name, read);
  };
  if (files.has("chat_template.jinja")) await add(store, "chat_template.jinja", "default", "chat_template.jinja");
  const folder = store.folder?.("additional_chat_templates");
  if (folder)
    for (const fileName of (await listIfAny(folder)).sort()) {
      const name = fileName.replace(/\.jinja$/, "");
      if (name !== fileName) await add(folder, fileName, name, `additional_chat_templates/${fileName}`);
    }
  return sources;
}

async function listIfAny(folder: ByteStore): Promise<string[]> {
  try {
    return await folder.list();
  } catch (error) {
    if (error instanceof GureumError && error.code === "not-found") return [];
    throw error;
  }
}

/**
 * The chat templates of a model folder: chat_template.jinja and additional_chat_templates/NAME.jinja; where there are none of these,
 * `chat_template` of tokenizer_config.json. null: the folder has none.
 * @throws GureumError "format" for a broken config.
 */
export async function loadChatTemplates(store: ByteStore): Promise<ChatTemplates | null> {
  const folder = await openFolder(store);
  const files = folder.names;
  const config = await withinAsync(store.name, () => readTokenizerConfig(folder, files));
  let sources = await fileSources(folder, files);
  const where = sources.size > 0 ? store.name : `${store.name} > tokenizer_config.json`;
  if (sources.size === 0) sources = configSources(config.chat_template);
  if (sources.size === 0) return null;
  const tokens = await templateTokens(folder, files, config);
  const parsed = new Map<string, ChatTemplate>();
  const names = [...sources.keys()];
  return {
    names,
    pick(name, withTools = false) {
      const wanted = name ?? (withTools && sources.has("tool_use") ? "tool_use" : "default");
      const source = sources.get(wanted);
      if (!source)
        throw new GureumError("template", {
          where,
          what: name === undefined ? "no default among the chat templates" : `no chat template is called ${JSON.stringify(name)}`,
          expected: `one of ${names.join(", ")}`,
          ...(name === undefined ? { remedy: "name one" } : {}),
        });
      const template = parsed.get(wanted) ?? within(where, () => parseChatTemplate(source(), tokens));
      parsed.set(wanted, template);
      return template;
    },
  };
}
