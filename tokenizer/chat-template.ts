/**
 * Chat templates: messages to prompt text, by Jinja as transformers runs it (trim_blocks, lstrip_blocks, sandbox limits).
 * The interpreter is @huggingface/jinja (docs/decisions/chat-templates.md); where it follows JavaScript instead of Python in a
 * way prompts depend on — what strip() strips, what `==` equates, dates — the template's tree is bent to functions of our own.
 * Source: transformers `utils/chat_template_utils.py`.
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { type ByteStore, readBytes } from "../core/checkpoint/byte-source.ts";
import { GureumError, within, withinAsync } from "../core/errors.ts";
import { decodeUtf8 } from "../core/utf8.ts";
import { asArray, asObject, asString, isObject, type JsonObject, parseJson } from "./json.ts";
import { pythonEqual, pythonRange, pythonStrip, strftimeNow } from "./python-builtins.ts";

/** One turn. Templates may read further fields. */
export interface ChatMessage {
  readonly role: string;
  readonly content: unknown;
  readonly [field: string]: unknown;
}

export interface RenderOptions {
  /** `add_generation_prompt`; false by default */
  readonly addGenerationPrompt?: boolean;
  /** Further variables of the template, by their Jinja names: `tools`, `enable_thinking` … */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export interface ChatTemplate {
  /** The template's own text. */
  readonly source: string;
  /**
   * Messages to prompt text. It brings its own BOS: encode it with `specialTokens: "recognise"` and without `addBos`.
   * @throws GureumError "template" with the template's own message where it raises, and for anything that goes wrong inside it.
   */
  render(messages: readonly ChatMessage[], options?: RenderOptions): string;
}

/** What a template calls its special tokens. */
export interface TemplateTokens {
  readonly bosToken: string;
  readonly eosToken: string;
}

interface Node {
  type: string;
  [field: string]: unknown;
}

/** Names no template can spell, for what the rewritten tree calls. */
const stripName = "str.strip";
const equalName = "operator.eq";

const call = (name: string, args: unknown[]): Node => ({ type: "CallExpression", callee: { type: "Identifier", value: name }, args });
const stringNode = (value: string): Node => ({ type: "StringLiteral", value });

/** `x.strip(…)`, `x | trim`, `a == b` and `a != b` become calls of Python's versions; everything else stays. */
function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rewrite);
  if (typeof value !== "object" || value === null) return value;
  const node = value as Node;
  for (const [name, child] of Object.entries(node)) node[name] = rewrite(child);
  if (node.type === "CallExpression") {
    const callee = node.callee as Node;
    const property = callee.property as Node | undefined;
    if (callee.type === "MemberExpression" && callee.computed === false && /^[lr]?strip$/.test(String(property?.value)))
      return call(stripName, [stringNode(String(property?.value)), callee.object, ...(node.args as unknown[])]);
  }
  if (node.type === "FilterExpression") {
    const filter = node.filter as Node;
    if (filter.type === "Identifier" && filter.value === "trim") return call(stripName, [stringNode("trim"), node.operand]);
  }
  if (node.type === "BinaryExpression") {
    const operator = (node.operator as Node).value;
    const equal = call(equalName, [node.left, node.right]);
    if (operator === "==") return equal;
    if (operator === "!=") return { type: "UnaryExpression", operator: { type: "UnaryOperator", value: "not" }, argument: equal };
  }
  return node;
}

/** What of the package's classes is used; its own declarations do not resolve under `moduleResolution: nodenext`. */
interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
}
interface Scope {
  set(name: string, value: unknown): unknown;
}
interface Evaluator {
  run(program: unknown): RuntimeValue;
  evaluate(node: Node | undefined, scope: Scope): RuntimeValue;
}
const JinjaScope: new () => Scope = Environment;
const JinjaInterpreter: new (scope: Scope) => Evaluator = Interpreter;

