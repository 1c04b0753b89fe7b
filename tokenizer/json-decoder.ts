/**
 * Decoders of a tokenizer.json: tokens to text.
 * Source: huggingface/tokenizers `src/decoders/*.rs`.
 */
import { GureumError } from "../core/errors.ts";
import { byteLevelDecoder } from "./byte-level.ts";
import { byteFallbackDecoder, fuseDecoder, metaspaceDecoder, stripDecoder } from "./decoding.ts";
import { checkGrowth, growthLimit, replaceMatches } from "./growth.ts";
import { asCount, asString } from "./json.ts";
import { parseMetaspace } from "./json-pre-tokenizer.ts";
import { asCharacter, stagesOf, unsupportedStage } from "./json-stage.ts";
import { patternOf } from "./pattern/pattern.ts";

export interface Decoding {
  readonly decodeTokens: (tokens: string[]) => string;
  /** Whether byte tokens become their bytes. */
  readonly byteFallback: boolean;
  /** Whether tokens are bytes written as characters. */
  readonly byteLevel: boolean;
  /** Whether a space at the very start is one that encoding put there. */
  readonly dropsLeadingSpace: boolean;
  /** A token's text by those steps that a stream can follow: what is done token by token. null where the file names no decoder. */
  readonly pieceText: ((piece: string) => string) | null;
}

const lengthOf = (tokens: readonly string[]): number => tokens.reduce((length, token) => length + token.length, 0);

/** The decoder of a tokenizer.json. Without one, tokens are joined by spaces. */
export function parseDecoders(config: unknown): Decoding {
  const steps: ((tokens: string[], limit: number) => string[])[] = [];
  const own: ((tokens: string[], limit: number) => string[])[] = [];
  let isFused = false;
  const stages = stagesOf(config, "decoders");
  let dropsLeadingSpace = false;
  for (const stage of stages) {
    switch (stage.type) {
      case "Replace": {
        const find = patternOf(stage.pattern);
        const content = asString(stage.content, "content");
        steps.push((tokens, limit) => {
          let length = 0;
          return tokens.map((token) => {
            const replaced = replaceMatches(token, find, content, limit);
            length += replaced.length;
            checkGrowth(length, limit);
            return replaced;
          });
        });
        own.push(steps.at(-1)!);
        break;
      }
      case "ByteFallback":
        steps.push(byteFallbackDecoder);
        break;
      case "ByteLevel":
        steps.push(byteLevelDecoder);
        break;
      case "Fuse":
        steps.push(fuseDecoder);
        isFused = true;
        break;
      case "Strip": {
        const content = asCharacter(stage.content, "content");
        const start = asCount(stage.start, "start");
        const strip = stripDecoder(content, start, asCount(stage.stop, "stop"));
        if (!isFused) own.push(strip);
        else if (content === " " && start > 0) dropsLeadingSpace = true;
        steps.push(strip);
        break;
      }
      case "Metaspace": {
        const { replacement, prependScheme } = parseMetaspace(stage);
        if (prependScheme !== "never") dropsLeadingSpace = true;
        steps.push(metaspaceDecoder(replacement, prependScheme !== "never"));
        own.push(metaspaceDecoder(replacement, false));
        break;
      }
      default:
        throw unsupportedStage("a decoder", stage.type, "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace or Sequence");
    }
  }
  const byteLevel = stages.some(({ type }) => type === "ByteLevel");
  // A stream shows bytes as they come: it could not take back what a later step changes.
  const other = byteLevel ? stages.find(({ type }) => type !== "ByteLevel" && type !== "Fuse") : undefined;
  if (other !== undefined || stages.filter(({ type }) => type === "ByteLevel").length > 1)
    throw new GureumError("unsupported", {
      what: `a decoder of type "ByteLevel" together with ${JSON.stringify(other?.type ?? "ByteLevel")} is not supported`,
      expected: "ByteLevel alone",
    });
  const separator = config === null || config === undefined ? " " : "";
  return {
    decodeTokens: (tokens) => {
      const limit = growthLimit(lengthOf(tokens));
      return steps.reduce((decoded, step) => step(decoded, limit), tokens).join(separator);
    },
    byteFallback: stages.some(({ type }) => type === "ByteFallback"),
    byteLevel,
    dropsLeadingSpace,
    pieceText:
      stages.length === 0 ? null : (piece) => own.reduce((tokens, step) => step(tokens, growthLimit(piece.length)), [piece]).join(""),
  };
}
