/** Settings and stages that callers give, looked at before anything is computed; what own stages give, before it is used. */
import { checkOptionsObject, shown, wrongType } from "../../arguments.ts";
import { GureumError } from "../../errors.ts";
import { stages as ownStages, type Settings, type Stages } from "./stages.ts";

/** Values that a setting may have: some words, yes or no, or numbers from `least` to `most`. */
type Kind = readonly string[] | "flag" | { readonly least: number; readonly most: number; readonly whole: boolean };

const count = (most: number, least = 0): Kind => ({ least, most, whole: true });
const share: Kind = { least: 0, most: 1000, whole: false };

/** The choices on top of a method. */
type Choice = Exclude<keyof Settings, "bits" | "groupSize">;

/** What each may be. */
const choiceKinds: Readonly<Record<Choice, Kind>> = {
  scaleSteps: count(10_000),
  scaleBoth: "flag",
  scaleLoss: ["block", "absolute", "relative"],
  blockTexts: count(2 ** 20, 1),
  clip: ["none", "symmetric", "asymmetric"],
  rounding: ["nearest", "compensate"],
  order: ["natural", "falling"],
  damping: share,
  sweeps: count(10_000),
  refits: count(10_000),
  inputs: ["float", "quantized", "corrected"],
  blockSteps: count(2 ** 30),
  modelSteps: count(2 ** 30),
  ownTokens: count(2 ** 30),
  stepTokens: count(2 ** 30, 1),
  rate: share,
  scaleRate: share,
};

const kindOf = (where: string, name: string): Kind => {
  if (Object.hasOwn(choiceKinds, name)) return choiceKinds[name as Choice];
  throw new GureumError("usage", { where, what: "no such choice", expected: Object.keys(choiceKinds).join(", "), got: shown(name) });
};

function checkChoice(where: string, name: string, value: unknown): void {
  const kind = kindOf(where, name);
  const wrong = (expected: string): GureumError => new GureumError("usage", { where, what: name, expected, got: shown(value) });
  if (kind === "flag") {
    if (typeof value !== "boolean") throw wrong("true or false");
  } else if ("whole" in kind) {
    const { least, most, whole } = kind;
    const isIn = typeof value === "number" && value >= least && value <= most && (!whole || Number.isInteger(value));
    if (!isIn) throw wrong(`a ${whole ? "whole number" : "number"} from ${least} to ${most}`);
  } else if (!kind.includes(value as string)) throw wrong(kind.join(", "));
}

/** @throws GureumError "usage" for a choice that there is not, or a value that it cannot have */
export function checkChoices(where: string, given: Partial<Omit<Settings, "bits" | "groupSize">> | undefined): void {
  checkOptionsObject(`${where}: settings`, given);
  for (const [name, value] of Object.entries(given ?? {})) checkChoice(where, name, value);
}

/** NAME=VALUE as a choice. @throws GureumError as checkChoices */
export function parseChoice(where: string, word: string): readonly [string, string | number | boolean] {
  const at = word.indexOf("=");
  const name = at < 0 ? word : word.slice(0, at);
  const text = at < 0 ? "" : word.slice(at + 1);
  const kind = kindOf(where, name);
  const hasNumber = typeof kind === "object" && "whole" in kind && text.trim() !== "" && Number.isFinite(Number(text));
  const value = hasNumber ? Number(text) : kind === "flag" && (text === "true" || text === "false") ? text === "true" : text;
  checkChoice(where, name, value);
  return [name, value];
}

/** @throws GureumError "usage" for a stage that there is not, and for one that is not a function */
export function checkStages(where: string, given: Partial<Stages> | undefined): void {
  checkOptionsObject(`${where}: stages`, given, Object.fromEntries(Object.keys(ownStages).map((name) => [name, true])));
  for (const [name, stage] of Object.entries(given ?? {}))
    if (stage !== undefined && typeof stage !== "function") throw wrongType(where, `stage ${name}`, "a function", stage);
}

function checkNumbers(
  stage: string,
  what: string,
  values: unknown,
  kind: new (n: number) => ArrayLike<number>,
  length: number,
  fits: (x: number) => boolean,
  range: string,
): void {
  const wrong = (got: string): GureumError =>
    new GureumError("shape", { where: `stage ${stage}`, what, expected: `${kind.name} of ${length} ${range}`, got });
  if (!(values instanceof kind)) throw wrong(shown(values));
  if (values.length !== length) throw wrong(`${values.length}`);
  for (let i = 0; i < length; i++) if (!fits(values[i]!)) throw wrong(`${values[i]} at ${i}`);
}

const isNumber = (x: number): boolean => x - x === 0;

/**
 * The stages with some of the caller's in their place. What these give is checked: a NaN or an array of another length
 * would be written, or named as a fault of the weights.
 */
export function stagesWith({ scales, ranges, round }: Partial<Stages> = {}): Stages {
  return {
    scales(ops, group, settings) {
      if (!scales) return ownStages.scales(ops, group, settings);
      const given = scales(ops, group, settings);
      if (given !== null)
        checkNumbers("scales", "s", given, Float32Array, group.gram.K, (s) => isNumber(s) && s > 0, "numbers above 0, or null for none");
      return given;
    },
    ranges(ops, name, matrix, gram, settings) {
      if (!ranges) return ownStages.ranges(ops, name, matrix, gram, settings);
      const given = ranges(ops, name, matrix, gram, settings);
      const groups = matrix.W.length / settings.groupSize;
      checkNumbers("ranges", "low", given?.low, Float64Array, groups, isNumber, "finite numbers");
      checkNumbers("ranges", "high", given.high, Float64Array, groups, isNumber, "finite numbers");
      const at = given.low.findIndex((low, g) => low > given.high[g]!);
      if (at >= 0)
        throw new GureumError("range", {
          where: "stage ranges",
          what: `low of group ${at}`,
          expected: `at most its high, ${given.high[at]}`,
          got: `${given.low[at]}`,
        });
      return given;
    },
    round(ops, name, matrix, gram, grids, factor, settings) {
      if (!round) return ownStages.round(ops, name, matrix, gram, grids, factor, settings);
      const given = round(ops, name, matrix, gram, grids, factor, settings);
      const top = 2 ** settings.bits - 1;
      const { length } = matrix.W;
      const groups = length / settings.groupSize;
      const isInteger = (q: number): boolean => q <= top;
      checkNumbers("round", "q", given?.q, Uint8Array, length, isInteger, `integers from 0 to ${top}`);
      checkNumbers("round", "scales of the grids", given.grids?.scales, Float64Array, groups, isNumber, "finite numbers");
      checkNumbers("round", "zeros of the grids", given.grids.zeros, Uint8Array, groups, isInteger, `integers from 0 to ${top}`);
      const { bits, groupSize } = given.grids;
      if (bits !== settings.bits || groupSize !== settings.groupSize)
        throw new GureumError("shape", {
          where: "stage round",
          what: "grids",
          expected: `${settings.bits} bits, groups of ${settings.groupSize}`,
          got: `${bits}, groups of ${groupSize}`,
        });
      return given;
    },
  };
}
