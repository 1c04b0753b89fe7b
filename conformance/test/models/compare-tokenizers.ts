/**
 * Holds this tokenizer against Hugging Face's on real tokenizers: `node dist/conformance/test/models/compare-tokenizers.js PYTHON
 * [COUNT] FILE…`. PYTHON has the package tokenizers; each FILE is a tokenizer.json (tokenizer-files.ts fetches those of the record).
 * Per file, COUNT texts (20,000) and a tenth as many random sequences of ids: ids with and without the post-processor's tokens,
 * decoded texts with and without special tokens, and, where pieces are bytes, the default reading and a stream of one id at a time.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { createNumbers, tokenizerTexts } from "./tokenizer-texts.ts";

interface Answer {
  readonly ids?: number[];
  readonly framed?: number[];
  readonly skipped: string;
  readonly whole: string;
}

/** The Python file lies beside the source, not beside the compiled script. */
const script = join(dirname(fileURLToPath(import.meta.url)).replace(/([\\/])dist([\\/])/, "$1"), "tokenizer_reference.py");

function askReference(python: string, file: string, asked: readonly object[]): Answer[] {
  const input = asked.map((one) => JSON.stringify(one)).join("\n");
  const { stdout, status, stderr } = spawnSync(python, [script, file], { input, maxBuffer: 2 ** 30, encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split("\n")
    .map((line): Answer => JSON.parse(line));
}

const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Texts and id sequences that differ, and the milliseconds that encoding took here. */
function compare(
  python: string,
  file: string,
  count: number,
): { texts: number; sequences: number; differences: string[]; encodeMs: number } {
  const tokenizer: Tokenizer = parseTokenizer(readFileSync(file), "tokenizer.json");
  const byteLevel = JSON.stringify(JSON.parse(readFileSync(file, "utf8")).decoder ?? null).includes('"ByteLevel"');
  const random = createNumbers(7);
  const someId = (): number => Math.floor(random() * tokenizer.vocabSize);
  const own = [
    ...tokenizer.addedTokens.slice(0, 400).map(({ content }) => content),
    ...Array.from({ length: 4000 }, () => tokenizer.decode([someId()])),
  ];
  const texts = tokenizerTexts(1, count, own);
  const sequences = Array.from({ length: count / 10 }, () => Array.from({ length: 1 + Math.floor(random() * 30) }, someId));
  const answers = askReference(python, file, [...texts.map((text) => ({ text })), ...sequences.map((ids) => ({ ids }))]);

  const differences: string[] = [];
  const note = (what: string, of: unknown, ours: unknown, theirs: unknown): void => {
    if (!equal(ours, theirs))
      differences.push(`${what} of ${JSON.stringify(of)}: here ${JSON.stringify(ours)}, there ${JSON.stringify(theirs)}`);
  };
  let encodeMs = 0;
  for (const [i, answer] of answers.entries()) {
    const of = i < texts.length ? texts[i]! : sequences[i - texts.length]!;
    let ids = typeof of === "string" ? [] : of;
    if (typeof of === "string") {
      const start = performance.now();
      ids = tokenizer.encode(of, { specialTokens: "recognise" });
      encodeMs += performance.now() - start;
      note("ids", of, ids, answer.ids);
      const { addBos, addEos } = tokenizer;
      note("framed ids", of, tokenizer.encode(of, { specialTokens: "recognise", addBos, addEos }), answer.framed);
    }
    note("text", of, tokenizer.decode(ids, { reading: "huggingface" }), answer.skipped);
    note("whole text", of, tokenizer.decode(ids, { reading: "huggingface", skipSpecialTokens: false }), answer.whole);
    if (!byteLevel) continue;
    note("default text", of, tokenizer.decode(ids), answer.skipped);
    const stream = tokenizer.streamingDecoder();
    const parts = ids.map((id) => stream.push([id]));
    for (const part of parts) if (/\p{Surrogate}/u.test(part)) differences.push(`half a character streamed for ${JSON.stringify(of)}`);
    note("streamed text", of, parts.join("") + stream.flush(), answer.skipped);
  }
  return { texts: texts.length, sequences: sequences.length, differences, encodeMs };
}

const [python, ...rest] = process.argv.slice(2);
if (python === undefined || rest.length === 0) throw new Error("usage: compare-tokenizers PYTHON [COUNT] FILE…");
const count = /^\d+$/.test(rest[0]!) ? Number(rest.shift()) : 20_000;
for (const file of rest) {
  const { texts, sequences, differences, encodeMs } = compare(python, file, count);
  for (const line of differences.slice(0, 10)) process.stderr.write(`${line.slice(0, 600)}\n`);
  const hash = createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 16);
  process.stdout.write(
    `${file} (sha256 ${hash}…): ${texts} texts, ${sequences} id sequences, ${differences.length} differences; ${encodeMs.toFixed(0)} ms to encode\n`,
  );
  if (differences.length > 0) process.exitCode = 1;
}
