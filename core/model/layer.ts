/**
 * The parts of one transformer layer: the only list of them. Reading, checking, tracing, the GPU's loader, `inspect`,
 * `synth` and the fixtures go through it, and a GPU program that does not know a part refuses the model
 * (`unlistedPart`): no part can be skipped in silence.
 * Source: Hugging Face `modeling_llama.py` (LlamaDecoderLayer), `modeling_qwen2.py`, `modeling_qwen3.py`.
 */
import type { LlamaConfig } from "../config.ts";

/** A linear of a layer. */
export type LinearName = "qProj" | "kProj" | "vProj" | "oProj" | "gateProj" | "upProj" | "downProj";
/** A norm that every layer has. */
export type NormName = "inputLayernorm" | "postAttentionLayernorm";
/** Norms of single heads, which not every architecture has. */
export type HeadNormName = "qNorm" | "kNorm";

/** y [N] = W x [K] (+ bias). */
export interface LinearPart {
  readonly kind: "linear";
  readonly name: LinearName;
  /** Below `model.layers.<i>.` in the checkpoint, without `.weight`, `.qweight` and so on. */
  readonly key: string;
  readonly outFeatures: (config: LlamaConfig) => number;
  readonly inFeatures: (config: LlamaConfig) => number;
  /** Whether the architecture has a bias here; one that the checkpoint has besides is used as well. */
  readonly bias: (config: LlamaConfig) => boolean;
  /** The tap point that it reads: linears of one input may share a matrix. */
  readonly input: "inputLayernorm" | "attention" | "postAttentionLayernorm" | "siluMul";
}

/** y = x / √(mean x² + eps) ∘ weight. */
export interface NormPart {
  readonly kind: "norm";
  readonly name: NormName | HeadNormName;
  /** Below `model.layers.<i>.`, without `.weight`. */
  readonly key: string;
  readonly length: (config: LlamaConfig) => number;
  readonly present: (config: LlamaConfig) => boolean;
}
export type LayerPart = LinearPart | NormPart;

/** A value for each part, `L` for a linear, `V` for a norm's weight; null for a norm that the model does not have. */
export type LayerTree<L, V> = { readonly [P in LinearName]: L } & { readonly [P in NormName]: V } & {
  readonly [P in HeadNormName]: V | null;
};

type Size = (config: LlamaConfig) => number;
type Flag = (config: LlamaConfig) => boolean;
const D: Size = (c) => c.hiddenSize;
const F: Size = (c) => c.intermediateSize;
const queries: Size = (c) => c.numAttentionHeads * c.headDim;
const keys: Size = (c) => c.numKeyValueHeads * c.headDim;
const headDim: Size = (c) => c.headDim;
const always: Flag = () => true;
const qkNorm: Flag = (c) => c.qkNorm;

const linear = (
  name: LinearName,
  key: string,
  outFeatures: Size,
  inFeatures: Size,
  bias: Flag,
  input: LinearPart["input"],
): LinearPart => ({
  kind: "linear",
  name,
  key,
  outFeatures,
  inFeatures,
  bias,
  input,
});
const norm = (name: NormPart["name"], key: string, length: Size, present: Flag): NormPart => ({ kind: "norm", name, key, length, present });

/** In the order of the computation. */
export const layerParts: readonly LayerPart[] = [
  norm("inputLayernorm", "input_layernorm", D, always),
  linear("qProj", "self_attn.q_proj", queries, D, (c) => c.attentionBias, "inputLayernorm"),
  linear("kProj", "self_attn.k_proj", keys, D, (c) => c.attentionBias, "inputLayernorm"),
  linear("vProj", "self_attn.v_proj", keys, D, (c) => c.attentionBias, "inputLayernorm"),
  norm("qNorm", "self_attn.q_norm", headDim, qkNorm),
  norm("kNorm", "self_attn.k_norm", headDim, qkNorm),
  linear("oProj", "self_attn.o_proj", D, queries, (c) => c.attentionOutputBias, "attention"),
  norm("postAttentionLayernorm", "post_attention_layernorm", D, always),
  linear("gateProj", "mlp.gate_proj", F, D, (c) => c.mlpBias, "postAttentionLayernorm"),
  linear("upProj", "mlp.up_proj", F, D, (c) => c.mlpBias, "postAttentionLayernorm"),
  linear("downProj", "mlp.down_proj", D, F, (c) => c.mlpBias, "siluMul"),
];

export const linearParts: readonly LinearPart[] = layerParts.filter((part) => part.kind === "linear");

/** The key of a part of layer `layer`, without `.weight` and so on. */
export const partKey = (layer: number, { key }: LayerPart): string => `model.layers.${layer}.${key}`;

/** A layer from a value for each part, made in order. */
export function makeLayer<L, V>(linear: (part: LinearPart) => L, norm: (part: NormPart) => V | null): LayerTree<L, V> {
  return Object.fromEntries(layerParts.map((part) => [part.name, part.kind === "linear" ? linear(part) : norm(part)])) as LayerTree<L, V>;
}

/** The same where making a value takes time: one after the other. */
export async function makeLayerInTurn<L, V>(
  linear: (part: LinearPart) => Promise<L>,
  norm: (part: NormPart) => Promise<V | null>,
): Promise<LayerTree<L, V>> {
  const made: [string, L | V | null][] = [];
  for (const part of layerParts) made.push([part.name, part.kind === "linear" ? await linear(part) : await norm(part)]);
  return Object.fromEntries(made) as LayerTree<L, V>;
}

/** A part as a program lists it; the bias of a linear counts as a part of its own. */
export type ListedPart = LayerPart["name"] | `${LinearName}.bias`;

/**
 * The parts that every layer has, no biases and no norms of heads: written out, since a program that lists them knows
 * these and no more.
 */
export const plainParts: readonly ListedPart[] = [
  "inputLayernorm",
  "qProj",
  "kProj",
  "vProj",
  "oProj",
  "postAttentionLayernorm",
  "gateProj",
  "upProj",
  "downProj",
];

/** The biases that a layer may have. */
export const biasParts: readonly ListedPart[] = [
  "qProj.bias",
  "kProj.bias",
  "vProj.bias",
  "oProj.bias",
  "gateProj.bias",
  "upProj.bias",
  "downProj.bias",
];

/** The first part of the layers that is not among `listed`; undefined where all are. */
export function unlistedPart(
  layers: readonly LayerTree<{ readonly bias: unknown }, unknown>[],
  listed: readonly ListedPart[],
): ListedPart | undefined {
  const known = new Set(listed);
  for (const layer of layers)
    for (const part of layerParts) {
      if (layer[part.name] === null) continue;
      if (!known.has(part.name)) return part.name;
      if (part.kind === "linear" && layer[part.name].bias !== null && !known.has(`${part.name}.bias`)) return `${part.name}.bias`;
    }
  return undefined;
}
