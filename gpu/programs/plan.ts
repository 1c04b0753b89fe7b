/**
 * What runs: which programs feed tokens, and which kernels compute the plain steps. Decided here and nowhere else, once
 * a model, from what the device reports, the model's shapes and what the caller asks for.
 */
import { checkOptionsObject } from "../../core/arguments.ts";
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { type Capabilities, missingFor, type Refusal } from "../device/capabilities.ts";
import { attentionMix } from "../kernels/plain/attention-mix.ts";
import { holds, type Kernel } from "../pipeline/kernel.ts";
import type { CacheDType } from "../wgsl/cache.ts";
import { type BatchProgram, matrixBatch, plainBatch } from "./batch.ts";
import { f32Decode, fixed16Decode } from "./decode.ts";
import { plainFew, plainMany } from "./plain.ts";
import { denseMatrixPrefill, f16MatrixPrefill, fixed16MatrixPrefill } from "./prefill.ts";
import { f16Operands, fixed16Operands } from "./prefill-operands.ts";
import type { Program } from "./program.ts";
import { type PlainSteps, type StepVariant, stepVariants, type VariantStep, variantSteps, type WeightLayout } from "./steps.ts";

/** What is to run, where there is a choice. */
export interface VariantOptions {
  /**
   * Default "auto": fixed16, and f16 for prompts, where device and model allow it. "exact": every bit of the result is defined
   * (docs/exact.md), on the CPU and on every device.
   */
  readonly arithmetic?: "auto" | "f32" | "fixed16" | "exact";
  /** Element type of cached keys and values. Default: what the programs need, else f32. */
  readonly cache?: CacheDType;
  /** Variants by step that are to run, whatever the rest would be: { "linear-prefill": "awq-matmul" }. */
  readonly kernels?: Readonly<Record<string, string>>;
}

/** The programs that may run beside the plain steps, the one to be preferred first. */
const programs: readonly Program[] = [fixed16Decode, f32Decode, f16MatrixPrefill, denseMatrixPrefill, fixed16MatrixPrefill];

/** What a step may be computed by: a kernel for it, or a program for everything. */
export type Variant = StepVariant | (Program & { readonly step: VariantStep });

const isProgram = (variant: Variant): variant is Program & { readonly step: VariantStep } => "prepare" in variant;
const kernelsOf = (variant: Variant): readonly Kernel[] => variant.kernels;
const cacheOf = (variant: Variant): CacheDType | undefined => (isProgram(variant) ? variant.cache : undefined);

const stepNames = Object.keys(variantSteps) as VariantStep[];
const listed = (step: VariantStep): Variant[] =>
  [...programs, ...stepVariants].filter((variant): variant is Variant => variant.step === step);

/** By step, the one to be preferred first. */
export const variants: readonly Variant[] = stepNames.flatMap(listed);

/** What runs. */
export interface Plan {
  /** What computes each step, wherever it can. */
  readonly taken: Readonly<Record<VariantStep, Variant>>;
  /** The first of these that feeds a number of rows feeds it; between them they feed any. */
  readonly programs: readonly Program[];
  /** The kernels of the plain steps: of the steps that a program takes, the first that reads the same layout. */
  readonly plain: PlainSteps;
  readonly layout: WeightLayout;
  readonly cache: CacheDType;
  /** What feeds one row of each of several sequences: the products of the program that feeds prompts, or the plain steps. */
  readonly batch: BatchProgram;
}

/** Programs for prompts whose products compute rows of several sequences as well. */
const batchPrograms: ReadonlyMap<Variant, BatchProgram> = new Map([
  [f16MatrixPrefill, matrixBatch("f16-matrix", f16Operands)],
  [denseMatrixPrefill, matrixBatch("dense-f16-matrix", f16Operands)],
  [fixed16MatrixPrefill, matrixBatch("fixed16-matrix", fixed16Operands)],
]);

/** The products of the program that feeds prompts, where the device has what attention by rows of their own needs. */
function batchOf(prefill: Variant, capabilities: Capabilities): BatchProgram {
  const program = batchPrograms.get(prefill);
  return program?.kernels.every((kernel) => !missingFor(kernel, capabilities)) ? program : plainBatch;
}

