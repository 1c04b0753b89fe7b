/**
 * A model's weights as a GGUF file, for peers that read nothing else: f16, or Q4_0 for the linears of layers. Int4 linears are dequantized
 * first, so f16 holds the same weights and Q4_0 their nearest of another quantization. Ids are what is fed, so the vocabulary is a list of
 * made-up words.
 * Source: ggml `docs/gguf.md` (version 3), `ggml-quants.c` (quantize_row_q4_0_ref), llama.cpp `convert_hf_to_gguf.py` (LlamaModel: names of
 * tensors, the rows of q and k in the order of its rotation).
 */
import type { ByteSink } from "../../core/checkpoint/byte-sink.ts";
import type { LlamaConfig } from "../../core/config.ts";
import { f16Bits, f16Values } from "../../core/dtype.ts";
import { GureumError } from "../../core/errors.ts";
import { linearParts } from "../../core/model/layer.ts";
import type { LlamaWeights } from "../../core/model/weights.ts";
import { widenRow } from "../../core/ops/embedding.ts";
import { dequantize } from "../../core/quant/awq-format.ts";
import type { DenseMatrix, Matrix } from "../../core/tensor.ts";
import { encodeUtf8 } from "../../core/utf8.ts";

export type GgufType = "f16" | "q4_0";

const types = { F32: 0, F16: 1, Q4_0: 2 } as const;
type TensorType = keyof typeof types;
const ALIGNMENT = 32;
/** Numbers of a Q4_0 block, and its bytes: a scale in f16, 16 bytes of nibbles. */
const BLOCK = 32;
const BLOCK_BYTES = 18;

interface Tensor {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly type: TensorType;
  /** Row n as f32. */
  row(n: number, out: Float32Array): void;
}

/** Names of a layer's linears in GGUF. */
const linearNames = {
  qProj: "attn_q",
  kProj: "attn_k",
  vProj: "attn_v",
  oProj: "attn_output",
  gateProj: "ffn_gate",
  upProj: "ffn_up",
  downProj: "ffn_down",
} as const;

const little = (length: number, write: (view: DataView) => void): Uint8Array => {
  const view = new DataView(new ArrayBuffer(length));
  write(view);
  return new Uint8Array(view.buffer);
};
const u32 = (n: number): Uint8Array => little(4, (view) => view.setUint32(0, n, true));
const u64 = (n: number): Uint8Array => little(8, (view) => view.setBigUint64(0, BigInt(n), true));
const f32 = (x: number): Uint8Array => little(4, (view) => view.setFloat32(0, x, true));
const text = (s: string): Uint8Array[] => [u64(encodeUtf8(s).length), encodeUtf8(s)];

/** Values of the metadata, with their types' numbers. */
const entry = {
  u32: (n: number): Uint8Array[] => [u32(4), u32(n)],
  f32: (x: number): Uint8Array[] => [u32(6), f32(x)],
  bool: (b: boolean): Uint8Array[] => [u32(7), Uint8Array.of(b ? 1 : 0)],
  text: (s: string): Uint8Array[] => [u32(8), ...text(s)],
  texts: (all: readonly string[]): Uint8Array[] => [u32(9), u32(8), u64(all.length), ...all.flatMap(text)],
  f32s: (all: readonly number[]): Uint8Array[] => [u32(9), u32(6), u64(all.length), ...all.map(f32)],
  i32s: (all: readonly number[]): Uint8Array[] => [u32(9), u32(5), u64(all.length), ...all.map(u32)],
};

