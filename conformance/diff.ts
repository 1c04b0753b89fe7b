/**
 * "Garbage on my GPU": which step of a forward pass is wrong first. Each side runs the whole pass with every value tapped; then
 * each step is judged alone, by what it should have made of the inputs that its own side gave it, within the bound of its
 * arithmetic (docs/accuracy.md). So the first step beyond its bound is where the fault is, however far its consequences spread;
 * the distance between the two sides stands beside it.
 */
import type { LlamaConfig } from "../core/model/config.ts";
import type { Model } from "../core/model/engine.ts";
import type { Linear, LlamaWeights } from "../core/model/weights.ts";
import { ropeTables } from "../core/ops/rope.ts";
import {
  type Arithmetic,
  type Expected,
  expectAdd,
  expectAttentionMix,
  expectAttentionWeights,
  expectAwqMatmul,
  expectEmbedding,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
  f64,
  wgsl,
} from "./accuracy.ts";
import { compare, type Worst } from "./compare.ts";

/** One tap point of the comparison. */
export interface DiffStep {
  /** Name of the tap point. */
  readonly name: string;
  /** The op that makes it. */
  readonly op: string;
  readonly shape: readonly number[];
  /** Largest |a − b|, and where. */
  readonly distance: number;
  readonly distanceIndex: number;
  /** Each side's worst element against its own inputs; null where no element has a finite bound. */
  readonly a: Worst | null;
  readonly b: Worst | null;
}

export interface Diff {
  readonly steps: readonly DiffStep[];
  /** The first step in which a side exceeds its bound. */
  readonly first: { readonly step: DiffStep; readonly side: "a" | "b" } | null;
}

type Values = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

const arithmeticOf = (model: Model): Arithmetic => (model.backend === "cpu" ? f64 : wgsl);

/** What each step should give, from the inputs that this side's run gave it. */
function* expectations(
  config: LlamaConfig,
  weights: LlamaWeights,
  ids: readonly number[],
  values: Values,
  a: Arithmetic,
): Generator<{ name: string; op: string; expected: Expected }> {
  const T = ids.length;
  const { hiddenSize: D, intermediateSize: F, rmsNormEps: eps } = config;
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
  const of = (name: string): Float32Array => values.get(name)!.data;
  const linear = (x: Float32Array, { weight, bias }: Linear): { op: string; expected: Expected } =>
    weight.kind === "awq"
      ? { op: "awq-matmul", expected: expectAwqMatmul(x, weight, bias, T, a, a.name === "wgsl") }
      : { op: "matmul", expected: expectMatmul(x, weight, bias, T, a) };
  const tables = ropeTables(config, T);

  yield { name: "embeddings", op: "embedding", expected: expectEmbedding(weights.embedTokens, ids, a) };
  let stream = of("embeddings");
  for (const [i, layer] of weights.layers.entries()) {
    const at = (name: string): string => `layers.${i}.${name}`;
    const value = (name: string): Float32Array => of(at(name));
    yield { name: at("inputLayernorm"), op: "rms-norm", expected: expectRmsNorm(stream, layer.inputLayernorm, eps, T, a) };
    yield { name: at("q"), ...linear(value("inputLayernorm"), layer.qProj) };
    yield { name: at("k"), ...linear(value("inputLayernorm"), layer.kProj) };
    yield { name: at("v"), ...linear(value("inputLayernorm"), layer.vProj) };
    yield { name: at("qRope"), op: "rope", expected: expectRope(value("q"), tables, 0, T, H, a) };
    yield { name: at("kRope"), op: "rope", expected: expectRope(value("k"), tables, 0, T, G, a) };
    const inputs = { q: value("qRope"), k: value("kRope"), v: value("v"), start: 0, T, shape: { H, G, Hd, window } };
    yield { name: at("attentionWeights"), op: "attention-weights", expected: expectAttentionWeights(inputs, a) };
    yield {
      name: at("attention"),
      op: "attention-mix",
      expected: expectAttentionMix({ ...inputs, weights: value("attentionWeights") }, a),
    };
    yield { name: at("attentionOutput"), ...linear(value("attention"), layer.oProj) };
    yield { name: at("attentionResidual"), op: "add", expected: expectAdd(stream, value("attentionOutput"), T * D, a) };
    yield {
      name: at("postAttentionLayernorm"),
      op: "rms-norm",
      expected: expectRmsNorm(value("attentionResidual"), layer.postAttentionLayernorm, eps, T, a),
    };
    yield { name: at("gate"), ...linear(value("postAttentionLayernorm"), layer.gateProj) };
    yield { name: at("up"), ...linear(value("postAttentionLayernorm"), layer.upProj) };
    yield { name: at("siluMul"), op: "silu-mul", expected: expectSiluMul(value("gate"), value("up"), T * F, a) };
    yield { name: at("mlp"), ...linear(value("siluMul"), layer.downProj) };
    yield { name: at("residual"), op: "add", expected: expectAdd(value("attentionResidual"), value("mlp"), T * D, a) };
    stream = value("residual");
  }
  yield { name: "finalNorm", op: "rms-norm", expected: expectRmsNorm(stream, weights.norm, eps, T, a) };
  yield { name: "logits", op: "matmul", expected: expectMatmul(of("finalNorm"), weights.lmHead, null, T, a) };
}

/** Largest |a − b|; a NaN on one side only is infinitely far. */
function farthest(a: Float32Array, b: Float32Array): { distance: number; distanceIndex: number } {
  let distance = 0;
  let distanceIndex = 0;
  for (let i = 0; i < a.length; i++) {
    const gap = a[i] === b[i] || (Number.isNaN(a[i]) && Number.isNaN(b[i])) ? 0 : Math.abs(a[i]! - b[i]!);
    const d = Number.isNaN(gap) ? Infinity : gap;
    if (d > distance) {
      distance = d;
      distanceIndex = i;
    }
  }
  return { distance, distanceIndex };
}

/**
 * Runs `ids` through both models from an empty cache and judges every step.
 * @param weights the same checkpoint in host memory
 * @param onStep after each step that was judged
 * @throws GureumError as Session.forward
 */
export async function diffModels(
  a: Model,
  b: Model,
  weights: LlamaWeights,
  ids: readonly number[],
  onStep?: (done: number, total: number) => void | Promise<void>,
): Promise<Diff> {
  const { config } = a;
  const run = async (model: Model): Promise<Values> => {
    const session = model.createSession(ids.length);
    try {
      return (await session.forward(ids, { logits: "all", trace: ["*", "layers.*.*"] })).trace;
    } finally {
      session.dispose();
    }
  };
  const valuesA = await run(a);
  const valuesB = await run(b);
  const expectedB = expectations(config, weights, ids, valuesB, arithmeticOf(b));
  const steps: DiffStep[] = [];
  let first: Diff["first"] = null;
  for (const { name, op, expected } of expectations(config, weights, ids, valuesA, arithmeticOf(a))) {
    const { shape, data } = valuesA.get(name)!;
    const other = valuesB.get(name)!.data;
    const step: DiffStep = {
      name,
      op,
      shape,
      ...farthest(data, other),
      a: compare(data, expected),
      b: compare(other, expectedB.next().value!.expected),
    };
    steps.push(step);
    for (const side of ["a", "b"] as const) if ((step[side]?.headroom ?? 0) > 1) first ??= { step, side };
    await onStep?.(steps.length, valuesA.size);
  }
  return { steps, first };
}
