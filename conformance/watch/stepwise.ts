/**
 * A traced forward pass checked step by step: every tap point is computed again from the traced values it was made of, and compared
 * within the bound of that one op. Nothing is composed, so the bounds stay tight however deep the model is, and the first step
 * that breaks its own bound is the faulty one.
 */
import type { LlamaConfig } from "../../core/config.ts";
import type { TraceValue } from "../../core/model/engine.ts";
import type { LlamaWeights } from "../../core/model/weights.ts";
import type { AttentionShape } from "../../core/ops/attention.ts";
import type { Linear } from "../../core/tensor.ts";
import {
  type Arithmetic,
  type Expected,
  expectAdd,
  expectAttention,
  expectAttentionWeights,
  expectAwqMatmul,
  expectEmbedding,
  expectF16,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
  rotationTable,
} from "../accuracy.ts";
import { compare, type Worst } from "../compare.ts";

export interface StepResult {
  readonly name: string;
  /** The op that makes it. */
  readonly op: string;
  readonly shape: readonly number[];
  /** null where no element has a finite bound */
  readonly worst: Worst | null;
}

/**
 * @param trace every tap point of one forward call over `ids` from an empty cache, logits of all positions
 * @param rescales how often an online softmax may rescale its sums (expectAttention)
 * @param cache what attention reads its keys and values from
 */
export function* checkSteps(
  config: LlamaConfig,
  weights: LlamaWeights,
  ids: readonly number[],
  trace: ReadonlyMap<string, TraceValue>,
  maxContext: number,
  a: Arithmetic,
  rescales: number,
  cache: "f32" | "f16" = "f32",
): Generator<StepResult> {
  const T = ids.length;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const at = (name: string): Float32Array => trace.get(name)!.data;
  const step = (name: string, op: string, expected: Expected): StepResult => {
    const { shape, data } = trace.get(name)!;
    return { name, op, shape, worst: compare(data, expected) };
  };
  const tables = rotationTable({ headDim: Hd, theta: config.ropeTheta, scaling: config.ropeScaling, maxContext }, 0, T);
  const shape: AttentionShape = { H, G, Hd, window: config.slidingWindow };
  yield step("embeddings", "embedding", expectEmbedding(weights.embedTokens, ids, a));
  let x = at("embeddings");
  for (const [i, layer] of weights.layers.entries()) {
    const of = (name: string): Float32Array => at(`layers.${i}.${name}`);
    const check = (name: string, op: string, expected: Expected): StepResult => step(`layers.${i}.${name}`, op, expected);
    const linear = (name: string, x: Float32Array, { weight, bias }: Linear): StepResult =>
      weight.kind === "awq"
        ? check(name, "awq-matmul", expectAwqMatmul(x, weight, bias, T, a, false))
        : check(name, "matmul", expectMatmul(x, weight, bias, T, a));
    yield check("inputLayernorm", "rms-norm", expectRmsNorm(x, layer.inputLayernorm, eps, T, a));
    for (const [name, projection] of [
      ["q", layer.qProj],
      ["k", layer.kProj],
      ["v", layer.vProj],
    ] as const)
      yield linear(name, of("inputLayernorm"), projection);
    const { qNorm, kNorm } = layer;
    if (qNorm) yield check("qNorm", "rms-norm", expectRmsNorm(of("q"), qNorm, eps, T * H, a));
    if (kNorm) yield check("kNorm", "rms-norm", expectRmsNorm(of("k"), kNorm, eps, T * G, a));
    yield check("qRope", "rope", expectRope(of(qNorm ? "qNorm" : "q"), tables, 0, T, H, a));
    yield check("kRope", "rope", expectRope(of(kNorm ? "kNorm" : "k"), tables, 0, T, G, a));
    const stored = cache === "f16" ? { stored: { k: f16Errors(of("kRope")), v: f16Errors(of("v")) } } : {};
    const inputs = { q: of("qRope"), k: of("kRope"), v: of("v"), ...stored, start: 0, T, shape };
    if (trace.has(`layers.${i}.attentionWeights`)) yield check("attentionWeights", "attention-weights", expectAttentionWeights(inputs, a));
    yield check("attention", "attention", expectAttention(inputs, a, rescales));
    yield linear("attentionOutput", of("attention"), layer.oProj);
    yield check("attentionResidual", "add", expectAdd(x, of("attentionOutput"), T * D, a));
    yield check("postAttentionLayernorm", "rms-norm", expectRmsNorm(of("attentionResidual"), layer.postAttentionLayernorm, eps, T, a));
    yield linear("gate", of("postAttentionLayernorm"), layer.gateProj);
    yield linear("up", of("postAttentionLayernorm"), layer.upProj);
    yield check("siluMul", "silu-mul", expectSiluMul(of("gate"), of("up"), T * F, a));
    yield linear("mlp", of("siluMul"), layer.downProj);
    yield check("residual", "add", expectAdd(of("attentionResidual"), of("mlp"), T * D, a));
    x = of("residual");
  }
  yield step("finalNorm", "rms-norm", expectRmsNorm(x, weights.norm, eps, T, a));
  yield step("logits", "matmul", expectMatmul(at("finalNorm"), weights.lmHead, null, T, a));
}

/** How far each value is from what an f16 cache may hold of it. */
const f16Errors = (values: Float32Array): Float64Array =>
  Float64Array.from(values, (x) => {
    const { value, bound } = expectF16(x);
    return Math.abs(x - value) + bound;
  });
