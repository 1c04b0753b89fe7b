/**
 * A training's whole state, and its two kinds of work, each of which falls into parts that any thread may do: the gradients
 * of some texts, and the move of one linear. What is summed is summed in a fixed order, so the numbers of parts and not of
 * threads decide the bits. Either a whole model is trained, judged by its head, or a layer by itself, by its outputs.
 */
import type { LlamaConfig } from "../../config.ts";
import { type LinearName, linearParts, makeLayer } from "../../model/layer.ts";
import type { RopeTables } from "../../ops/rope.ts";
import { type Adam, makeAdam } from "./adam.ts";
import { type Latent, weightsInto } from "./latent.ts";
import type { LayerGradients, TrainedLayer } from "./layer.ts";
import type { Allocate, Floats } from "./numbers.ts";

/** A layer that is trained. */
export interface LatentLayer {
  readonly latents: Readonly<Record<LinearName, Latent>>;
  readonly biases: Readonly<Record<LinearName, Float32Array | null>>;
  readonly norms: Readonly<Record<NormName, Float32Array | null>>;
}
export type NormName = "inputLayernorm" | "postAttentionLayernorm" | "qNorm" | "kNorm";
export const normNames: readonly NormName[] = ["inputLayernorm", "postAttentionLayernorm", "qNorm", "kNorm"];

/** A text as a layer reads it, [T, D], and what the layer is to give of it, [T, D]. */
export interface Lesson {
  readonly input: Float32Array;
  readonly aim: Float32Array;
}

/** What makes logits of the last layer's stream. */
export interface Head {
  /** [D] */
  readonly norm: Float32Array;
  /** [V, D] */
  readonly weight: Float32Array;
}

/** What a layer by itself learns from: its outputs are judged by their squared difference from the aims. */
export interface StreamTask {
  readonly kind: "streams";
  readonly lessons: readonly Lesson[];
}

/**
 * What a whole model learns from: texts, whose next ids are judged by KL(float ‖ own). The float layers make the aim of each text whenever it is read,
 * so that nothing is kept of a text but its ids.
 */
export interface TextTask {
  readonly kind: "texts";
  readonly texts: readonly ArrayLike<number>[];
  /** [V, D] */
  readonly embeddings: Float32Array;
  readonly float: readonly TrainedLayer[];
  readonly head: Head;
}

/** How long each of these texts of a task is; of all of them, where none are named. */
export function lengthsOf(
  task: StreamTask | TextTask,
  { hiddenSize: D }: Pick<LlamaConfig, "hiddenSize">,
  texts?: readonly number[],
): number[] {
  const chosen = <T>(all: readonly T[]): readonly T[] => texts?.map((i) => all[i]!) ?? all;
  return task.kind === "texts" ? chosen(task.texts).map(({ length }) => length) : chosen(task.lessons).map(({ input }) => input.length / D);
}

/** How fast what is trained moves, and for how long. */
export interface Pace {
  readonly steps: number;
  /** Tokens of a step, about. */
  readonly tokens: number;
  /** Of latents, in steps of the grid. */
  readonly rate: number;
  /** Of scales and norms, in proportion to them. */
  readonly scaleRate: number;
}

/** What Adam remembers of a layer. */
export interface LayerAdams {
  readonly u: Readonly<Record<LinearName, Adam>>;
  readonly scales: Readonly<Record<LinearName, Adam>>;
  readonly norms: Readonly<Record<NormName, Adam | null>>;
}

/** Everything that work reads and writes. */
export interface Training {
  readonly config: LlamaConfig;
  readonly tables: RopeTables;
  readonly task: StreamTask | TextTask;
  readonly layers: readonly LatentLayer[];
  /** What the layers stand for. */
  readonly dense: readonly TrainedLayer[];
  /** Of each linear's latents and scales, and of each norm. */
  readonly adams: readonly LayerAdams[];
  /** By slice of a step's texts, then by layer. */
  readonly gradients: readonly (readonly LayerGradients[])[];
  /** What each slice lost. */
  readonly losses: Float32Array;
}

