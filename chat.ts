/** The chat side of the front door: a folder's tokenizer and templates, and messages to text or ids. */
import { checkText, type OptionNames } from "./core/arguments.ts";
import type { ByteStore } from "./core/checkpoint/byte-source.ts";
import { openFolder } from "./core/checkpoint/folder.ts";
import { GureumError } from "./core/errors.ts";
import {
  type ChatMessage,
  type ChatTemplate,
  type ChatTemplates,
  loadChatTemplates,
  type RenderOptions,
} from "./tokenizer/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";

export type { ChatMessage, ChatTemplate, RenderOptions } from "./tokenizer/chat-template.ts";

/** How messages become a prompt; all optional. */
export interface ChatOptions extends RenderOptions {
  /** Which of the folder's templates; by default "tool_use" where tools are given and there is one, else "default". */
  readonly template?: string;
}

export const chatOptionNames: OptionNames<ChatOptions> = {
  template: true,
  addGenerationPrompt: true,
  continueFinalMessage: true,
  tools: true,
  documents: true,
  variables: true,
};

/** A model's chat template with its tokenizer. */
export interface Chat {
  /** The model's. */
  readonly tokenizer: Tokenizer;
  /**
   * Whether a conversation could be rendered.
   * @throws GureumError "not-found" without a template, "template" where the one for chat is not Jinja
   */
  checkTemplate(): void;
  /**
   * Messages as the prompt that the template makes of them.
   * @throws GureumError "template" with the template's own message; "not-found" without a template; "usage" for
   * wrong options
   */
  render(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /** The rendered text's ids: special tokens recognised, none added. */
  encode(messages: readonly ChatMessage[], options?: ChatOptions): number[];
}

/** Tokenizer and chat templates of a model folder. @throws GureumError */
export async function openChatOf(store: ByteStore): Promise<Chat> {
  const folder = await openFolder(store);
  return chatOf(store.name, await loadTokenizer(folder), await loadChatTemplates(folder));
}

function chatOf(name: string, tokenizer: Tokenizer, templates: ChatTemplates | null): Chat {
  const pick = (template: string | undefined, withTools: boolean): ChatTemplate => {
    if (!templates)
      throw new GureumError("not-found", {
        where: name,
        what: "no chat template",
        remedy: "use generate with plain text, or add chat_template.jinja",
      });
    return templates.pick(template, withTools);
  };
  const render = (messages: readonly ChatMessage[], { template, ...options }: ChatOptions = {}): string => {
    checkMessages("messages", messages);
    return pick(template, options.tools !== undefined).render(messages, options);
  };
  return {
    tokenizer,
    checkTemplate: () => void pick(undefined, false),
    render,
    encode: (messages, options) => tokenizer.encode(render(messages, options), { specialTokens: "recognise" }),
  };
}

/**
 * Checks that a value is an array of at least one message, an object each; which fields it must have is the template's affair.
 * @throws GureumError "format", "usage"
 */
export function checkMessages(where: string, value: unknown): ChatMessage[] {
  checkText("checkMessages", "where", where);
  const wrong = (what: string): GureumError =>
    new GureumError("format", { where, what, expected: '[{"role": "user", "content": "…"}, …]' });
  if (!Array.isArray(value)) throw wrong("not an array of messages");
  if (value.length === 0) throw wrong("no messages");
  for (const [i, message] of value.entries())
    if (typeof message !== "object" || message === null || Array.isArray(message)) throw wrong(`message ${i} is not an object`);
  return value;
}