/** A variant and whether it runs: a row of `gureum device`. */
export interface Choice {
  readonly step: VariantStep;
  readonly variant: string;
  readonly kernels: readonly string[];
  readonly taken: boolean;
  readonly reason: string;
}

type Asked = Readonly<Partial<Record<VariantStep, Variant>>>;

/** The variants of these names. @throws GureumError "usage" for a step or variant that does not exist */
export function checkKernels(kernels: Readonly<Record<string, string>>): Asked {
  checkOptionsObject("kernels", kernels);
  const asked: Partial<Record<VariantStep, Variant>> = {};
  for (const [word, name] of Object.entries(kernels)) {
    const step = stepNames.find((step) => step === word);
    if (!step)
      throw new GureumError("usage", { where: "kernels", what: "no such step", expected: stepNames.join(", "), got: JSON.stringify(word) });
    const variant = listed(step).find((variant) => variant.name === name);
    if (!variant)
      throw new GureumError("usage", {
        where: `kernels > ${step}`,
        what: "no such variant",
        expected: listed(step)
          .map((variant) => variant.name)
          .join(", "),
        got: JSON.stringify(name),
      });
    asked[step] = variant;
  }
  return asked;
}

interface Setting {
  readonly capabilities: Capabilities;
  readonly config: LlamaConfig;
  readonly refs: LlamaWeightRefs;
  readonly arithmetic: "auto" | "f32" | "fixed16";
  readonly cache: CacheDType | undefined;
  readonly asked: Asked;
}

/** What a variant's kernels lack on this device. */
function lacking(variant: Variant, { capabilities }: Setting): Refusal | undefined {
  for (const kernel of kernelsOf(variant)) {
    const missing = missingFor(kernel, capabilities);
    if (missing) return { ...missing, reason: `${kernel.name} needs ${missing.reason}` };
  }
  return undefined;
}

/** What of the model stands against a variant. */
const unfit = (variant: Variant, { capabilities, config, refs }: Setting): Refusal | undefined =>
  isProgram(variant) ? variant.refusal(config, refs, capabilities) : variant.refusal?.(capabilities, refs);

/** Why a variant cannot run, whatever the other steps take. */
function refusalOf(variant: Variant, setting: Setting): Refusal | undefined {
  const { arithmetic, cache, asked } = setting;
  const unwanted = (reason: string): Refusal => ({ code: "unsupported", reason });
  const forced = asked[variant.step];
  if (forced && forced !== variant) return unwanted(`${forced.name} is asked for`);
  if (arithmetic === "f32" && variant.arithmetic !== "f32") return unwanted("arithmetic f32 is asked for");
  if (arithmetic === "fixed16" && variant.step === "linear" && variant.arithmetic !== "fixed16")
    return unwanted("arithmetic fixed16 is asked for");
  const needed = cacheOf(variant);
  const otherCache = cache !== undefined && needed !== undefined && needed !== cache;
  return (
    lacking(variant, setting) ??
    (otherCache ? unwanted(`it needs an ${needed} cache, ${cache} is asked for`) : undefined) ??
    unfit(variant, setting)
  );
}

/**
 * The variants to run, and why the others do not. The linear comes first; the rest must read weights in the layout that
 * it takes.
 * @throws GureumError "usage" for names that do not exist; where nothing is left that does what is asked,
 * "missing-feature", "limit" or "unsupported" by what stands against it; "unsupported" for a layer with a part that no
 * kernel computes
 */
