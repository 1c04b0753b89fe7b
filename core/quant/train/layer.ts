/**
 * One transformer layer forward, keeping what the way back needs, and backward. The steps are those of
 * core/model/llama.ts; sequences lie one after the other in the rows, each from position 0.
 */
import type { LlamaConfig } from "../../config.ts";
import { type LayerTree, type LinearName, makeLayer } from "../../model/layer.ts";
import type { RopeTables } from "../../ops/rope.ts";
import { attend, attentionBackward } from "./attention.ts";
import { linearInputs, linearWeights, rmsNormBackward, ropeBackward, siluMulBackward } from "./backward.ts";
import type { Floats, Numbers } from "./numbers.ts";

/** A weight [N, K] and bias [N]. */
export interface TrainedLinear {
  readonly W: Floats;
  readonly bias: Floats | null;
  readonly N: number;
  readonly K: number;
}
export type TrainedLayer = LayerTree<TrainedLinear, Floats>;
/** ∂L of each weight and norm. */
export type LayerGradients = LayerTree<Floats, Floats>;

/** How long each sequence is; Σ = T. */
export type Lengths = readonly number[];

/** What a layer keeps of its way forward. */
export interface Kept {
  readonly x: Floats;
  readonly normed: Floats;
  /** Before and behind the heads' norms; the same array without them. */
  readonly rawQ: Floats;
  readonly rawK: Floats;
  readonly q: Floats;
  readonly k: Floats;
  readonly v: Floats;
  readonly mixed: Floats;
  readonly between: Floats;
  readonly normed2: Floats;
  readonly gate: Floats;
  readonly up: Floats;
  readonly act: Floats;
}

export const norm = ({ make }: Pick<Numbers, "make">, x: Floats, w: Floats, eps: number): Floats => {
  const D = w.length;
  const out = make(x.length);
  for (let row = 0; row < x.length; row += D) {
    let squares = 0;
    for (let d = 0; d < D; d++) squares += x[row + d]! * x[row + d]!;
    const r = 1 / Math.sqrt(squares / D + eps);
    for (let d = 0; d < D; d++) out[row + d] = x[row + d]! * r * w[d]!;
  }
  return out;
};

const linear = (numbers: Numbers, x: Floats, { W, bias, N, K }: TrainedLinear, T: number): Floats => {
  const out = numbers.product(x, W, T, N, K);
  if (bias) for (let t = 0; t < T; t++) for (let n = 0; n < N; n++) out[t * N + n] = out[t * N + n]! + bias[n]!;
  return out;
};

/** x with each sequence's heads turned to their positions: a copy. */
const rotated = (x: Floats, { halfDim, cos, sin }: RopeTables, lengths: Lengths, heads: number): Floats => {
  const out = x.slice();
  let row = 0;
  for (const T of lengths)
    for (let t = 0; t < T; t++, row++)
      for (let h = 0; h < heads; h++) {
        const first = (row * heads + h) * 2 * halfDim;
        for (let i = 0; i < halfDim; i++) {
          const c = cos[t * halfDim + i]!;
          const s = sin[t * halfDim + i]!;
          const [a, b] = [x[first + i]!, x[first + halfDim + i]!];
          out[first + i] = a * c - b * s;
          out[first + halfDim + i] = b * c + a * s;
        }
      }
  return out;
};

/** The part of each sequence in arrays of so many numbers a row. */
function* sequences(lengths: Lengths, width: number): Generator<readonly [from: number, to: number, T: number]> {
  let row = 0;
  for (const T of lengths) {
    yield [row * width, (row + T) * width, T];
    row += T;
  }
}

