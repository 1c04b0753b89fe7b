/**
 * A whole model trained on a GPU (core/quant/train, twin of its work): weights, what is kept of the way forward and
 * Adam's memory stay on the device; a step is one submission. Rows of a step are a fixed number, filled with texts.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import { type LinearName, linearParts } from "../../core/model/layer.ts";
import type { RopeTables } from "../../core/ops/rope.ts";
import { allocate, freeAll, makeMemory, readF32, upload, usage, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { type Kernel, spread } from "../pipeline/kernel.ts";
import { makeRecorder, type PreparedDispatch, prepare, type Recorder, replay } from "../pipeline/recorder.ts";
import { attendBack, attendKeys, distil, gateBack, moveLatents, moveNorm, normBack } from "./backward-kernels.ts";
import { across, checkSteps, makeLayerSteps } from "./layer-steps.ts";

type NormName = "inputLayernorm" | "postAttentionLayernorm";
const normNames: readonly NormName[] = ["inputLayernorm", "postAttentionLayernorm"];

/** What a trainer is made for. */
export interface TrainerOptions {
  readonly config: LlamaConfig;
  readonly tables: RopeTables;
  readonly bits: number;
  readonly groupSize: number;
  /** Rows of a step, a multiple of 16. */
  readonly rows: number;
  /** Rows of a text, at most; LONGEST at most. */
  readonly longest: number;
  /** [D] */
  readonly norm: Float32Array<ArrayBuffer>;
  /** [V, D] */
  readonly head: Float32Array<ArrayBuffer>;
  /** [V, D] */
  readonly embeddings: Float32Array<ArrayBuffer>;
}

/** A text's ids; rows before `from` do not count. */
export interface TrainerText {
  readonly ids: ArrayLike<number>;
  readonly from?: number;
}

/** Which model weights belong to: the one that is trained, or the float one that it is to come near to. */
export type Of = "own" | "float";

/** A step's rates, with Adam's corrections in them. */
export interface StepRates {
  readonly rate: number;
  readonly scaleRate: number;
  readonly second: number;
}

export interface LinearState {
  readonly u: Float32Array<ArrayBuffer>;
  readonly scales: Float32Array<ArrayBuffer>;
  readonly zeros: Float32Array<ArrayBuffer>;
}

/** A model on the device, to be trained. */
export interface Trainer {
  setWeights(of: Of, layer: number, name: LinearName, W: Float32Array<ArrayBuffer>): void;
  setNorm(of: Of, layer: number, name: NormName, w: Float32Array<ArrayBuffer>): void;
  /** Where training begins; Adam's memory is emptied. */
  setLatents(layer: number, name: LinearName, state: LinearState): void;
  latents(layer: number, name: LinearName): Promise<{ readonly u: Float32Array; readonly scales: Float32Array }>;
  norm(layer: number, name: NormName): Promise<Float32Array>;
  /** Σ KL of texts over the rows that count, and how many those are. */
  judge(texts: readonly TrainerText[]): Promise<{ readonly loss: number; readonly rows: number }>;
  /** The same before a step, and the step. */
  step(texts: readonly TrainerText[], rates: StepRates): Promise<{ readonly loss: number; readonly rows: number }>;
  close(): void;
}

/** @throws GureumError "unsupported" for models that a trainer cannot be made for */
export function checkTrainer(config: LlamaConfig): void {
  const where = "training on WebGPU";
  checkSteps(config, where);
  if (config.vocabSize % 16 !== 0)
    throw new GureumError("unsupported", { where, what: `${config.vocabSize} ids, no multiple of 16`, remedy: "take --backend cpu" });
}

