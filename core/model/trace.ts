/**
 * Tap points: the named values of a forward pass, to look at (trace) or to replace (steer). The names are the same for
 * every backend; docs/notation.md says what each holds.
 */

import { checkCallback, checkOptionsObject, wrongType } from "../arguments.ts";
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { namesParts } from "../names.ts";
import type { ForwardOptions, TapHook, TraceValue } from "./engine.ts";

/** Values of one layer, in the order they arise; full name `layers.<i>.<name>`. */
export const layerTapNames = [
  "inputLayernorm",
  "q",
  "k",
  "v",
  "qNorm",
  "kNorm",
  "qRope",
  "kRope",
  "attentionWeights",
  "attention",
  "attentionOutput",
  "attentionResidual",
  "postAttentionLayernorm",
  "gate",
  "up",
  "siluMul",
  "mlp",
  "residual",
] as const;
export type LayerTapName = (typeof layerTapNames)[number];

/** Every tap point of a model, in the order of the computation. */
export function tapNames({ numHiddenLayers, qkNorm }: Pick<LlamaConfig, "numHiddenLayers" | "qkNorm">): string[] {
  const names = ["embeddings"];
  const own = layerTapNames.filter((name) => qkNorm || (name !== "qNorm" && name !== "kNorm"));
  for (let i = 0; i < numHiddenLayers; i++) for (const name of own) names.push(`layers.${i}.${name}`);
  names.push("finalNorm", "logits");
  return names;
}

/** Shape of a tap point for T new positions of S in all. */
export function tapShape(config: LlamaConfig, name: string, T: number, S: number): number[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, vocabSize: V } = config;
  switch (name.slice(name.lastIndexOf(".") + 1)) {
    case "q":
    case "qNorm":
    case "qRope":
      return [T, H, Hd];
    case "k":
    case "v":
    case "kNorm":
    case "kRope":
      return [T, G, Hd];
    case "attentionWeights":
      return [T, H, S];
    case "attention":
      return [T, H * Hd];
    case "gate":
    case "up":
    case "siluMul":
      return [T, F];
    case "logits":
      return [T, V];
    default:
      return [T, D];
  }
}

/** What of one forward call is watched. */
export interface Taps {
  /** Whether anybody asked for this name: a backend may skip or fuse what nobody did. */
  wants(name: string): boolean;
  /** Whether a hook may change this value. */
  steers(name: string): boolean;
  /** Hands the value on: kept in `values` if traced, replaced in place if steered. */
  visit(name: string, shape: readonly number[], data: Float32Array): void;
  readonly values: Map<string, TraceValue>;
}

/**
 * Resolves the patterns of `options` against the model's tap points.
 * @throws GureumError "usage" for a pattern that names no tap point; from `visit`: "shape" where a hook returns another
 * length.
 */
export function makeTaps(config: LlamaConfig, options: ForwardOptions): Taps {
  const { trace, steer } = options;
  if (trace !== undefined && !(Array.isArray(trace) && trace.every((name) => typeof name === "string")))
    throw wrongType("forward", "trace", "an array of names", trace);
  checkOptionsObject("forward > steer", steer);
  for (const [name, hook] of Object.entries(steer ?? {})) checkCallback("forward > steer", name, hook);
  const names = tapNames(config);
  const matching = (pattern: string): string[] => {
    const found = names.filter(namesParts(pattern));
    if (found.length === 0)
      throw new GureumError("usage", {
        where: "trace",
        what: "no such tap point",
        got: pattern,
        remedy: `names are embeddings, layers.<i>.{${layerTapNames.join(",")}}, finalNorm, logits`,
      });
    return found;
  };
  const traced = new Set((options.trace ?? []).flatMap(matching));
  const hooks = new Map<string, TapHook[]>();
  for (const [pattern, hook] of Object.entries(options.steer ?? {})) {
    for (const name of matching(pattern)) hooks.set(name, [...(hooks.get(name) ?? []), hook]);
  }
  const values = new Map<string, TraceValue>();
  return {
    values,
    wants: (name) => traced.has(name) || hooks.has(name),
    steers: (name) => hooks.has(name),
    visit(name, shape, data) {
      for (const hook of hooks.get(name) ?? []) {
        const replaced = hook({ name, shape, data: data.slice() });
        if (replaced === undefined) continue;
        const given: unknown = replaced;
        if (!(given instanceof Float32Array || given instanceof Float64Array || Array.isArray(given)))
          throw wrongType(`steer > ${name}`, "the replaced value", `nothing, or an array of ${data.length} elements`, given);
        if (replaced.length !== data.length)
          throw new GureumError("shape", {
            where: `steer > ${name}`,
            what: "replaced value",
            expected: `${data.length} elements`,
            got: `${replaced.length}`,
          });
        data.set(replaced);
      }
      if (traced.has(name)) values.set(name, { name, shape, data: data.slice() });
    },
  };
}

/** Taps that watch nothing. */
export const noTaps: Taps = { values: new Map(), wants: () => false, steers: () => false, visit() {} };
