/**
 * Which kernels compute a step where there is more than one way: decided here and nowhere else, once a model, from what the device
 * reports, the model's shapes and what the caller asks for. A new way is one more entry of `variants`.
 */

import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { type Capabilities, missingFor, type Refusal } from "../device/capabilities.ts";
import { awqMatmul } from "../kernels/plain/awq-matmul.ts";
import { awqMatmulPacked } from "../kernels/plain/awq-matmul-packed.ts";
import { awqMatmulTiled } from "../kernels/plain/awq-matmul-tiled.ts";
import { matmul } from "../kernels/plain/matmul.ts";
import { matmulTiled } from "../kernels/plain/matmul-tiled.ts";
import { packRefusal } from "../model/packing.ts";
import type { CacheDType } from "../wgsl/cache.ts";
import { fusedKernels, fusedRefusal } from "./decode.ts";
import { matrixPrefills, matrixRefusal } from "./prefill.ts";
import { FEW_ROWS, type Plan, type Variant, type VariantStep, type WeightLayout } from "./program.ts";

/** What the steps that have variants cover. */
export const variantSteps: Readonly<Record<VariantStep, string>> = {
  linear: `int4 linears, fewer than ${FEW_ROWS} rows (fixed16: one row)`,
  "linear-prefill": `int4 linears, ${FEW_ROWS} rows or more`,
  dense: `other linears and the head, fewer than ${FEW_ROWS} rows`,
  "dense-prefill": `other linears and the head, ${FEW_ROWS} rows or more`,
};

export interface VariantOptions {
  /**
   * Default "auto": fixed16, and f16 for prompts, where device and model allow it. "exact": every bit of the result is defined
   * (docs/exact.md), on the CPU and on every device.
   */
  readonly arithmetic?: "auto" | "f32" | "fixed16" | "exact";
  /** Element type of cached keys and values. Default: what the variants need, else f32. */
  readonly cache?: CacheDType;
  /** Variants by step that are to run, whatever the rest would be: { "linear-prefill": "awq-matmul" }. */
  readonly kernels?: Readonly<Record<string, string>>;
}

/** By step, the one to be preferred first. */
export const variants: readonly Variant[] = [
  {
    step: "linear",
    name: "fixed16",
    kernels: fusedKernels,
    arithmetic: "fixed16",
    layout: "repacked",
    cache: "f16",
    refusal: (capabilities, config, refs) => fusedRefusal(config, refs) ?? packRefusal(capabilities, refs),
  },
  { step: "linear", name: "awq-matmul", kernels: [awqMatmul], arithmetic: "f32", layout: "checkpoint" },
  {
    step: "linear",
    name: "awq-matmul-packed",
    kernels: [awqMatmulPacked],
    arithmetic: "f32",
    layout: "repacked",
    refusal: (capabilities, _config, refs) => packRefusal(capabilities, refs),
  },
  ...(
    [
      ["f16-matrix", "f16"],
      ["fixed16-matrix", "fixed16"],
    ] as const
  ).map(
    ([name, arithmetic]): Variant => ({
      step: "linear-prefill",
      name,
      kernels: matrixPrefills[name].kernels,
      arithmetic,
      layout: "repacked",
      cache: "f16",
      refusal: (capabilities, config, refs) => matrixRefusal(name, capabilities, config, refs) ?? packRefusal(capabilities, refs),
    }),
  ),
  {
    step: "linear-prefill",
    name: "awq-matmul-packed",
    kernels: [awqMatmulPacked],
    arithmetic: "f32",
    layout: "repacked",
    refusal: (capabilities, _config, refs) => packRefusal(capabilities, refs),
  },
  { step: "linear-prefill", name: "awq-matmul-tiled", kernels: [awqMatmulTiled], arithmetic: "f32", layout: "checkpoint" },
  { step: "linear-prefill", name: "awq-matmul", kernels: [awqMatmul], arithmetic: "f32", layout: "checkpoint" },
  { step: "dense", name: "matmul", kernels: [matmul], arithmetic: "f32" },
  { step: "dense", name: "matmul-tiled", kernels: [matmulTiled], arithmetic: "f32" },
  { step: "dense-prefill", name: "matmul-tiled", kernels: [matmulTiled], arithmetic: "f32" },
  { step: "dense-prefill", name: "matmul", kernels: [matmul], arithmetic: "f32" },
];

/** A variant and whether it runs: a row of `gureum device`. */
export interface Choice {
  readonly step: VariantStep;
  readonly variant: string;
  readonly kernels: readonly string[];
  readonly taken: boolean;
  readonly reason: string;
}

const stepNames = Object.keys(variantSteps) as VariantStep[];
const of = (step: VariantStep): Variant[] => variants.filter((variant) => variant.step === step);