export async function makeTrainer(gpu: Gpu, options: TrainerOptions): Promise<Trainer> {
  const { config, tables, bits, groupSize, rows: T, longest } = options;
  checkTrainer(config);
  const {
    hiddenSize: D,
    intermediateSize: F,
    numAttentionHeads: H,
    numKeyValueHeads: G,
    headDim: Hd,
    vocabSize: V,
    numHiddenLayers: L,
    rmsNormEps: eps,
  } = config;
  const memory = makeMemory(gpu);
  const f32 = (label: string, length: number): GPUBuffer => allocate(memory, label, 4 * length);
  const ids = f32("ids", T);
  const first = f32("first", T);
  const spans = f32("spans", 2 * T);
  const scored = f32("scored", T);
  const pace = allocate(memory, "pace", 16, usage.UNIFORM | usage.COPY_DST);
  const finalNorm = upload(memory, "norm", options.norm);
  const head = upload(memory, "head", options.head);
  const embeddings = options.embeddings === options.head ? head : upload(memory, "embeddings", options.embeddings);
  const headTurned = f32("head turned", V * D);
  const widths = Math.max(D, F, H * Hd);
  const weightSizes = linearParts.map(({ outFeatures, inFeatures }) => outFeatures(config) * inFeatures(config));
  const most = Math.max(...weightSizes);
  const layers = Array.from({ length: L }, (_, l) => ({
    linears: Object.fromEntries(
      linearParts.map(({ name, outFeatures, inFeatures }) => {
        const [N, K] = [outFeatures(config), inFeatures(config)];
        const groups = (N * K) / groupSize;
        const buffer = (what: string, length: number): GPUBuffer => f32(`layers.${l}.${name}.${what}`, length);
        const state = {
          u: buffer("u", N * K),
          adam: buffer("adam", 2 * N * K),
          zeros: buffer("zeros", groups),
          scales: buffer("scales", groups),
          scaleAdam: buffer("scaleAdam", 2 * groups),
        };
        return [name, { N, K, groups, W: buffer("W", N * K), float: buffer("float", N * K), ...state }] as const;
      }),
    ) as Record<
      LinearName,
      { N: number; K: number; groups: number } & Record<"W" | "float" | "u" | "adam" | "zeros" | "scales" | "scaleAdam", GPUBuffer>
    >,
    norms: Object.fromEntries(
      normNames.map((name) => [name, { w: f32(name, D), float: f32(name, D), adam: f32("adam", 2 * D) }]),
    ) as Record<NormName, Record<"w" | "float" | "adam", GPUBuffer>>,
    kept: {
      x: f32("x", T * D),
      normed: f32("normed", T * D),
      q: f32("q", T * H * Hd),
      k: f32("k", T * G * Hd),
      v: f32("v", T * G * Hd),
      mixed: f32("mixed", T * H * Hd),
      between: f32("between", T * D),
      normed2: f32("normed2", T * D),
      gate: f32("gate", T * F),
      up: f32("up", T * F),
      act: f32("act", T * F),
    },
  }));
  const out = f32("out", T * D);
  const aim = f32("aim", T * D);
  const [a, b, c, d] = ["a", "b", "c", "d"].map((label) => f32(label, T * widths)) as [GPUBuffer, GPUBuffer, GPUBuffer, GPUBuffer];
  const products = f32("products", T * D);
  const [turnedLeft, turnedRight] = [f32("turned left", Math.max(T * widths, most)), f32("turned right", T * widths)];
  const dW = f32("dW", most);
  const [P, dS] = [f32("P", T * H * longest), f32("dS", T * H * longest)];
  const [z, base, kl] = [f32("z", T * V), f32("base", T * V), f32("kl", T)];

  const steps = makeLayerSteps(memory, config, tables, longest);
  const { run, product, turned } = steps;
  const norm = (r: Recorder, to: GPUBuffer, x: GPUBuffer, weight: GPUBuffer): void => steps.norm(r, to, x, weight, T);
  const addTo = (r: Recorder, x: GPUBuffer, y: GPUBuffer): void => steps.addTo(r, x, y, T, D);
  const shape = { H, G, Hd, longest };

  /** All layers of either model, in the same rooms: what the later one keeps stays. */
  const through = (r: Recorder, of: Of, end: GPUBuffer): void => {
    for (const [l, { linears, norms, kept: s }] of layers.entries()) {
      const weights =
        of === "own"
          ? linears
          : (Object.fromEntries(Object.entries(linears).map(([name, linear]) => [name, { ...linear, W: linear.float }])) as typeof linears);
      const normOf = (name: NormName): GPUBuffer => norms[name][of === "own" ? "w" : "float"];
      norm(r, s.normed, s.x, normOf("inputLayernorm"));
      steps.attention(r, s.between, s.normed, weights, s, first, T);
      addTo(r, s.between, s.x);
      norm(r, s.normed2, s.between, normOf("postAttentionLayernorm"));
      const next = layers[l + 1]?.kept.x ?? end;
      steps.feedForward(r, next, s.normed2, weights, s, T);
      addTo(r, next, s.between);
    }
  };
  const forward = makeRecorder();
  steps.embed(forward, layers[0]!.kept.x, ids, embeddings, T);
  through(forward, "float", aim);
  through(forward, "own", out);

  const judge = makeRecorder();
  norm(judge, a, aim, finalNorm);
  product(judge, base, a, head, T, V, D);
  norm(judge, a, out, finalNorm);
  product(judge, z, a, head, T, V, D);
  run(judge, distil as Kernel, { scored, base, z, kl }, { V }, [T, 1, 1]);

  const back = makeRecorder();
  turned(back, headTurned, head, V, D);
  product(back, a, z, headTurned, T, D, V);
  run(back, normBack as Kernel, { x: out, w: finalNorm, dy: a, dx: b, products }, { D, eps }, [T, 1, 1]);
  // b holds ∂L/∂out of each layer in turn.
  for (let l = L - 1; l >= 0; l--) {
    const { linears, norms, kept: s } = layers[l]!;
    /** to = dy W, then a step of the linear by dyᵀ x. */
    const linearBack = (name: LinearName, dy: GPUBuffer, x: GPUBuffer, to: GPUBuffer): void => {
      const { N, K, groups, W, u, adam, zeros, scales, scaleAdam } = linears[name];
      turned(back, turnedLeft, W, N, K);
      product(back, to, dy, turnedLeft, T, K, N);
      turned(back, turnedLeft, dy, T, N);
      turned(back, turnedRight, x, T, K);
      product(back, dW, turnedLeft, turnedRight, N, K, T);
      const step = { groups, groupSize, top: 2 ** bits - 1 };
      run(back, moveLatents as Kernel, { pace, zeros, dW, u, adam, scales, scaleAdam, W }, step, spread(groups));
    };
    const normsBack = (name: NormName, x: GPUBuffer, dy: GPUBuffer, dx: GPUBuffer): void => {
      const { w, adam } = norms[name];
      run(back, normBack as Kernel, { x, w, dy, dx, products }, { D, eps }, [T, 1, 1]);
      run(back, moveNorm as Kernel, { pace, products, adam, w }, { T, D }, [D, 1, 1]);
    };
    linearBack("downProj", b, s.act, a);
    run(back, gateBack as Kernel, { g: s.gate, u: s.up, dy: a, dg: c, du: d }, { length: T * F }, across(T * F));
    linearBack("gateProj", c, s.normed2, a);
    linearBack("upProj", d, s.normed2, c);
    addTo(back, a, c);
    normsBack("postAttentionLayernorm", s.between, a, c);
    addTo(back, b, c);
    linearBack("oProj", b, s.mixed, a);
    run(back, attendBack as Kernel, { first, q: s.q, k: s.k, v: s.v, dy: a, dq: c, P, dS }, shape, [T, H, 1]);
    // The values' gradient goes where no one reads any more.
    run(back, attendKeys as Kernel, { spans, q: s.q, dy: a, P, dS, dk: d, dv: s.gate }, shape, [T, G, 1]);
    steps.rotate(back, first, c, T, H, -1);
    steps.rotate(back, first, d, T, G, -1);
    linearBack("qProj", c, s.normed, a);
    linearBack("kProj", d, s.normed, c);
    addTo(back, a, c);
    linearBack("vProj", s.gate, s.normed, c);
    addTo(back, a, c);
    normsBack("inputLayernorm", s.x, a, c);
    addTo(back, b, c);
  }
  const [goForward, goJudge, goBack] = await Promise.all([forward, judge, back].map((recorder) => prepare(recorder, memory)));

  const bytesOf = (values: Float32Array | Uint32Array): Uint8Array<ArrayBuffer> =>
    new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
  /** Puts texts into the rows; how many rows count. */
  const feed = (texts: readonly TrainerText[]): number => {
    const [tokens, share] = [new Uint32Array(T), new Float32Array(T)];
    const begins = Uint32Array.from({ length: T }, (_, t) => t);
    const both = Uint32Array.from({ length: 2 * T }, (_, i) => (i % 2 === 0 ? i / 2 : (i + 1) / 2));
    let at = 0;
    let counted = 0;
    for (const { ids: own, from = 0 } of texts) {
      const rows = own.length;
      if (rows > longest || at + rows > T)
        throw new GureumError("range", { where: "training", what: "rows of texts", expected: `at most ${T}, ${longest} in one` });
      tokens.set(own, at);
      for (let t = at; t < at + rows; t++) {
        begins[t] = at;
        both[2 * t] = at;
        both[2 * t + 1] = at + rows;
        share[t] = t - at >= from ? 1 : 0;
        counted += share[t]!;
      }
      at += rows;
    }
    writeBytes(gpu, ids, 0, bytesOf(tokens));
    writeBytes(gpu, first, 0, bytesOf(begins));
    writeBytes(gpu, spans, 0, bytesOf(both));
    writeBytes(gpu, scored, 0, bytesOf(share));
    return counted;
  };
  const go = (lists: readonly PreparedDispatch[][]): Promise<void> =>
    guarded(gpu, "training", () => {
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const list of lists) replay(pass, list, T, 0);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
    });
  const lost = async (): Promise<number> => (await readF32(gpu, kl, T)).reduce((sum, value) => sum + value, 0);

  return {
    setWeights: (of, l, name, W) => writeBytes(gpu, layers[l]!.linears[name][of === "own" ? "W" : "float"], 0, bytesOf(W)),
    setNorm: (of, l, name, w) => writeBytes(gpu, layers[l]!.norms[name][of === "own" ? "w" : "float"], 0, bytesOf(w)),
    setLatents(l, name, { u, scales, zeros }) {
      const to = layers[l]!.linears[name];
      writeBytes(gpu, to.u, 0, bytesOf(u));
      writeBytes(gpu, to.scales, 0, bytesOf(scales));
      writeBytes(gpu, to.zeros, 0, bytesOf(zeros));
      writeBytes(gpu, to.adam, 0, new Uint8Array(8 * to.N * to.K));
      writeBytes(gpu, to.scaleAdam, 0, new Uint8Array(8 * to.groups));
      for (const norm of Object.values(layers[l]!.norms)) writeBytes(gpu, norm.adam, 0, new Uint8Array(8 * D));
    },
    async latents(l, name) {
      const { u, scales, N, K, groups } = layers[l]!.linears[name];
      return { u: await readF32(gpu, u, N * K), scales: await readF32(gpu, scales, groups) };
    },
    norm: (l, name) => readF32(gpu, layers[l]!.norms[name].w, D),
    async judge(texts) {
      const rows = feed(texts);
      await go([goForward!, goJudge!]);
      return { loss: await lost(), rows };
    },
    async step(texts, { rate, scaleRate, second }) {
      const rows = feed(texts);
      writeBytes(gpu, pace, 0, bytesOf(Float32Array.of(rate, scaleRate, second, 0)));
      await go([goForward!, goJudge!, goBack!]);
      return { loss: await lost(), rows };
    },
    close: () => freeAll(memory),
  };
}
