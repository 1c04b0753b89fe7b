/** What config.json may say, what it means, and what is refused by name. */
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../../core/checkpoint/config.ts";
import { awq, base, bytes, mistral, parse, quantized, refusal } from "./small-config.ts";

describe("parseConfig", () => {
  it("fills absent keys with transformers' defaults", () => {
    expect(parse()).toEqual({
      architecture: "LlamaForCausalLM",
      vocabSize: 4096,
      hiddenSize: 256,
      intermediateSize: 768,
      numHiddenLayers: 2,
      numAttentionHeads: 8,
      numKeyValueHeads: 8,
      headDim: 32,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      ropeScaling: { type: "none" },
      maxPositionEmbeddings: 1024,
      slidingWindow: null,
      attentionBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      qkNorm: false,
      tieWordEmbeddings: false,
      quantization: null,
      bosTokenId: 1,
      eosTokenIds: [2],
    });
    expect(parse({ rms_norm_eps: undefined, max_position_embeddings: undefined })).toMatchObject({
      rmsNormEps: 1e-6,
      maxPositionEmbeddings: 2048,
    });
  });

  it("reads heads, head_dim, biases, tied embeddings and theta as given", () => {
    expect(
      parse({ num_key_value_heads: 1, head_dim: 64, attention_bias: true, mlp_bias: true, tie_word_embeddings: true, rope_theta: 500000 }),
    ).toMatchObject({ numKeyValueHeads: 1, headDim: 64, attentionBias: true, mlpBias: true, tieWordEmbeddings: true, ropeTheta: 500000 });
  });

  it("gives Mistral its own defaults, and its sliding window", () => {
    expect(parse(mistral)).toMatchObject({ architecture: "MistralForCausalLM", numKeyValueHeads: 8, slidingWindow: 4096 });
    expect(parse({ ...mistral, num_attention_heads: 16, num_key_value_heads: null }).numKeyValueHeads).toBe(16);
    expect(parse({ ...mistral, sliding_window: 7 }).slidingWindow).toBe(7);
    expect(parse({ ...mistral, sliding_window: null }).slidingWindow).toBeNull();
    expect(parse({ ...mistral, sliding_window: 7, use_sliding_window: true }).slidingWindow).toBe(7);
    expect(parse({ ...mistral, sliding_window: null, use_sliding_window: false }).slidingWindow).toBeNull();
    expect(refusal(() => parse({ ...mistral, sliding_window: 7, use_sliding_window: false }))).toMatch(
      /^unsupported .*use_sliding_window: false beside a window of 7 — set sliding_window to null/,
    );
    // transformers 5 takes a Mistral with layer_types for a Ministral.
    const kinds = (kind: string, changes: object = {}) => parse({ ...mistral, sliding_window: 7, layer_types: [kind, kind], ...changes });
    expect(kinds("full_attention").slidingWindow).toBeNull();
    expect(kinds("full_attention", { use_sliding_window: false }).slidingWindow).toBeNull();
    expect(kinds("sliding_attention").slidingWindow).toBe(7);
    expect(refusal(() => kinds("sliding_attention", { sliding_window: null }))).toMatch(
      /^unsupported .*layer_types: .* — set sliding_window, /,
    );
    expect(parse({ sliding_window: 7 }).slidingWindow).toBeNull();
    const llama = (kind: string) => parse({ sliding_window: 7, layer_types: [kind, kind] });
    expect(llama("full_attention").slidingWindow).toBeNull();
    expect(refusal(() => llama("sliding_attention"))).toMatch(
      /^unsupported .*layer_types: sliding attention, which LlamaForCausalLM has not/,
    );
  });

  it("gives Qwen2 biases of q, k and v and none of o, and Qwen3 norms of heads", () => {
    const qwen2 = parse({ architectures: ["Qwen2ForCausalLM"], num_attention_heads: 32, eos_token_id: undefined });
    expect(qwen2).toMatchObject({ attentionBias: true, attentionOutputBias: false, mlpBias: false, qkNorm: false, numKeyValueHeads: 32 });
    expect(qwen2).toMatchObject({ headDim: 8, bosTokenId: null, eosTokenIds: [], slidingWindow: null });
    const qwen3 = parse({ architectures: ["Qwen3ForCausalLM"], num_key_value_heads: 4 });
    expect(qwen3).toMatchObject({ attentionBias: false, attentionOutputBias: false, qkNorm: true, headDim: 128, numKeyValueHeads: 4 });
    expect(parse({ architectures: ["Qwen3ForCausalLM"], num_key_value_heads: 4, attention_bias: true })).toMatchObject({
      attentionBias: true,
      attentionOutputBias: true,
    });
    expect(parse({ architectures: null, model_type: "qwen3", num_key_value_heads: 4 }).architecture).toBe("Qwen3ForCausalLM");
    // As the first conversions of Llama spell it, and silu by its other name.
    expect(parse({ architectures: ["LLaMAForCausalLM"], hidden_act: "swish" }).architecture).toBe("LlamaForCausalLM");
  });

  it("slides Qwen's attention where all layers do, and refuses layers of both kinds", () => {
    const qwen = (changes: object) => parse({ architectures: ["Qwen2ForCausalLM"], num_key_value_heads: 4, ...changes });
    expect(qwen({ sliding_window: 7, max_window_layers: 0 }).slidingWindow).toBeNull();
    const on = { use_sliding_window: true, sliding_window: 7 };
    expect(qwen({ ...on, max_window_layers: 0 }).slidingWindow).toBe(7);
    expect(qwen({ ...on, max_window_layers: 2 }).slidingWindow).toBeNull();
    expect(qwen(on).slidingWindow).toBeNull();
    expect(qwen({ ...on, sliding_window: null }).slidingWindow).toBeNull();
    expect(qwen({ ...on, layer_types: ["sliding_attention", "sliding_attention"] }).slidingWindow).toBe(7);
    expect(qwen({ ...on, layer_types: ["full_attention", "full_attention"], max_window_layers: 0 }).slidingWindow).toBeNull();
    expect(refusal(() => qwen({ ...on, max_window_layers: 1 }))).toMatch(/^unsupported .*layers of different kinds/);
    const sliding = { sliding_window: 7, layer_types: ["sliding_attention", "sliding_attention"] };
    for (const changes of [{}, { use_sliding_window: false }, { use_sliding_window: true, sliding_window: null }])
      expect(refusal(() => qwen({ ...sliding, ...changes }))).toMatch(/^unsupported .*layer_types: sliding attention without a window/);
  });

  it("falls back to model_type without architectures", () => {
    expect(parse({ architectures: null, model_type: "mistral" }).architecture).toBe("MistralForCausalLM");
    expect(refusal(() => parse({ architectures: null, model_type: "gemma2" }))).toMatch(
      /^unsupported config.json > model_type: unknown architecture/,
    );
    expect(refusal(() => parse({ architectures: null }))).toMatch(/model_type: missing/);
  });

  it("takes architectures and model_type only where they agree: transformers goes by the one, vLLM by the other", () => {
    expect(parse({ ...mistral, model_type: "mistral" }).architecture).toBe("MistralForCausalLM");
    for (const [type, name] of [
      ["mistral", "LlamaForCausalLM"],
      ["llama", "MistralForCausalLM"],
      ["granite", "LlamaForCausalLM"],
    ] as const)
      expect(refusal(() => parse({ architectures: [name], model_type: type }))).toMatch(
        new RegExp(`^unsupported config.json > model_type: not that of ${name}, expected .*got "${type}" — write .* there if`),
      );
  });

  it("tells of numbers with which another family would compute, unless they change nothing", () => {
    const told = (changes: object): string[] => {
      const warnings: string[] = [];
      parseConfig(bytes({ ...base, ...changes }), {}, (message) => warnings.push(message));
      return warnings.map((message) => /^config\.json > (\w+): LlamaForCausalLM has no such number, it is not used/.exec(message)![1]!);
    };
    const foreign = { embedding_multiplier: 12, logits_scaling: 8, logit_scale: 0.25, attention_multiplier: 1 / 64, scale_emb: 2 };
    expect(told({ ...foreign, final_logit_softcapping: 30 })).toEqual([...Object.keys(foreign), "final_logit_softcapping"]);
    const neutral = {
      embedding_multiplier: 1.0,
      residual_multiplier: 1,
      attention_multiplier: 0.17677669529663687,
      query_pre_attn_scalar: 32,
    };
    expect(told({ ...neutral, attn_logit_softcapping: null })).toEqual([]);
    // transformers' Llama slides by its cache alone.
    expect(told({ sliding_window: 512 })).toEqual(["sliding_window"]);
    for (const changes of [{ sliding_window: 1024 }, { sliding_window: null }, { sliding_window: 512, use_sliding_window: false }])
      expect(told(changes)).toEqual([]);
  });

  it.each(["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])(
    "says that %s is missing",
    (key) => {
      expect(refusal(() => parse({ [key]: undefined }))).toBe(`format config.json > ${key}: missing`);
    },
  );

  it.each([
    [
      { architectures: ["MixtralForCausalLM"] },
      /unsupported .*unknown architecture \(it has a mixture of experts\), expected LlamaForCausalLM, .* got "MixtralForCausalLM" — .* llama\.cpp run others$/,
    ],
    [{ architectures: [] }, /format .*architectures/],
    [{ architectures: [1] }, /format .*architectures/],
    [
      { quantization: { group_size: 64, bits: 4 } },
      /^unsupported .*> quantization\.quant_method: quantization, .* got "mlx" — take an AWQ/,
    ],
    [
      { quantization: { group_size: 64, bits: 4 }, quantization_config: { group_size: 64, bits: 4, mode: "affine" } },
      /quantization_config\.quant_method: quantization, .* got "mlx"/,
    ],
    [{ is_causal: false }, /^unsupported .*is_causal: attention to later tokens, expected true, got false/],
    [{ hidden_act: "gelu" }, /unsupported .*hidden_act: activation, expected "silu", got "gelu"/],
    [{ hidden_size: "256" }, /format .*hidden_size: wrong type, expected an integer, got "256"/],
    [{ hidden_size: 256.5 }, /format .*hidden_size/],
    [{ hidden_size: 0 }, /range .*hidden_size: out of range, expected 1 to 16777216, got 0/],
    [{ hidden_size: -256 }, /range/],
    [{ hidden_size: 2 ** 40 }, /range/],
    [{ hidden_size: 250 }, /range .*not a multiple of num_attention_heads/],
    [{ num_hidden_layers: 1e6 }, /range .*1 to 4096/],
    [{ num_key_value_heads: 3 }, /range .*does not divide/],
    [{ head_dim: 33 }, /range .*even number/],
    [{ rms_norm_eps: 0 }, /range .*rms_norm_eps/],
    [{ rms_norm_eps: "1e-5" }, /format .*rms_norm_eps/],
    [{ rope_theta: -1 }, /range .*rope_theta/],
    [{ tie_word_embeddings: 1 }, /format .*tie_word_embeddings: wrong type, expected true or false, got 1/],
    [{ partial_rotary_factor: 0.5 }, /unsupported .*part of each head/],
    [{ layer_types: ["full_attention", "sliding_attention"] }, /unsupported .*layers of different kinds/],
    [{ ...mistral, sliding_window: 0 }, /range .*sliding_window/],
    [{ eos_token_id: "2" }, /format .*eos_token_id/],
    [{ quantization_config: 4 }, /format .*quantization_config: not a JSON object/],
    [{ quantization_config: {} }, /quant_method: missing/],
    [{ compression_config: { format: "pack-quantized" } }, /format .*compression_config\.config_groups: not a JSON object/],
  ])("refuses %j", (changes, message) => {
    expect(refusal(() => parse(changes))).toMatch(message);
  });

  it("refuses text without an object, and NaN where a number is wanted", () => {
    for (const text of ["[]", "", "null", "\ufeff[]"]) expect(refusal(() => parseConfig(bytes(text)))).toMatch(/^format config\.json/);
    const nan = JSON.stringify(base).replace(/("hidden_size"):\d+/, "$1:NaN");
    expect(refusal(() => parseConfig(bytes(nan)))).toMatch(/^format config\.json > hidden_size: wrong type, expected an integer, got NaN/);
    const infinite = JSON.stringify(base).replace("{", '{"router_aux_loss_coef":NaN,"initializer_range":Infinity,');
    expect(refusal(() => parseConfig(bytes(infinite)))).toBe("no error");
  });
});

describe("quantization_config", () => {
  it("reads group sizes, -1 as the whole column, and the old spelling", () => {
    expect(quantized({}).quantization).toEqual({ layout: "awq", groupSize: 128, symmetric: false });
    expect(quantized({ group_size: -1 }).quantization).toEqual({ layout: "awq", groupSize: "whole", symmetric: false });
    expect(quantized({ group_size: undefined }).quantization).toEqual({ layout: "awq", groupSize: 128, symmetric: false });
    expect(
      quantized({ version: undefined, checkpoint_format: "gemm", format: "GEMM", modules_to_not_convert: ["lm_head"] }).quantization,
    ).toEqual({
      layout: "awq",
      groupSize: 128,
      symmetric: false,
    });
    const old = { w_bit: 4, q_group_size: 64, version: "GEMM", zero_point: true };
    expect(parse({ quantization_config: { quant_method: "awq", ...old } }).quantization).toEqual({
      layout: "awq",
      groupSize: 64,
      symmetric: false,
    });
    expect(parseConfig(bytes(base), { quantConfig: bytes(old) }).quantization).toEqual({ layout: "awq", groupSize: 64, symmetric: false });
    expect(parseConfig(bytes(base), { quantizeConfig: bytes(old) }).quantization).toEqual({
      layout: "awq",
      groupSize: 64,
      symmetric: false,
    });
    expect(parse({ quantization_config: null }).quantization).toBeNull();
  });

  it.each([
    [{ quant_method: "aqlm" }, /unsupported .*quantization, expected awq, gptq, .* got "aqlm" — take an AWQ, GPTQ or W4A16 release/],
    [{ quant_method: "auto-round", packing_format: "auto_round:fp8" }, /got "auto-round", packing_format "auto_round:fp8"/],
    [{ quant_method: "bitsandbytes" }, /unsupported .*got "bitsandbytes"/],
    [{ quant_method: "fp8" }, /unsupported .*got "fp8"/],
    [{ bits: 8 }, /unsupported .*bits: width of the weights, expected 4 bits, got 8/],
    [{ version: "gemv" }, /unsupported .*version: AWQ layout, expected "gemm" or "exllama" or "ipex", got "gemv"/],
    [{ version: "GEMV_FAST" }, /got "gemv_fast"/],
    [{ version: "marlin" }, /got "marlin"/],
    [{ format: "exllamav3" }, /format: AWQ layout/],
    [{ checkpoint_format: "marlin" }, /checkpoint_format: AWQ layout/],
    [{ backend: "llm-awq" }, /unsupported .*got "llm-awq"/],
    [{ group_size: 0 }, /range .*group_size/],
    [{ group_size: -2 }, /range .*group_size/],
    [{ group_size: "128" }, /format .*group_size/],
    [{ modules_to_not_convert: "lm_head" }, /format .*modules_to_not_convert/],
  ])("refuses %j", (changes, message) => {
    expect(refusal(() => quantized(changes))).toMatch(message);
  });

  it("knows each layout by the names that its writers give it", () => {
    const layoutOf = (value: object): unknown => parse({ quantization_config: value }).quantization;
    const gptq = { quant_method: "gptq", bits: 4, group_size: 64, desc_act: false };
    const at = (layout: string, groupSize: number | "whole", symmetric = false) => ({ layout, groupSize, symmetric });
    expect(layoutOf({ ...awq, zero_point: false })).toEqual(at("awq", 128));
    for (const version of ["gemm", "exllama", "ipex", "GEMM"]) expect(layoutOf({ ...awq, version })).toEqual(at("awq", 128));
    expect(layoutOf({ quant_method: "auto-round", packing_format: "auto_round:auto_awq", bits: 4, group_size: 32 })).toEqual(at("awq", 32));
    expect(layoutOf(gptq)).toEqual(at("gptq", 64));
    expect(layoutOf({ ...gptq, checkpoint_format: "gptq_v2" })).toEqual(at("gptq-v2", 64));
    expect(layoutOf({ ...gptq, sym: true })).toEqual(at("gptq", 64, true));
    // GPTQModel and AutoRound say what is off, too.
    const off = { rotation: null, activation: null, act_bits: 16, data_type: "int" };
    expect(layoutOf({ ...gptq, ...off, quant_method: "auto-round" })).toEqual(at("gptq", 64));
    // Act-order that scatters nothing: one group (TheBloke's "--1g" releases), or groups set before the inputs were sorted.
    expect(layoutOf({ ...gptq, desc_act: true, group_size: -1 })).toEqual(at("gptq", "whole"));
    expect(layoutOf({ ...gptq, desc_act: true, static_groups: true })).toEqual(at("gptq", 64));
    // GPTQModel's exceptions: what stays unquantized, and what says the same again.
    expect(layoutOf({ ...gptq, dynamic: { "-:.*q_proj": {}, "+:.*mlp": { bits: 4, group_size: 64 } } })).toEqual(at("gptq", 64));
    expect(layoutOf({ ...gptq, quant_method: "auto-round" })).toEqual(at("gptq", 64));
    expect(layoutOf({ ...gptq, quant_method: "auto-round", backend: "auto" })).toEqual(at("gptq", 64));
    for (const packing_format of ["auto", "auto_round:gptq", "auto_round:auto_gptq"])
      expect(layoutOf({ ...gptq, quant_method: "auto-round", packing_format })).toEqual(at("gptq", 64));
    expect(layoutOf({ ...gptq, quant_method: "auto-round", packing_format: "auto_round:gptqmodel" })).toEqual(at("gptq-v2", 64));
    const weights = { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 128 };
    const packed = (changes: object, rest: object = {}) => ({
      quant_method: "compressed-tensors",
      format: "pack-quantized",
      config_groups: { group_0: { targets: ["Linear"], weights: { ...weights, ...changes }, input_activations: null } },
      ...rest,
    });
    expect(layoutOf(packed({}))).toEqual(at("compressed-tensors", 128, true));
    expect(layoutOf(packed({ symmetric: false, strategy: "channel", group_size: null }))).toEqual(at("compressed-tensors", "whole"));
    for (const [value, message] of [
      [{ ...gptq, desc_act: true }, /desc_act: act-order, expected none, got true — take another int4 release/],
      [{ ...gptq, checkpoint_format: "marlin" }, /GPTQ layout/],
      [{ ...gptq, bits: 8 }, /4 bits, got 8/],
      [{ ...gptq, dynamic: { "+:.*mlp": { bits: 8 } } }, /dynamic\."\+:\.\*mlp"\.bits: .*4 bits, got 8/],
      [{ ...gptq, dynamic: { ".*mlp": { group_size: 32 } } }, /group_size: settings that differ between modules, expected 64, got 32/],
      [{ ...gptq, dynamic: { ".*mlp": { desc_act: true } } }, /act-order/],
      [{ ...gptq, quant_method: "auto-round", extra_config: { "model.layers.0.mlp.up_proj": { bits: 8 } } }, /extra_config.*4 bits, got 8/],
      [{ ...gptq, quant_method: "auto-round", rotation_config: { algorithm: "hadamard" } }, /rotation_config: rotations between linears/],
      [{ ...gptq, rotation: "hadamard" }, /rotation: rotations between linears, expected none, got "hadamard" — take another/],
      [{ ...awq, activation: { mode: "w4afp8" } }, /activation: quantized activations, expected none, got/],
      [{ ...gptq, quant_method: "auto-round", act_bits: 8 }, /act_bits: quantized activations, expected 16 bits or none, got 8/],
      [{ ...gptq, quant_method: "auto-round", data_type: "mx_fp" }, /data_type: number format of the weights, expected "int", got "mx_fp"/],
      [{ ...gptq, quant_method: "auto-round", extra_config: { up: { bits: 4, act_bits: 4 } } }, /extra_config\."up"\.act_bits/],
      [{ ...gptq, quant_method: "auto-round", backend: "auto_round:exllamav2" }, /got "auto-round", backend "auto_round:exllamav2" — take/],
      [packed({ num_bits: 8 }), /num_bits: width/],
      [packed({ type: "float" }), /type of the weights/],
      [packed({ strategy: "tensor" }), /strategy/],
      [packed({ dynamic: true }), /dynamic/],
      [packed({}, { format: "int-quantized" }), /format of compressed-tensors, expected "pack-quantized", got "int-quantized"/],
      [packed({}, { kv_cache_scheme: { num_bits: 8 } }), /a quantized cache/],
      [packed({}, { transform_config: { config_groups: {} } }), /transforms/],
      [{ ...packed({}), config_groups: {} }, /config_groups: empty/],
      [{ ...packed({}), config_groups: { a: { format: "nvfp4-pack-quantized", weights } } }, /config_groups\.a\.format: .* got "nvfp4/],
    ] as const)
      expect(refusal(() => layoutOf(value))).toMatch(message);
    expect(layoutOf({ ...gptq, quant_method: "auto-round", extra_config: { lm_head: { bits: 16 } } })).toEqual(at("gptq", 64));
  });

  it("stands in quantize_config.json too, where a file without a method is AutoGPTQ's", () => {
    const read = (quantizeConfig: object) => parseConfig(bytes(base), { quantizeConfig: bytes(quantizeConfig) }).quantization;
    expect(read({ bits: 4, group_size: 128, desc_act: false })).toMatchObject({ layout: "gptq" });
    expect(read({ ...awq, group_size: 64 })).toEqual({ layout: "awq", groupSize: 64, symmetric: false });
  });

  it("refuses the same in quant_config.json, naming that file", () => {
    expect(refusal(() => parseConfig(bytes(base), { quantConfig: bytes({ w_bit: 4, version: "GEMV" }) }))).toMatch(
      /^unsupported quant_config\.json > .*"gemv"/,
    );
    expect(refusal(() => parseConfig(bytes(base), { quantConfig: bytes("{") }))).toMatch(/^format quant_config\.json > byte 1/);
  });
});