/** x + attention + feed-forward, [T, D], and what was kept on the way. */
export function forward(
  numbers: Numbers,
  config: LlamaConfig,
  layer: TrainedLayer,
  tables: RopeTables,
  x: Floats,
  lengths: Lengths,
): { out: Floats; kept: Kept } {
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow: window } = config;
  const T = x.length / D;
  const normed = norm(numbers, x, layer.inputLayernorm, eps);
  const rawQ = linear(numbers, normed, layer.qProj, T);
  const rawK = linear(numbers, normed, layer.kProj, T);
  const v = linear(numbers, normed, layer.vProj, T);
  const q = rotated(layer.qNorm ? norm(numbers, rawQ, layer.qNorm, eps) : rawQ, tables, lengths, H);
  const k = rotated(layer.kNorm ? norm(numbers, rawK, layer.kNorm, eps) : rawK, tables, lengths, G);
  const mixed = numbers.make(T * H * Hd);
  const keys = [...sequences(lengths, G * Hd)];
  for (const [i, [from, to, rows]] of [...sequences(lengths, H * Hd)].entries()) {
    const [kFrom, kTo] = keys[i]!;
    attend(mixed.subarray(from, to), q.subarray(from, to), k.subarray(kFrom, kTo), v.subarray(kFrom, kTo), rows, { H, G, Hd, window });
  }
  const between = linear(numbers, mixed, layer.oProj, T);
  for (let i = 0; i < x.length; i++) between[i] = between[i]! + x[i]!;
  const normed2 = norm(numbers, between, layer.postAttentionLayernorm, eps);
  const gate = linear(numbers, normed2, layer.gateProj, T);
  const up = linear(numbers, normed2, layer.upProj, T);
  const act = numbers.make(gate.length);
  for (let i = 0; i < act.length; i++) act[i] = (gate[i]! / (1 + Math.exp(-gate[i]!))) * up[i]!;
  const out = linear(numbers, act, layer.downProj, T);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! + between[i]!;
  return { out, kept: { x, normed, rawQ, rawK, q, k, v, mixed, between, normed2, gate, up, act } };
}

/** Of dy = ∂L/∂out: ∂L/∂x, and the gradients of weights and norms. */
export function backward(
  numbers: Numbers,
  config: LlamaConfig,
  layer: TrainedLayer,
  tables: RopeTables,
  kept: Kept,
  lengths: Lengths,
  dy: Floats,
): { dx: Floats; gradients: LayerGradients } {
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, slidingWindow: window } = config;
  const { make } = numbers;
  const T = dy.length / D;
  const weights: Partial<Record<LinearName, Floats>> = {};
  /** Takes the gradient of a linear's weight, and gives that of its input. */
  const through = (name: LinearName, d: Floats, x: Floats): Floats => {
    const { W, N, K } = layer[name];
    weights[name] = linearWeights(numbers, d, x, T, N, K);
    return linearInputs(numbers, d, W, T, N, K);
  };
  const add = (to: Floats, from: Floats): Floats => {
    for (let i = 0; i < to.length; i++) to[i] = to[i]! + from[i]!;
    return to;
  };
  const norms = {
    inputLayernorm: make(D),
    postAttentionLayernorm: make(D),
    qNorm: layer.qNorm && make(Hd),
    kNorm: layer.kNorm && make(Hd),
  };

  // The feed-forward network, from its end.
  const dAct = through("downProj", dy, kept.act);
  const [dGate, dUp] = [make(dAct.length), make(dAct.length)];
  siluMulBackward(dGate, dUp, dAct, kept.gate, kept.up);
  const dNormed2 = add(through("gateProj", dGate, kept.normed2), through("upProj", dUp, kept.normed2));
  rmsNormBackward(dNormed2, norms.postAttentionLayernorm, dNormed2, kept.between, layer.postAttentionLayernorm, eps, T);
  const dBetween = add(dNormed2, dy);

  // Attention.
  const dMixed = through("oProj", dBetween, kept.mixed);
  const [dq, dk, dv] = [make(T * H * Hd), make(T * G * Hd), make(T * G * Hd)];
  const keys = [...sequences(lengths, G * Hd)];
  for (const [i, [from, to, rows]] of [...sequences(lengths, H * Hd)].entries()) {
    const [a, b] = keys[i]!;
    const own = dq.subarray(from, to);
    const ownK = dk.subarray(a, b);
    const shape = { H, G, Hd, window };
    const [q, k, v] = [kept.q.subarray(from, to), kept.k.subarray(a, b), kept.v.subarray(a, b)];
    attentionBackward(own, ownK, dv.subarray(a, b), dMixed.subarray(from, to), q, k, v, rows, shape);
    ropeBackward(own, tables, rows, H);
    ropeBackward(ownK, tables, rows, G);
  }
  if (layer.qNorm) rmsNormBackward(dq, norms.qNorm!, dq, kept.rawQ, layer.qNorm, eps, T * H);
  if (layer.kNorm) rmsNormBackward(dk, norms.kNorm!, dk, kept.rawK, layer.kNorm, eps, T * G);
  const dNormed = add(add(through("qProj", dq, kept.normed), through("kProj", dk, kept.normed)), through("vProj", dv, kept.normed));
  rmsNormBackward(dNormed, norms.inputLayernorm, dNormed, kept.x, layer.inputLayernorm, eps, T);
  const gradients = makeLayer(
    ({ name }) => weights[name]!,
    ({ name }) => norms[name],
  );
  return { dx: add(dNormed, dBetween), gradients };
}
