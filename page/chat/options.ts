/** What the person chose of sampling; what was left alone is the model's own. */
import { effect, type Signal, signal } from "@preact/signals";
import type { SamplingOptions } from "../../core/model/engine.ts";
import { keep, kept } from "../shell/kept.ts";

export type Field = "temperature" | "topP" | "topK" | "minP" | "repetitionPenalty" | "seed";

/** The numbers that a field stands for, in the order of the form: name, step and range. */
export const fields: Readonly<Record<Field, { readonly step: number; readonly min: number; readonly max: number }>> = {
  temperature: { step: 0.1, min: 0, max: 10 },
  topP: { step: 0.05, min: 0, max: 1 },
  topK: { step: 1, min: 0, max: 100_000 },
  minP: { step: 0.01, min: 0, max: 1 },
  repetitionPenalty: { step: 0.05, min: 0.05, max: 10 },
  seed: { step: 1, min: 0, max: Number.MAX_SAFE_INTEGER },
};

export interface Options {
  readonly system: string;
  readonly maxNewTokens: number;
  /** Absent: the model's own. */
  readonly sampling: Readonly<Partial<Record<Field, number>>>;
}

const defaults: Options = { system: "", maxNewTokens: 256, sampling: {} };

const isOptions = (value: unknown): value is Options => {
  const { system, maxNewTokens, sampling } = (value ?? {}) as Partial<Options>;
  return typeof system === "string" && Number.isInteger(maxNewTokens) && typeof sampling === "object" && sampling !== null;
};

export const options: Signal<Options> = signal(kept("options", "sessionStorage", isOptions) ?? defaults);
effect(() => keep("options", "sessionStorage", options.value));

export function samplingOf({ sampling }: Options): Partial<SamplingOptions> {
  const { seed, ...rest } = sampling;
  return { ...rest, ...(seed === undefined ? {} : { seed: BigInt(seed) }) };
}

/** A field's text as its number: undefined, the model's own, for an empty one, and for what is out of its range. */
export function numberOf(name: Field, text: string): number | undefined {
  const { min, max, step } = fields[name];
  const value = Number(text);
  if (text.trim() === "" || !(value >= min && value <= max) || (step === 1 && !Number.isInteger(value))) return undefined;
  return value;
}
