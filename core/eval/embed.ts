/**
 * Hidden states of a text as one vector: rows h[t] [D] of the final norm, what transformers calls the last hidden state, pooled over the
 * text's T positions.
 */
import { shown } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import { allFinite } from "../model/non-finite.ts";
import type { EvaluatedModel } from "./perplexity.ts";

/** How a text becomes a vector. */
export interface EmbedOptions {
  /** "mean", the default: Σ h[t] / T, the sum in f64; "last": h[T − 1]. */
  readonly pooling?: "mean" | "last";
  /** Divide by √Σ v²: then the dot product of two vectors is their cosine. */
  readonly normalize?: boolean;
}

/** Positions fed at a time, which bounds what a watched pass keeps. */
const CHUNK = 128;

/**
 * v [D] of the ids of a text.
 * @throws GureumError "range" for no ids or one outside the vocabulary, "usage" for another pooling, "non-finite", "context"
 */
export async function embedIds(
  model: EvaluatedModel,
  ids: readonly number[],
  { pooling = "mean", normalize = false }: EmbedOptions = {},
): Promise<Float32Array> {
  if (pooling !== "mean" && pooling !== "last")
    throw new GureumError("usage", { where: "embed", what: "pooling", expected: '"mean" or "last"', got: shown(pooling) });
  if (typeof normalize !== "boolean")
    throw new GureumError("usage", { where: "embed", what: "normalize", expected: "true or false", got: shown(normalize) });
  const D = model.config.hiddenSize;
  const sum = new Float64Array(D);
  let last: Float32Array = new Float32Array(D);
  const session = model.createSession(Math.max(1, ids.length));
  try {
    for (let t = 0; t === 0 || t < ids.length; t += CHUNK) {
      const { trace } = await session.forward(ids.slice(t, t + CHUNK), { trace: ["finalNorm"] });
      const { data } = trace.get("finalNorm")!;
      for (let i = 0; i < data.length; i++) sum[i % D] = sum[i % D]! + data[i]!;
      last = data.slice(data.length - D);
    }
  } finally {
    session.dispose();
  }
  const pooled = pooling === "last" ? last : Float32Array.from(sum, (total) => total / ids.length);
  const length = normalize ? Math.sqrt(pooled.reduce((squares, v) => squares + v * v, 0)) : 1;
  const vector = length > 0 ? pooled.map((v) => v / length) : pooled;
  if (!allFinite(vector))
    throw new GureumError("non-finite", {
      where: "embed",
      what: "NaN or infinity in the final norm",
      expected: "finite numbers",
      remedy: "gureum diff names the first step that is wrong",
    });
  return vector;
}