export function planVariants(
  capabilities: Capabilities,
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  options: VariantOptions = {},
): { plan: Plan; choices: readonly Choice[] } {
  const { arithmetic = "auto", cache, kernels = {} } = options;
  if (arithmetic === "exact")
    throw new GureumError("unsupported", {
      where: "kernels",
      what: "these programs do not compute exact",
      remedy: "load the model by loadModel with arithmetic exact, or by loadExactGpuModel",
    });
  const setting: Setting = { capabilities, config, refs, arithmetic, cache, asked: checkKernels(kernels) };
  const unknown = plainFew.refusal(config, refs, capabilities);
  if (unknown)
    throw new GureumError(unknown.code, { where: "plain steps", what: `cannot run: ${unknown.reason}`, remedy: "use another model" });
  const refusals = new Map(variants.map((variant) => [variant, refusalOf(variant, setting)]));
  const possible = (step: VariantStep): Variant[] => listed(step).filter((variant) => !refusals.get(variant));
  for (const { layout } of possible("linear")) {
    const reads = (variant: Variant): boolean => variant.layout === undefined || variant.layout === layout;
    const taken = byStep((step) => possible(step).find(reads));
    const plain = byStep((step) => {
      const variant = taken?.[step];
      if (variant && !isProgram(variant)) return variant;
      return stepVariants.find((other) => other.step === step && reads(other) && !lacking(other, setting) && !unfit(other, setting));
    });
    if (!taken || !plain) continue;
    const ran = Object.values(taken).filter(isProgram);
    const plan: Plan = {
      taken,
      programs: [...ran, plainFew, plainMany],
      plain,
      layout: layout!,
      cache: cache ?? ran.find((program) => program.cache)?.cache ?? "f32",
      batch: batchOf(taken["linear-prefill"], capabilities),
    };
    return { plan, choices: variants.map((variant) => choiceOf(variant, plan, refusals.get(variant), setting)) };
  }
  throw nothingLeft(refusals, possible, setting);
}

/** A choice for each step; undefined where one of them has none. */
function byStep<V>(choose: (step: VariantStep) => V | undefined): Record<VariantStep, V> | undefined {
  const chosen = stepNames.map((step) => [step, choose(step)] as const);
  return chosen.some(([, value]) => value === undefined) ? undefined : (Object.fromEntries(chosen) as Record<VariantStep, V>);
}

function choiceOf(variant: Variant, { taken, layout }: Plan, refusal: Refusal | undefined, { asked, arithmetic }: Setting): Choice {
  const { step, name } = variant;
  const isTaken = taken[step] === variant;
  const wanted = asked[step] === variant || (step === "linear" && arithmetic === variant.arithmetic);
  let reason = refusal?.reason ?? `${taken[step].name} comes first`;
  if (isTaken) reason = wanted ? "asked for" : "the first that this device and model allow";
  else if (!refusal && step !== "linear" && variant.layout !== undefined && variant.layout !== layout)
    reason = `the weights are ${layoutWords[layout]}`;
  return { step, variant: name, kernels: kernelsOf(variant).map((kernel) => kernel.name), taken: isTaken, reason };
}

const layoutWords: Readonly<Record<WeightLayout, string>> = { checkpoint: "laid out as in the checkpoint", repacked: "repacked" };

/** Kernels of watched steps that have another name than their op. */
const watchedKernels: Readonly<Record<string, Kernel>> = { attention: attentionMix };

/** The kernel that computes an op (core/ops) for `rows` rows, step by step as a trace runs it. */
export function stepKernel({ plain }: Plan, op: string, rows: number): string {
  const step = stepNames.find((step) => variantSteps[step].op === op && holds(variantSteps[step].rows, rows));
  return step ? plain[step].name : (watchedKernels[op]?.name ?? op);
}

function nothingLeft(
  refusals: ReadonlyMap<Variant, Refusal | undefined>,
  possible: (step: VariantStep) => readonly Variant[],
  { arithmetic, asked }: Setting,
): GureumError {
  const empty = stepNames.find((step) => possible(step).length === 0);
  if (empty) {
    const all = listed(empty);
    const wanted = asked[empty] ?? all.find((variant) => isProgram(variant) && variant.arithmetic === arithmetic) ?? all[0]!;
    const { code, reason } = refusals.get(wanted)!;
    return new GureumError(code, {
      where: `${empty} > ${wanted.name}`,
      what: `cannot run: ${reason}`,
      remedy: "leave the choice open, or ask for another variant; `gureum device` lists them",
    });
  }
  return new GureumError("unsupported", {
    where: "kernels",
    what: "these variants want int4 weights in different layouts",
    got: Object.entries(asked)
      .map(([step, variant]) => `${step}=${variant.name}`)
      .join(", "),
    remedy: "ask for variants of one layout; `gureum device` lists them",
  });
}
