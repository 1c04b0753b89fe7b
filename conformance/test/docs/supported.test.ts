/** docs/supported.md says what runs and what does not; each row with a file is tried here. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../core/checkpoint/config.ts";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { parseTokenizer } from "../../../tokenizer/tokenizer.ts";

const page = readFileSync(new URL("../../../docs/supported.md", import.meta.url), "utf8");

interface Claim {
  readonly what: string;
  readonly answer: string;
  readonly file: string;
  readonly why: string;
}

const sectionOf = (name: string): string => page.split(/^## /m).find((part) => part.startsWith(`${name}\n`)) ?? "";

/** The four-column rows of a section. */
function claims(section: string): Claim[] {
  return [...sectionOf(section).matchAll(/^\| ([^|]+) \| (yes|no) \| (?:`([^`]*)`)? ?\| ?([^|]*?) ?\|$/gm)].map(
    ([, what, answer, file = "", why]) => ({ what: what!, answer: answer!, file, why: why! }),
  );
}

const config = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 64,
  intermediate_size: 128,
  num_attention_heads: 4,
  num_hidden_layers: 2,
  vocab_size: 64,
  max_position_embeddings: 16384,
};
const characters = Object.fromEntries(["<unk>", ..."▁ab"].map((piece, id) => [piece, id]));
const tokenizer = { model: { type: "BPE", unk_token: "<unk>", vocab: characters, merges: [] } };

/** "yes", or the code of the error. */
function outcome(body: () => unknown): string {
  try {
    body();
    return "yes";
  } catch (error) {
    if (!(error instanceof GureumError)) throw error;
    return error.code;
  }
}
const json = (base: object, file: string): Uint8Array => encodeUtf8(JSON.stringify({ ...base, ...(JSON.parse(`{${file}}`) as object) }));
const read: Record<string, (file: string) => unknown> = {
  Models: (file) => parseConfig(json(config, file)),
  "RoPE scalings": (file) => parseConfig(json(config, file)),
  Quantizations: (file) => parseConfig(json(config, file)),
  Tokenizers: (file) => parseTokenizer(json(tokenizer, file), "tokenizer.json"),
};

for (const [section, parse] of Object.entries(read))
  describe(`docs/supported.md, ${section}`, () => {
    const rows = claims(section);
    it("is a table whose every row is read here", () => {
      expect(rows.length).toBe(sectionOf(section).match(/^\|/gm)!.length - 2);
    });
    it("has rows of both answers, and a reason for each no", () => {
      expect(new Set(rows.map(({ answer }) => answer))).toEqual(new Set(["yes", "no"]));
      expect(rows.filter(({ answer, why }) => (answer === "no") !== (why !== "")).map(({ what }) => what)).toEqual([]);
    });
    for (const { what, answer, file } of rows.filter((row) => row.file !== ""))
      it(`${what}: ${answer}`, () => {
        expect(outcome(() => parse(file))).toBe(answer === "yes" ? "yes" : "unsupported");
      });
  });

describe("docs/supported.md", () => {
  it("names the Node that package.json asks for", () => {
    const { engines } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
      engines: { node: string };
    };
    expect(page).toContain(`| Node ${engines.node.replace(">=", "")} or newer |`);
  });
});
