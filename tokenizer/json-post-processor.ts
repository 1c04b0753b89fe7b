/**
 * The post-processor of a tokenizer.json: which tokens go around a text. `ByteLevel` only moves offsets, which are not kept here.
 * Source: huggingface/tokenizers `src/processors/{template,byte_level,sequence}.rs`.
 */
import { GureumError } from "../core/errors.ts";
import { asArray, asId, asObject, asString, type JsonObject } from "./json.ts";
import { stagesOf, unsupportedStage } from "./json-stage.ts";

/** A token that a template puts before or after a text. */
export interface TemplateToken {
  readonly name: string;
  readonly id: number;
}

/** What a post-processor puts around a text: at most one token on either side. */
export interface Surroundings {
  readonly before: TemplateToken | null;
  readonly after: TemplateToken | null;
}

function unsupportedTemplate(what: string, expected?: string): GureumError {
  return new GureumError("unsupported", {
    where: "single",
    what: `a template with ${what} is not supported`,
    ...(expected && { expected }),
  });
}

/** The one id of a template's token, from the template's own table. */
function templateToken(config: JsonObject, name: string): TemplateToken {
  const table = asObject(config.special_tokens ?? {}, "special_tokens");
  if (!Object.hasOwn(table, name)) throw new GureumError("format", { where: "special_tokens", what: `${JSON.stringify(name)} is missing` });
  const ids = asArray(asObject(table[name], `special_tokens > ${name}`).ids, `special_tokens > ${name} > ids`);
  if (ids.length !== 1) throw unsupportedTemplate(`${ids.length} ids for ${JSON.stringify(name)}`, "one");
  return { name, id: asId(ids[0], `special_tokens > ${name} > ids`) };
}

/** The form of a template for a single text; that for pairs is not used. */
export function parsePostProcessors(config: unknown): Surroundings {
  let before: TemplateToken | null = null;
  let after: TemplateToken | null = null;
  let seen = 0;
  for (const stage of stagesOf(config, "processors")) {
    if (stage.type === "ByteLevel") continue;
    if (stage.type !== "TemplateProcessing")
      throw unsupportedStage("a post-processor", stage.type, "TemplateProcessing, ByteLevel or Sequence");
    if (++seen > 1) throw unsupportedTemplate("another before it", "one");
    let seenText = false;
    for (const item of asArray(stage.single, "single")) {
      const object = asObject(item, "single");
      if (object.Sequence !== undefined) {
        const id = asObject(object.Sequence, "Sequence").id;
        if (id !== "A") throw unsupportedTemplate(`the sequence ${JSON.stringify(id)}`, '"A"');
        if (seenText) throw unsupportedTemplate("the text twice");
        seenText = true;
        continue;
      }
      const token = templateToken(stage, asString(asObject(object.SpecialToken, "SpecialToken").id, "SpecialToken > id"));
      if ((seenText ? after : before) !== null)
        throw unsupportedTemplate("two tokens in a row", "one before and one after the text at most");
      if (seenText) after = token;
      else before = token;
    }
    if (!seenText) throw unsupportedTemplate("no place for the text");
  }
  return { before, after };
}
