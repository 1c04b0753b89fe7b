/**
 * Every parser of the tree that reads what others wrote, as something that takes any bytes: it returns, or throws a GureumError.
 * Seeds are the fixtures that lie in the repository, and short texts here.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkResults } from "../../../bench/results.ts";
import { memorySource } from "../../../core/checkpoint/byte-source.ts";
import { parseConfig } from "../../../core/checkpoint/config.ts";
import { openSafetensors } from "../../../core/checkpoint/safetensors.ts";
import { parseSamplingConfig } from "../../../core/checkpoint/sampling-config.ts";
import { parseIndex } from "../../../core/checkpoint/shards.ts";
import { sha256 } from "../../../core/host/hash.ts";
import { parseJson } from "../../../core/json.ts";
import { parseReceipt, RECEIPT_ARITHMETIC, RECEIPT_FORMAT } from "../../../core/receipt.ts";
import { parseChatTemplate } from "../../../tokenizer/chat-template.ts";
import { compileRegex } from "../../../tokenizer/pattern/pattern.ts";
import { parseTokenizer } from "../../../tokenizer/tokenizer.ts";
import { readJournal } from "../../certificate/journal.ts";
import { parseReplay } from "../../check.ts";
import { plainModel, writeModel } from "../tokenizer/model-writer.ts";
import type { Grammar } from "./mutate.ts";
import { configWords, jinjaWords, regexWords, tokenizerWords } from "./words.ts";

export interface Target extends Grammar {
  run(bytes: Uint8Array): void | Promise<void>;
}

const root = fileURLToPath(new URL(import.meta.url.endsWith(".js") ? "../../../../" : "../../../", import.meta.url));
const data = `${root}conformance/test/fixtures/data`;

/** Fixtures by the end of their names, small ones first, at most 24 of at most 40 kB. */
function files(...endings: readonly string[]): Uint8Array[] {
  const found = (readdirSync(data, { recursive: true }) as string[])
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .map((name) => ({ name, size: statSync(`${data}/${name}`).size }))
    .filter(({ size }) => size > 0 && size <= 40_000)
    .sort((a, b) => a.size - b.size || (a.name < b.name ? -1 : 1));
  return found.slice(0, 24).map(({ name }) => new Uint8Array(readFileSync(`${data}/${name}`)));
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const texts = (...all: readonly string[]): Uint8Array[] => all.map((text) => encoder.encode(text));

/** The JSON header of a safetensors file. */
const headerOf = (bytes: Uint8Array): Uint8Array =>
  bytes.slice(8, 8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)));

const tokenizerJson = (model: unknown, more: object = {}): string =>
  JSON.stringify({
    version: "1.0",
    added_tokens: [{ id: 0, content: "<s>", special: true }],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model,
    ...more,
  });
const bpe = {
  type: "BPE",
  vocab: { "<s>": 0, a: 1, b: 2, ab: 3, "▁": 4, "<0x41>": 5 },
  merges: ["a b"],
  unk_token: "<s>",
  byte_fallback: true,
};
const stages = {
  normalizer: {
    type: "Sequence",
    normalizers: [{ type: "NFC" }, { type: "Replace", pattern: { String: " " }, content: "▁" }, { type: "Prepend", prepend: "▁" }],
  },
  pre_tokenizer: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: "\\s+|\\p{L}+" }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      { type: "Digits", individual_digits: true },
    ],
  },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [],
    special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
};

/** Parses, and where that works takes a text there and back. */
function tokenizes(bytes: Uint8Array, fileName: string): void {
  const tokenizer = parseTokenizer(bytes, fileName);
  const ids = tokenizer.encode("ab 안녕 <s> a\u0000😀 \ud800", { specialTokens: "recognise" });
  tokenizer.decode(ids);
  const stream = tokenizer.streamingDecoder();
  stream.push(ids.slice(0, 50));
  stream.flush();
}