/** Jinja's rule that an undefined value has no elements; in the package they are undefined again. */
class StrictInterpreter extends JinjaInterpreter {
  override evaluate(node: Node | undefined, scope: Scope): RuntimeValue {
    if (node?.type === "Evaluated") return node.value as RuntimeValue;
    if (node?.type !== "MemberExpression") return super.evaluate(node, scope);
    const object = this.evaluate(node.object as Node, scope);
    if (object.type === "UndefinedValue") {
      const property = node.property as Node;
      throw new Error(`undefined has no element ${JSON.stringify(property.value) ?? "of that name"}`);
    }
    return super.evaluate({ ...node, object: { type: "Evaluated", value: object } }, scope);
  }
}

function templateError(error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const what = error instanceof RangeError ? "the template is nested too deeply" : error instanceof Error ? error.message : String(error);
  return new GureumError("template", { where: "chat template", what: what === "" ? "the template raised an error" : what }, error);
}

/**
 * A template's text to something that renders.
 * @throws GureumError "template" where it is not Jinja.
 */
export function parseChatTemplate(source: string, tokens: TemplateTokens): ChatTemplate {
  let program: unknown;
  try {
    program = rewrite(parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
  } catch (error) {
    throw templateError(error);
  }
  return {
    source,
    render(messages, options = {}) {
      const variables: Record<string, unknown> = {
        true: true,
        false: false,
        none: null,
        True: true,
        False: false,
        None: null,
        range: pythonRange,
        strftime_now: strftimeNow,
        raise_exception: (message: unknown) => {
          throw new GureumError("template", { where: "chat template", what: String(message) });
        },
        [stripName]: pythonStrip,
        [equalName]: pythonEqual,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? false,
        bos_token: tokens.bosToken,
        eos_token: tokens.eosToken,
        tools: null,
        documents: null,
        ...options.variables,
      };
      try {
        const scope = new JinjaScope();
        for (const [name, value] of Object.entries(variables)) scope.set(name, value);
        return String(new StrictInterpreter(scope).run(program).value);
      } catch (error) {
        throw templateError(error);
      }
    },
  };
}

/** A config's token, as a string or an AddedToken object; "" where there is none. */
function tokenText(value: unknown): string {
  const content = isObject(value) ? value.content : value;
  return typeof content === "string" ? content : "";
}

/** `chat_template` is a string, or a list of { name, template }. */
function pickTemplate(value: unknown, name: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value;
  const templates = asArray(value, "chat_template").map((entry, i) => {
    const { name: key, template } = asObject(entry, `chat_template > ${i}`);
    return [asString(key, "name"), asString(template, "template")] as const;
  });
  const found = templates.find(([key]) => key === name);
  if (!found)
    throw new GureumError("template", {
      where: "chat_template",
      what: `no template is called ${JSON.stringify(name)}`,
      expected: templates.map(([key]) => key).join(", ") || "at least one",
    });
  return found[1];
}

/**
 * The chat template of a model folder: `chat_template.jinja`, else `chat_template` of tokenizer_config.json, whose BOS and EOS
 * tokens it uses. `name` picks one of several ("default" is the one for chat). null: the folder has none.
 * @throws GureumError "template" where it is not Jinja or has no such name, "format" for a broken config.
 */
export async function loadChatTemplate(store: ByteStore, name = "default"): Promise<ChatTemplate | null> {
  return withinAsync(store.name, async () => {
    const files = new Set(await store.list());
    const read = async (fileName: string): Promise<Uint8Array> => {
      const source = await store.open(fileName);
      try {
        return await readBytes(source, 0, source.byteLength);
      } finally {
        await source.close();
      }
    };
    const configFile = "tokenizer_config.json";
    let config: JsonObject = {};
    if (files.has(configFile)) {
      const bytes = await read(configFile);
      config = within(configFile, () => asObject(parseJson(bytes), ""));
    }
    const templateFile = "chat_template.jinja";
    const tokens = { bosToken: tokenText(config.bos_token), eosToken: tokenText(config.eos_token) };
    if (files.has(templateFile)) {
      const bytes = await read(templateFile);
      return within(templateFile, () => parseChatTemplate(decodeUtf8(bytes), tokens));
    }
    return within(configFile, () => {
      const source = pickTemplate(config.chat_template, name);
      return source === null ? null : parseChatTemplate(source, tokens);
    });
  });
}
