/**
 * A traced forward pass checked step by step: every tap point is computed again from the traced values it was made of, and compared
 * within the bound of that one op. Nothing is composed, so the bounds stay tight however deep the model is, and the first step
 * that breaks its own bound is the faulty one.
 */
import type { LlamaConfig } from "../core/model/config.ts";
import type { TraceValue } from "../core/model/engine.ts";
import type { Linear, LlamaWeights } from "../core/model/weights.ts";
import type { AttentionShape } from "../core/ops/attention.ts";
import { ropeTables } from "../core/ops/rope.ts";
import {
  type Arithmetic,
  type Expected,
  expectAdd,
  expectAttention,
  expectAttentionWeights,
  expectAwqMatmul,
  expectEmbedding,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
} from "./accuracy.ts";
import { compare, type Worst } from "./compare.ts";

export interface StepResult {
  readonly name: string;
  readonly worst: Worst | null;
}

/**
 * @param trace every tap point of one forward call over `ids` from an empty cache, logits of all positions
 * @param rescales how often an online softmax may rescale its sums (expectAttention)
 */
export function* checkSteps(
  config: LlamaConfig,
  weights: LlamaWeights,
  ids: readonly number[],
  trace: ReadonlyMap<string, TraceValue>,
  maxContext: number,
  a: Arithmetic,
  rescales: number,
): Generator<StepResult> {
  const T = ids.length;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const at = (name: string): Float32Array => trace.get(name)!.data;
  const step = (name: string, expected: Expected): StepResult => ({ name, worst: compare(at(name), expected) });
  const linear = (x: Float32Array, { weight, bias }: Linear): Expected =>
    weight.kind === "awq" ? expectAwqMatmul(x, weight, bias, T, a, false) : expectMatmul(x, weight, bias, T, a);
  const tables = ropeTables(config, maxContext);
  const shape: AttentionShape = { H, G, Hd, window: config.slidingWindow };
  yield step("embeddings", expectEmbedding(weights.embedTokens, ids, a));
  let x = at("embeddings");
  for (const [i, layer] of weights.layers.entries()) {
    const of = (name: string): Float32Array => at(`layers.${i}.${name}`);
    const check = (name: string, expected: Expected): StepResult => step(`layers.${i}.${name}`, expected);
    yield check("inputLayernorm", expectRmsNorm(x, layer.inputLayernorm, eps, T, a));
    for (const [name, projection] of [
      ["q", layer.qProj],
      ["k", layer.kProj],
      ["v", layer.vProj],
    ] as const)
      yield check(name, linear(of("inputLayernorm"), projection));
    yield check("qRope", expectRope(of("q"), tables, 0, T, H, a));
    yield check("kRope", expectRope(of("k"), tables, 0, T, G, a));
    const inputs = { q: of("qRope"), k: of("kRope"), v: of("v"), start: 0, T, shape };
    if (trace.has(`layers.${i}.attentionWeights`)) yield check("attentionWeights", expectAttentionWeights(inputs, a));
    yield check("attention", expectAttention(inputs, a, rescales));
    yield check("attentionOutput", linear(of("attention"), layer.oProj));
    yield check("attentionResidual", expectAdd(x, of("attentionOutput"), T * D, a));
    yield check("postAttentionLayernorm", expectRmsNorm(of("attentionResidual"), layer.postAttentionLayernorm, eps, T, a));
    yield check("gate", linear(of("postAttentionLayernorm"), layer.gateProj));
    yield check("up", linear(of("postAttentionLayernorm"), layer.upProj));
    yield check("siluMul", expectSiluMul(of("gate"), of("up"), T * F, a));
    yield check("mlp", linear(of("siluMul"), layer.downProj));
    yield check("residual", expectAdd(of("attentionResidual"), of("mlp"), T * D, a));
    x = of("residual");
  }
  yield step("finalNorm", expectRmsNorm(x, weights.norm, eps, T, a));
  yield step("logits", expectMatmul(at("finalNorm"), weights.lmHead, null, T, a));
}