/** @throws GureumError "usage" for a step or variant that does not exist */
export function checkKernels(kernels: Readonly<Record<string, string>>): void {
  for (const [step, name] of Object.entries(kernels)) {
    if (!Object.hasOwn(variantSteps, step))
      throw new GureumError("usage", { where: "kernels", what: "no such step", expected: stepNames.join(", "), got: JSON.stringify(step) });
    const names = of(step as VariantStep).map((variant) => variant.name);
    if (!names.includes(name))
      throw new GureumError("usage", {
        where: `kernels > ${step}`,
        what: "no such variant",
        expected: names.join(", "),
        got: JSON.stringify(name),
      });
  }
}

/** Why this variant cannot run, whatever the other steps take. */
function refusalOf(
  variant: Variant,
  capabilities: Capabilities,
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  { arithmetic = "auto", cache, kernels = {} }: VariantOptions,
): Refusal | undefined {
  const { step, name } = variant;
  const forced = kernels[step];
  if (forced !== undefined && forced !== name) return { code: "unsupported", reason: `${forced} is asked for` };
  if (arithmetic === "f32" && variant.arithmetic !== "f32") return { code: "unsupported", reason: "arithmetic f32 is asked for" };
  if (arithmetic === "fixed16" && step === "linear" && variant.arithmetic !== "fixed16")
    return { code: "unsupported", reason: "arithmetic fixed16 is asked for" };
  for (const kernel of variant.kernels) {
    const missing = missingFor(kernel, capabilities);
    if (missing) return { ...missing, reason: `${kernel.name} needs ${missing.reason}` };
  }
  if (cache !== undefined && variant.cache !== undefined && variant.cache !== cache)
    return { code: "unsupported", reason: `it needs an ${variant.cache} cache, ${cache} is asked for` };
  return variant.refusal?.(capabilities, config, refs);
}

/**
 * The variants to run, and why the others do not. The linear comes first; the rest must read weights in the layout that it takes.
 * @throws GureumError "usage" for names that do not exist; where nothing is left that does what is asked, "missing-feature", "limit"
 * or "unsupported" by what stands against it
 */
export function planVariants(
  capabilities: Capabilities,
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  options: VariantOptions = {},
): { plan: Plan; choices: readonly Choice[] } {
  checkKernels(options.kernels ?? {});
  const refusals = new Map(variants.map((variant) => [variant, refusalOf(variant, capabilities, config, refs, options)]));
  const possible = (step: VariantStep): Variant[] => of(step).filter((variant) => !refusals.get(variant));
  for (const { layout } of possible("linear")) {
    const [linear, prefill, dense, densePrefill] = stepNames.map((step) =>
      possible(step).find((variant) => variant.layout === undefined || variant.layout === layout),
    );
    if (!linear || !prefill || !dense || !densePrefill) continue;
    const taken = { linear, "linear-prefill": prefill, dense, "dense-prefill": densePrefill };
    const cache = options.cache ?? Object.values(taken).find((variant) => variant.cache)?.cache ?? "f32";
    const plan: Plan = { taken, layout: layout!, cache };
    return { plan, choices: variants.map((variant) => choiceOf(variant, plan, refusals.get(variant), options)) };
  }
  throw nothingLeft(refusals, possible, options);
}

function choiceOf(variant: Variant, { taken, layout }: Plan, refusal: Refusal | undefined, options: VariantOptions): Choice {
  const { step, name, kernels } = variant;
  const isTaken = taken[step] === variant;
  const asked = options.kernels?.[step] === name || (step === "linear" && options.arithmetic === variant.arithmetic);
  let reason = refusal?.reason ?? `${taken[step].name} comes first`;
  if (isTaken) reason = asked ? "asked for" : "the first that this device and model allow";
  else if (!refusal && step !== "linear" && variant.layout !== undefined && variant.layout !== layout)
    reason = `the weights are ${layoutWords[layout]}`;
  return { step, variant: name, kernels: kernels.map((kernel) => kernel.name), taken: isTaken, reason };
}

const layoutWords: Readonly<Record<WeightLayout, string>> = { checkpoint: "laid out as in the checkpoint", repacked: "repacked" };

/** The kernel that computes an op (core/ops) for `rows` rows, step by step as a trace runs it. */
export function stepKernel({ taken, layout }: Plan, op: string, rows: number): string {
  const many = rows >= FEW_ROWS;
  if (op === "awq-matmul") return layout === "repacked" ? awqMatmulPacked.name : taken[many ? "linear-prefill" : "linear"].name;
  if (op === "matmul") return taken[many ? "dense-prefill" : "dense"].name;
  return op === "attention" ? "attention-mix" : op;
}

function nothingLeft(
  refusals: ReadonlyMap<Variant, Refusal | undefined>,
  possible: (step: VariantStep) => readonly Variant[],
  { arithmetic, kernels = {} }: VariantOptions,
): GureumError {
  const empty = stepNames.find((step) => possible(step).length === 0);
  if (empty) {
    const wanted = of(empty).find(({ name }) => name === (kernels[empty] ?? arithmetic)) ?? of(empty)[0]!;
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
    got: Object.entries(kernels)
      .map(([step, name]) => `${step}=${name}`)
      .join(", "),
    remedy: "ask for variants of one layout; `gureum device` lists them",
  });
}