/** One kind of work; its parts are numbered from 0. */
export type Work =
  /** Gradients of slice i: its texts. */
  | { readonly kind: "slices"; readonly texts: readonly (readonly number[])[] }
  /** Step `step` of linear i of all layers' linears, or of the norms of a layer; by `share` of the rates. */
  | { readonly kind: "moves"; readonly step: number; readonly share: number; readonly pace: Pace };

/** Bytes of gradients, at most, and slices. */
const GRADIENT_BYTES = 2 ** 31;
const SLICES = 16;

/** The state before the first step; arrays are copied to ones of `allocate`. */
export function makeTraining(allocate: Allocate, given: Pick<Training, "config" | "tables" | "task" | "layers">): Training {
  const copy = <A extends Floats | null>(values: A): A => {
    if (!values) return values;
    const out = allocate(values.length);
    out.set(values);
    return out as Floats as A;
  };
  const byLinear = <V>(make: (name: LinearName) => V): Record<LinearName, V> =>
    Object.fromEntries(linearParts.map(({ name }) => [name, make(name)])) as Record<LinearName, V>;
  const byNorm = <V>(make: (name: NormName) => V): Record<NormName, V> =>
    Object.fromEntries(normNames.map((name) => [name, make(name)])) as Record<NormName, V>;
  const layers = given.layers.map(({ latents, biases, norms }) => ({
    latents: byLinear((name) => ({ ...latents[name], u: copy(latents[name].u), scales: copy(latents[name].scales) })),
    biases: byLinear((name) => copy(biases[name])),
    norms: byNorm((name) => copy(norms[name])),
  }));
  const parameters = layers.reduce((sum, { latents }) => sum + linearParts.reduce((own, { name }) => own + latents[name].u.length, 0), 0);
  const slices = Math.max(1, Math.min(SLICES, Math.floor(GRADIENT_BYTES / (4 * parameters))));
  const dense = layers.map(({ latents, biases, norms }) =>
    makeLayer<TrainedLayer["qProj"], Floats>(
      ({ name }) => {
        const { N, K } = latents[name];
        const W = allocate(N * K);
        weightsInto(W, latents[name]);
        return { W, bias: biases[name], N, K };
      },
      ({ name }) => norms[name],
    ),
  );
  const gradients = Array.from({ length: slices }, () =>
    layers.map(({ latents, norms }) =>
      makeLayer<Floats, Floats>(
        ({ name }) => allocate(latents[name].u.length),
        ({ name }) => norms[name] && allocate(norms[name].length),
      ),
    ),
  );
  const adams = layers.map(({ latents, norms }) => ({
    u: byLinear((name) => makeAdam(allocate, latents[name].u.length)),
    scales: byLinear((name) => makeAdam(allocate, latents[name].scales.length)),
    norms: byNorm((name) => norms[name] && makeAdam(allocate, norms[name].length)),
  }));
  const copied = (task: StreamTask | TextTask): StreamTask | TextTask => {
    if (task.kind === "streams")
      return { ...task, lessons: task.lessons.map(({ input, aim }) => ({ input: copy(input), aim: copy(aim) })) };
    const float = task.float.map((layer) =>
      makeLayer<TrainedLayer["qProj"], Floats>(
        ({ name }) => ({ ...layer[name], W: copy(layer[name].W), bias: copy(layer[name].bias) }),
        ({ name }) => copy(layer[name]),
      ),
    );
    const { norm, weight } = task.head;
    const head = { norm: copy(norm), weight: copy(weight) };
    return { ...task, float, head, embeddings: task.embeddings === weight ? head.weight : copy(task.embeddings) };
  };
  return { ...given, task: copied(given.task), layers, dense, adams, gradients, losses: allocate(slices) };
}

/** Parts of a kind of work. */
export const partsOf = ({ layers, gradients }: Training, work: Work): number =>
  work.kind === "slices" ? gradients.length : layers.length * (linearParts.length + 1);
