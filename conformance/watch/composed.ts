/**
 * How far a whole forward pass may be from the exact one: the bound of each step (expect…) composed with those of the steps before
 * it (through…), to first order around what was traced. For models of a few layers: the bound grows with each.
 */
import type { LlamaConfig } from "../../core/config.ts";
import type { TraceValue } from "../../core/model/engine.ts";
import type { LlamaWeights } from "../../core/model/weights.ts";
import type { Linear } from "../../core/tensor.ts";
import {
  type Arithmetic,
  expectAdd,
  expectAwqMatmul,
  expectEmbedding,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
  rotationTable,
  throughAdd,
  throughAttention,
  throughLinear,
  throughRmsNorm,
  throughRope,
  throughSiluMul,
} from "../accuracy.ts";

type Errors = Float64Array;

/**
 * Bounds of the logits [T, V] that `trace` (every tap point of one pass over `ids` from an empty cache, logits of all positions)
 * ends in.
 */
export function logitBounds(
  config: LlamaConfig,
  weights: LlamaWeights,
  ids: readonly number[],
  trace: ReadonlyMap<string, TraceValue>,
  a: Arithmetic,
): Errors {
  const T = ids.length;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const at = (name: string): Float32Array => trace.get(name)!.data;
  const linear = (x: Float32Array, e: Errors, { weight, bias }: Linear): Errors =>
    throughLinear(
      e,
      weight,
      (weight.kind === "awq" ? expectAwqMatmul(x, weight, bias, T, a, false) : expectMatmul(x, weight, bias, T, a)).bound,
      T,
    );
  const norm = (x: Float32Array, e: Errors, weight: Float32Array, rows: number): Errors =>
    throughRmsNorm(e, x, weight, eps, expectRmsNorm(x, weight, eps, rows, a).bound, rows);
  const tables = rotationTable({ headDim: Hd, theta: config.ropeTheta, scaling: config.ropeScaling, maxContext: T }, 0, T);
  const rope = (x: Float32Array, e: Errors, heads: number): Errors =>
    throughRope(e, tables, 0, expectRope(x, tables, 0, T, heads, a).bound, T, heads);
  let x = at("embeddings");
  let e: Errors = expectEmbedding(weights.embedTokens, ids, a).bound;
  for (const [i, layer] of weights.layers.entries()) {
    const of = (name: string): Float32Array => at(`layers.${i}.${name}`);
    const normed = norm(x, e, layer.inputLayernorm, T);
    const projected = (name: "q" | "k" | "v"): Errors => linear(of("inputLayernorm"), normed, layer[`${name}Proj`]);
    const [q, k] = (["q", "k"] as const).map((name) => {
      const weight = layer[`${name}Norm`];
      const heads = name === "q" ? H : G;
      const raw = projected(name);
      return rope(of(weight ? `${name}Norm` : name), weight ? norm(of(name), raw, weight, T * heads) : raw, heads);
    }) as [Errors, Errors];
    const inputs = { q: of("qRope"), k: of("kRope"), v: of("v"), start: 0, T, shape: { H, G, Hd, window: config.slidingWindow } };
    const attended = linear(of("attention"), throughAttention(q, k, projected("v"), inputs, a, 1), layer.oProj);
    const middle = throughAdd(e, attended, expectAdd(x, of("attentionOutput"), T * D, a).bound);
    const post = norm(of("attentionResidual"), middle, layer.postAttentionLayernorm, T);
    const [gate, up] = [layer.gateProj, layer.upProj].map((part) => linear(of("postAttentionLayernorm"), post, part)) as [Errors, Errors];
    const gated = throughSiluMul(gate, up, of("gate"), of("up"), expectSiluMul(of("gate"), of("up"), T * F, a).bound);
    const mlp = linear(of("siluMul"), gated, layer.downProj);
    e = throughAdd(middle, mlp, expectAdd(of("attentionResidual"), of("mlp"), T * D, a).bound);
    x = of("residual");
  }
  return throughLinear(norm(x, e, weights.norm, T), weights.lmHead, expectMatmul(at("finalNorm"), weights.lmHead, null, T, a).bound, T);
}
