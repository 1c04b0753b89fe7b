/** Where the tokenizer fixtures lie, and their shape (fixtures/data/tokenizer/README.md). */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";

export interface EncodeCase {
  readonly c: string;
  readonly s: string;
  readonly sp: number[];
  readonly plain?: number[];
  readonly hf?: number[];
  readonly sp_dec?: string;
  readonly hf_dec?: string;
  readonly hf_dec_skip?: string;
}

export interface DecodeCase {
  readonly ids: number[];
  readonly sp: string;
  readonly hf: string;
  readonly hf_skip: string;
}

export interface TokenizerGolden {
  readonly encode: readonly EncodeCase[];
  readonly decode: readonly DecodeCase[];
}

export interface ChatGolden {
  readonly info: { readonly template: string };
  readonly conversations: readonly {
    readonly name: string;
    readonly messages: { role: string; content: unknown }[];
    readonly add_generation_prompt?: boolean;
    readonly text?: string;
    readonly ids?: number[];
    readonly error?: { readonly type: string; readonly message: string };
  }[];
}

const root = fileURLToPath(new URL("../../..", import.meta.url));
export const dataFolder: string = `${root}conformance/test/fixtures/data/tokenizer`;
export const byteLevelFolder: string = `${root}conformance/test/fixtures/data/byte-level`;
export const fieldFolder: string = `${root}conformance/test/fixtures/data/field`;
export const modelFolder: string = `${root}models/gureum-tiny-awq`;

/** A folder with the full sets; undefined: tests that need it are skipped. */
export const fullFixtures: string | undefined = process.env.GUREUM_FIXTURES;

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

export function readTokenizer(path: string): Tokenizer {
  return parseTokenizer(readFileSync(path), path.slice(path.lastIndexOf("/") + 1));
}

/** The embedded model's tokenizer, from each of its two files. */
export const gureum: Readonly<Record<"tokenizer.model" | "tokenizer.json", Tokenizer>> = {
  "tokenizer.model": readTokenizer(`${modelFolder}/tokenizer.model`),
  "tokenizer.json": readTokenizer(`${modelFolder}/tokenizer.json`),
};