const messages = [
  { role: "system", content: "be brief" },
  { role: "user", content: "안녕" },
  { role: "assistant", content: "hi" },
];
export const targets: Readonly<Record<string, Target>> = {
  json: {
    shape: "json",
    seeds: [
      ...files(".json").slice(0, 8),
      ...texts('{"a":[1,2.5e3,-0,null,true,"\\u00e9\\ud83d\\ude00"],"b":{}}', "[NaN,Infinity,-Infinity]", "12345678901234567890"),
    ],
    words: ["{", "}", "[", "]", ":", ",", '"', "\\u", "\\ud800", "1e", "-", "0x", "NaN", "Infinity", "true", "nul", "\ufeff", "a"],
    run(bytes) {
      for (const dialect of ["strict", "python"] as const) {
        try {
          parseJson(bytes, dialect);
        } catch (error) {
          if (dialect === "python") throw error;
        }
      }
    },
  },
  safetensors: {
    shape: "safetensors",
    seeds: [
      ...files(".safetensors").slice(0, 12).map(headerOf),
      ...texts('{"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]}}', '{"__metadata__":{"format":"pt"}}'),
    ],
    words: ["__metadata__", "dtype", "F32", "BF16", "I32", "F4", "BOOL", "shape", "data_offsets", "a", " "],
    run: async (bytes) => void (await openSafetensors(memorySource("fuzz.safetensors", bytes))),
  },
  index: {
    shape: "json",
    seeds: [
      ...files("index.json"),
      ...texts(
        '{"metadata":{"total_size":1},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}',
      ),
    ],
    words: ["metadata", "total_size", "weight_map", "../../etc/passwd", "/a", "a.safetensors", "\\", "."],
    run: (bytes) => void parseIndex(bytes),
  },
  config: { shape: "json", seeds: files("/config.json"), words: configWords, run: (bytes) => void parseConfig(bytes) },
  "generation-config": {
    shape: "json",
    seeds: [
      ...files("generation_config.json"),
      ...texts('{"do_sample":true,"temperature":0.7,"top_p":0.9,"top_k":40,"repetition_penalty":1.1,"eos_token_id":[1,2]}'),
    ],
    words: ["do_sample", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "eos_token_id", "max_new_tokens"],
    run: (bytes) => void parseSamplingConfig(bytes),
  },
  "tokenizer-json": {
    shape: "json",
    seeds: [
      ...files("tokenizer.json"),
      ...texts(
        tokenizerJson(bpe, stages),
        tokenizerJson(bpe, { pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true } }),
        tokenizerJson(
          {
            type: "Unigram",
            unk_id: 0,
            byte_fallback: false,
            vocab: [
              ["<s>", 0],
              ["▁a", -1],
              ["b", -2.5],
              ["ab", -3],
            ],
          },
          stages,
        ),
      ),
    ],
    words: tokenizerWords,
    run: (bytes) => tokenizes(bytes, "tokenizer.json"),
  },
  sentencepiece: {
    shape: "bytes",
    seeds: [
      ...files(".model"),
      writeModel({
        ...plainModel,
        pieces: ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "안"].map((piece, i) => ({
          piece,
          score: -i,
          type: i === 0 ? "unknown" : i < 3 ? "control" : "normal",
        })),
      }),
    ],
    words: ["\x0a", "\x12", "\x1a", "\x15", "\x18\x06", "<unk>", "▁", "nmt_nfkc"],
    run: (bytes) => tokenizes(bytes, "tokenizer.model"),
  },
  jinja: {
    shape: "text",
    seeds: [
      ...files(".jinja"),
      ...texts(
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + eos_token }}{% endfor %}",
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- if m.role == 'user' and not loop.first -%}{%- set ns.n = ns.n + 1 -%}{%- endif -%}{%- endfor -%}{{ ns.n }}",
        "{% macro f(x, y='a') %}{{ x ~ y }}{% endmacro %}{{ f(messages[0].content) }}{{ messages | tojson }}",
        "{{ messages[-1]['content'].split(' ')[0] if messages else raise_exception('none') }}{# note #}",
      ),
    ],
    words: jinjaWords,
    run(bytes) {
      const template = parseChatTemplate(decoder.decode(bytes), { bos_token: "<s>", eos_token: "</s>" });
      template.render(messages, { addGenerationPrompt: true });
    },
  },
  regex: {
    shape: "text",
    seeds: texts(
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      "[a-z&&[^aeiou]]+",
      "(a|b)*c",
      "(?<=x)y",
      "\\p{Han}|[가-힣]+",
    ),
    words: regexWords,
    run: (bytes) => void compileRegex(decoder.decode(bytes))("it's 안녕 12345\r\n  aaaaaaaaaaaaaaaaaaaaaab 😀"),
  },
  receipt: {
    shape: "json",
    seeds: texts(
      JSON.stringify({
        format: RECEIPT_FORMAT,
        arithmetic: RECEIPT_ARITHMETIC,
        model: { "config.json": "0".repeat(64) },
        context: 8,
        options: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: "0" },
        prompt: [1, 2],
        ids: [3],
        logits: ["a".repeat(64)],
        sha256: "b".repeat(64),
      }),
    ),
    words: ["format", "sha256", "model", "ids", "arithmetic", "hashes"],
    run: (bytes) => void parseReceipt(decoder.decode(bytes), sha256),
  },
  bench: {
    shape: "json",
    seeds: texts(
      JSON.stringify({
        format: "gureum-bench-1",
        date: "2026-01-01",
        command: "x",
        device: {
          backend: "cpu",
          implementation: "",
          vendor: "",
          architecture: "",
          device: "a",
          description: "a",
          toggles: "",
          features: [],
          notes: [],
        },
        host: { runtime: "node", platform: "linux", cpu: "a" },
        rows: [{ name: "a", group: "kernel", unit: "ms", samples: [1, 2, 3], median: 2, bytes: 4, low: 1, high: 3, timer: "wall" }],
        limits: [],
      }),
    ),
    words: ["format", "rows", "samples", "median", "bytes", "operations", "tokens", "limits", "device", "host"],
    run: (bytes) => void checkResults(parsedOrNull(bytes)),
  },
  journal: {
    shape: "text",
    seeds: texts(
      '{"format":"gureum-conformance-run/1","seed":1,"runs":100,"timeMs":null,"filter":""}\n{"op":"add","backend":"cpu","variant":"reference","arithmetic":"f64","cases":1,"worst":null,"worstError":0,"worstUlp":0,"medianHeadroom":null,"failures":[],"points":[]}\n',
    ),
    words: ["\n", '"Infinity"', "NaN", "{", "}", "failures", "points", "cases"],
    run: (bytes) => void readJournal("journal", decoder.decode(bytes), { format: "gureum-conformance-run/1" } as never),
  },
  replay: {
    shape: "json",
    seeds: texts('["rope","cpu/reference","preserves",{"T":1,"heads":1,"Hd":2,"start":0}]'),
    words: ["rope", "cpu/reference", "constructor", "__proto__"],
    run: (bytes) => void parseReplay(decoder.decode(bytes)),
  },
  arguments: {
    shape: "text",
    seeds: texts(
      "chat\0--temperature\0-1\0--model\0x",
      "bench\0kernels\0--shape\0solar-10.7b",
      "--ids=1,2,3",
      "generate\0안녕\0--seed\0 7\0--\0-x",
    ),
    words: [
      "\0",
      "--",
      "-",
      "--ids",
      "--temperature",
      "--top-p=",
      "=",
      "--no-",
      "--help",
      "--version",
      "1e999",
      "NaN",
      "-0",
      ",",
      "\u2028",
    ],
    async run(bytes) {
      const built = import.meta.url.endsWith(".js");
      const { parseWords, parseIds } = await import(`${root}${built ? "dist/cli/words.js" : "cli/words.ts"}`);
      const args = decoder.decode(bytes).split("\0");
      const options = {
        temperature: { type: "string" },
        "top-p": { type: "string" },
        seed: { type: "string" },
        ids: { type: "string" },
        stop: { type: "string", multiple: true },
        help: { type: "boolean" },
      };
      const words = parseWords("chat", args, options, 2);
      words.number("temperature");
      words.number("top-p");
      const ids = words.text("ids");
      if (ids !== undefined) parseIds("chat", ids);
    },
  },
};

/** What bench reads its files with: JSON.parse, whose errors the reader names. */
function parsedOrNull(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(bytes));
  } catch {
    return null;
  }
}
