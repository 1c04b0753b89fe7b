/**
 * The architectures that run, with what each takes for granted where its config.json is silent, and why others do not.
 * Source: transformers 5.24 `configuration_llama.py`, `configuration_mistral.py`, `configuration_qwen2.py`,
 * `configuration_qwen3.py` and the `modeling_*.py` beside them.
 */
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { jsonKind, quote } from "../json.ts";
import type { Fields } from "./fields.ts";

export interface Family {
  readonly architecture: LlamaConfig["architecture"];
  readonly modelType: string;
  readonly maxPositionEmbeddings: number;
  /** num_key_value_heads where the key is absent; null: as many as there are heads. */
  readonly numKeyValueHeads: number | null;
  /** head_dim where absent; null: hidden_size / heads. */
  readonly headDim: number | null;
  /** bos and eos where absent. */
  readonly tokenIds: readonly [number, number] | null;
  /**
   * Biases of q, k, v, of o, and of the feed-forward network; "attention_bias", "mlp_bias": as that key says, false
   * without it.
   */
  readonly biases: readonly [boolean | "attention_bias", boolean | "attention_bias", boolean | "mlp_bias"];
  readonly qkNorm: boolean;
  /** Whether attention slides without `use_sliding_window` (then that key is not the family's); null: never. */
  readonly slides: boolean | null;
}

export const families: readonly Family[] = [
  {
    architecture: "LlamaForCausalLM",
    modelType: "llama",
    maxPositionEmbeddings: 2048,
    numKeyValueHeads: null,
    headDim: null,
    tokenIds: [1, 2],
    biases: ["attention_bias", "attention_bias", "mlp_bias"],
    qkNorm: false,
    slides: null,
  },
  {
    architecture: "MistralForCausalLM",
    modelType: "mistral",
    maxPositionEmbeddings: 131072,
    numKeyValueHeads: 8,
    headDim: null,
    tokenIds: [1, 2],
    biases: [false, false, false],
    qkNorm: false,
    slides: true,
  },
  {
    architecture: "Qwen2ForCausalLM",
    modelType: "qwen2",
    maxPositionEmbeddings: 32768,
    numKeyValueHeads: 32,
    headDim: null,
    tokenIds: null,
    biases: [true, false, false],
    qkNorm: false,
    slides: false,
  },
  {
    architecture: "Qwen3ForCausalLM",
    modelType: "qwen3",
    maxPositionEmbeddings: 32768,
    numKeyValueHeads: 32,
    headDim: 128,
    tokenIds: null,
    biases: ["attention_bias", "attention_bias", false],
    qkNorm: true,
    slides: false,
  },
];

/** Beginnings of the names of architectures that people try, and what gureum lacks for them. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^(Mixtral|PhiMoE|Phimoe|.*Moe|.*MoE|Deepseek|DeepSeek|Dbrx|GptOss|Granite.*Moe|Llama4)/, "a mixture of experts"],
  [/^(Phi3|Phi4|InternLM2|Baichuan|ChatGLM|Glm)/, "q, k and v, or gate and up, joined in one linear"],
  [/^Phi/, "layer norms with biases and a partial rotary embedding"],
  [/^Gemma/, "GELU gates, scaled embeddings and norms of another form"],
  [/^(Qwen2VL|Qwen2_5_VL|Qwen3VL|Llava|Mllama|Idefics|PaliGemma|Mistral3|Pixtral)/, "images beside text"],
  [/^Qwen3Next|^Qwen3_5|^(Mamba|Jamba|Rwkv|Falcon|Bamba|Zamba)/, "layers of another kind than attention"],
  [/^(GPT|Gpt|OPT|Bloom|Starcoder|MPT|Cohere|Olmo|OLMo|StableLm|Exaone|EXAONE|Granite|Smol|MiniCPM|Internlm|InternLM)/, "another layer"],
];

const runs = families.map(({ architecture }) => architecture);
const known = `${runs.slice(0, -1).join(", ")} or ${runs.at(-1)}`;

function unknown(where: string, names: readonly string[]): GureumError {
  const reason = reasons.find(([pattern]) => pattern.test(names[0] ?? ""))?.[1];
  return new GureumError("unsupported", {
    where,
    what: `unknown architecture${reason === undefined ? "" : ` (it has ${reason})`}`,
    expected: known,
    got: names.map(quote).join(", "),
    remedy: "Llama, Mistral, Qwen2, Qwen2.5 and dense Qwen3 checkpoints run here; transformers, vLLM and llama.cpp run others",
  });
}

/**
 * The family that `architectures`, or without it `model_type`, names. Where both stand they must agree.
 * @throws GureumError "unsupported", "format"
 */
export function parseFamily(config: Fields): Family {
  if (!config.has("architectures")) {
    const type = config.string("model_type");
    const family = families.find(({ modelType }) => modelType === type);
    if (!family) throw unknown("model_type", [type]);
    return family;
  }
  const names = config.get("architectures");
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== "string"))
    throw new GureumError("format", { where: "architectures", what: "wrong type", expected: "a list of names", got: jsonKind(names) });
  // The first converted checkpoints of Llama say LLaMAForCausalLM.
  const family = families.find(({ architecture }) => architecture.toLowerCase() === (names[0] as string).toLowerCase());
  if (!family || names.length > 1) throw unknown("architectures", names as string[]);
  const type = config.string("model_type", family.modelType);
  // transformers takes the class by model_type, vLLM by architectures.
  if (type.toLowerCase() !== family.modelType)
    throw new GureumError("unsupported", {
      where: "model_type",
      what: `not that of ${family.architecture}`,
      expected: quote(family.modelType),
      got: quote(type),
      remedy: `write ${quote(family.modelType)} there if the weights are of that kind`,
    });
  return family;
}
