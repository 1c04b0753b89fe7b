/** What the stages of a tokenizer.json have in common: each is an object with a `type`, and a `Sequence` holds others. */
import { GureumError } from "../core/errors.ts";
import { asArray, asObject, asString, type JsonObject, wrongType } from "./json.ts";

const maxNesting = 16;
/** Stages of one kind; every one goes over the whole text. Published files have at most a dozen. */
const maxStages = 64;

export function unsupportedStage(stage: string, type: unknown, supported: string): GureumError {
  return new GureumError("unsupported", {
    what: `${stage} of type ${JSON.stringify(type) ?? "none"} is not supported`,
    expected: supported,
  });
}

function flatten(config: unknown, key: string, depth: number, found: JsonObject[]): void {
  if (config === null || config === undefined) return;
  const object = asObject(config, "");
  if (object.type !== "Sequence") {
    if (found.push(object) > maxStages) throw new GureumError("unsupported", { what: "too many stages", expected: `at most ${maxStages}` });
    return;
  }
  if (depth >= maxNesting) throw new GureumError("format", { what: "sequences are nested too deeply", expected: `at most ${maxNesting}` });
  for (const member of asArray(object[key], key)) flatten(member, key, depth + 1, found);
}

/** The stages of a part, nested sequences (whose members are under `key`) laid out in order; null has none. */
export function stagesOf(config: unknown, key: string): JsonObject[] {
  const found: JsonObject[] = [];
  flatten(config, key, 0, found);
  return found;
}

export function asCharacter(value: unknown, where: string): string {
  const text = asString(value, where);
  if (text === "" || text.length !== (text.codePointAt(0)! > 0xffff ? 2 : 1)) throw wrongType(where, "one character", value);
  return text;
}