const join = (parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** A made-up vocabulary as llama.cpp wants one: an unknown word, control words, a word for each byte, and plain ones. */
function wordOf(id: number, bos: number, eos: number): { readonly text: string; readonly kind: number } {
  if (id === bos || id === eos) return { text: `<control${id}>`, kind: 3 };
  if (id === 0) return { text: "<unk>", kind: 2 };
  const byte = id - 3;
  if (byte >= 0 && byte < 256) return { text: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, kind: 6 };
  return { text: `word${id}`, kind: 1 };
}

function metadata(config: LlamaConfig): (readonly [string, Uint8Array[]])[] {
  const { vocabSize: V, bosTokenId, eosTokenIds, ropeScaling } = config;
  if (ropeScaling.type !== "none" || config.slidingWindow !== null || config.attentionBias || config.mlpBias)
    throw new GureumError("unsupported", { where: "gguf", what: "RoPE scaling, a sliding window or biases", remedy: "take a plain model" });
  const [bos, eos] = [bosTokenId ?? 1, eosTokenIds[0] ?? 2];
  const words = Array.from({ length: V }, (_, i) => wordOf(i, bos, eos));
  return [
    ["general.architecture", entry.text("llama")],
    ["general.name", entry.text("gureum benchmark")],
    ["llama.vocab_size", entry.u32(V)],
    ["llama.context_length", entry.u32(config.maxPositionEmbeddings)],
    ["llama.embedding_length", entry.u32(config.hiddenSize)],
    ["llama.block_count", entry.u32(config.numHiddenLayers)],
    ["llama.feed_forward_length", entry.u32(config.intermediateSize)],
    ["llama.attention.head_count", entry.u32(config.numAttentionHeads)],
    ["llama.attention.head_count_kv", entry.u32(config.numKeyValueHeads)],
    ["llama.attention.key_length", entry.u32(config.headDim)],
    ["llama.attention.value_length", entry.u32(config.headDim)],
    ["llama.attention.layer_norm_rms_epsilon", entry.f32(config.rmsNormEps)],
    ["llama.rope.dimension_count", entry.u32(config.headDim)],
    ["llama.rope.freq_base", entry.f32(config.ropeTheta)],
    ["tokenizer.ggml.model", entry.text("llama")],
    ["tokenizer.ggml.tokens", entry.texts(words.map(({ text }) => text))],
    ["tokenizer.ggml.scores", entry.f32s(Array.from({ length: V }, (_, i) => -i))],
    ["tokenizer.ggml.token_type", entry.i32s(words.map(({ kind }) => kind))],
    ["tokenizer.ggml.bos_token_id", entry.u32(bos)],
    ["tokenizer.ggml.eos_token_id", entry.u32(eos)],
    ["tokenizer.ggml.add_bos_token", entry.bool(false)],
    ["tokenizer.ggml.add_space_prefix", entry.bool(false)],
  ];
}

/** Rows of any stored matrix; an int4 one is dequantized whole, as long as its tensor is written. */
function rowsOf(matrix: Matrix, order: (n: number) => number): Tensor["row"] {
  if (matrix.kind === "dense") return (n, out) => widenRow(out, 0, matrix, order(n));
  const { inFeatures: K, outFeatures: N } = matrix;
  let byInput: Float32Array | undefined;
  return (n, out) => {
    byInput ??= dequantize(matrix);
    for (let k = 0; k < K; k++) out[k] = byInput[k * N + order(n)]!;
    if (n === N - 1) byInput = undefined;
  };
}

function tensorsOf(config: LlamaConfig, weights: LlamaWeights, type: GgufType): Tensor[] {
  const { headDim: Hd } = config;
  if (weights.layers.some(({ qNorm, kNorm }) => qNorm || kNorm))
    throw new GureumError("unsupported", { where: "gguf", what: "norms of heads", remedy: "take a plain model" });
  const dense = (name: string, matrix: DenseMatrix): Tensor => ({
    name,
    rows: matrix.outFeatures,
    columns: matrix.inFeatures,
    type: "F16",
    row: rowsOf(matrix, (n) => n),
  });
  const norm = (name: string, values: Float32Array): Tensor => ({
    name,
    rows: 1,
    columns: values.length,
    type: "F32",
    row: (_, out) => out.set(values),
  });
  // llama.cpp turns neighbouring pairs where Hugging Face turns halves: row 2i + j of a head is row i + j · Hd / 2 there.
  const turned = (n: number): number => {
    const i = n % Hd;
    return n - i + Math.floor(i / 2) + (i % 2) * (Hd / 2);
  };
  return [
    dense("token_embd.weight", weights.embedTokens),
    ...weights.layers.flatMap((layer, i) => [
      norm(`blk.${i}.attn_norm.weight`, layer.inputLayernorm),
      norm(`blk.${i}.ffn_norm.weight`, layer.postAttentionLayernorm),
      ...linearParts.map(({ name }): Tensor => {
        const { weight } = layer[name];
        return {
          name: `blk.${i}.${linearNames[name]}.weight`,
          rows: weight.outFeatures,
          columns: weight.inFeatures,
          type: type === "q4_0" ? "Q4_0" : "F16",
          row: rowsOf(weight, name === "qProj" || name === "kProj" ? turned : (n) => n),
        };
      }),
    ]),
    norm("output_norm.weight", weights.norm),
    dense("output.weight", weights.lmHead),
  ];
}

const rowBytes = ({ columns, type }: Tensor): number =>
  type === "F32" ? 4 * columns : type === "F16" ? 2 * columns : (columns / BLOCK) * BLOCK_BYTES;
const padded = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Q4_0: d = (the number largest in magnitude) / −8, q = min(15, ⌊x / d + 8.5⌋), element i and i + 16 in one byte. */
export function quantizeQ4(x: Float32Array, out: Uint8Array): void {
  const view = new DataView(out.buffer, out.byteOffset);
  for (let b = 0; b < x.length / BLOCK; b++) {
    let largest = 0;
    for (let i = 0; i < BLOCK; i++) if (Math.abs(x[b * BLOCK + i]!) > Math.abs(largest)) largest = x[b * BLOCK + i]!;
    const d = Math.fround(largest / -8);
    const inverse = d === 0 ? 0 : Math.fround(1 / d);
    const q = (i: number): number => Math.min(15, Math.trunc(Math.fround(Math.fround(x[b * BLOCK + i]! * inverse) + 8.5)));
    view.setUint16(b * BLOCK_BYTES, f16Bits(d), true);
    for (let i = 0; i < BLOCK / 2; i++) out[b * BLOCK_BYTES + 2 + i] = q(i) | (q(i + BLOCK / 2) << 4);
  }
}

/**
 * Writes the file.
 * @throws GureumError "unsupported" for what Q4_0 or llama.cpp's plain Llama does not have
 */
export async function writeGguf(config: LlamaConfig, weights: LlamaWeights, type: GgufType, sink: ByteSink): Promise<void> {
  const tensors = tensorsOf(config, weights, type);
  const odd = tensors.find((tensor) => tensor.type === "Q4_0" && tensor.columns % BLOCK !== 0);
  if (odd)
    throw new GureumError("unsupported", {
      where: odd.name,
      what: "inputs in Q4_0",
      expected: `a multiple of ${BLOCK}`,
      got: `${odd.columns}`,
    });
  const pairs = metadata(config);
  const head = [
    encodeUtf8("GGUF"),
    u32(3),
    u64(tensors.length),
    u64(pairs.length),
    ...pairs.flatMap(([key, value]) => [...text(key), ...value]),
  ];
  let offset = 0;
  for (const tensor of tensors) {
    const dimensions = tensor.rows === 1 ? [tensor.columns] : [tensor.columns, tensor.rows];
    head.push(...text(tensor.name), u32(dimensions.length), ...dimensions.map(u64), u32(types[tensor.type]), u64(offset));
    offset += padded(rowBytes(tensor) * tensor.rows);
  }
  const bytes = join(head);
  await sink(bytes);
  await sink(new Uint8Array(padded(bytes.length) - bytes.length));
  const f16 = f16Values();
  for (const tensor of tensors) {
    const row = new Float32Array(tensor.columns);
    const size = rowBytes(tensor);
    // Some megabytes at a time.
    const atOnce = Math.max(1, Math.floor(2 ** 22 / size));
    for (let n = 0; n < tensor.rows; n += atOnce) {
      const count = Math.min(atOnce, tensor.rows - n);
      const out = new Uint8Array(count * size);
      for (let r = 0; r < count; r++) {
        tensor.row(n + r, row);
        const part = out.subarray(r * size, (r + 1) * size);
        if (tensor.type === "F32") part.set(new Uint8Array(row.buffer));
        else if (tensor.type === "F16") {
          const halves = new Uint16Array(part.buffer, part.byteOffset, tensor.columns);
          for (let k = 0; k < tensor.columns; k++) halves[k] = f16Bits(row[k]!);
          if (halves.some((bits) => !Number.isFinite(f16[bits]!)))
            throw new GureumError("range", { where: tensor.name, what: "a weight beyond f16" });
        } else quantizeQ4(row, part);
      }
      await sink(out);
    }
    const total = size * tensor.rows;
    await sink(new Uint8Array(padded(total) - total));
  }
}
