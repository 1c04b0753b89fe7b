/**
 * "Garbage on my GPU": which step of a forward pass is wrong first. Each side runs the whole pass with every value
 * tapped; then each step is judged alone, by what it should have made of the inputs that its own side gave it, within
 * the bound of its arithmetic (docs/accuracy.md). So the first step beyond its bound is where the fault is, however far
 * its consequences spread; the distance between the two sides stands beside it. Kernels that compute several steps at
 * once, or in an arithmetic of their own, show no steps: what they make of the same ids, as a prompt and token by
 * token, is held by its last logits to those of the CPU reference, never to another pass of the side itself, which may
 * be the wrong one.
 */

import { cpuModel } from "../../core/model/cpu.ts";
import type { Model, TraceValue } from "../../core/model/engine.ts";
import type { LlamaWeights } from "../../core/model/weights.ts";
import { argmax } from "../../core/sample/sampler.ts";
import { type Plan, stepKernel } from "../../gpu/programs/plan.ts";
import { FEW_ROWS } from "../../gpu/programs/steps.ts";
import { f64, wgsl } from "../accuracy.ts";
import { divergence, type Worst } from "../compare.ts";
import { checkSteps, type StepResult } from "./stepwise.ts";

/** What is compared; `plan` for a model on WebGPU: it says which kernels ran and how keys and values were kept. */
export interface DiffSide {
  readonly model: Model;
  readonly plan?: Plan;
}

/** One tap point of the comparison. */
export interface DiffStep {
  /** Name of the tap point. */
  readonly name: string;
  /** The op that makes it. */
  readonly op: string;
  /** The kernel that made it on each side; null for the CPU reference. */
  readonly kernels: { readonly a: string | null; readonly b: string | null };
  readonly shape: readonly number[];
  /** Largest |a − b|, and where. */
  readonly distance: number;
  readonly distanceIndex: number;
  /** Each side's worst element against its own inputs; null where no element has a finite bound. */
  readonly a: Worst | null;
  readonly b: Worst | null;
}

/** The last logits of a side that nobody watches, against the CPU reference's. */
export interface Unwatched {
  readonly side: "a" | "b";
  readonly way: "as a prompt" | "token by token";
  /** The variant of int4 linears that runs, with all that comes with it. */
  readonly variant: string;
  /** KL(CPU ‖ unwatched), nats. */
  readonly divergence: number;
  readonly sameTop: boolean;
}

/**
 * Beyond this an unwatched run counts as wrong: about ten times the largest KL of any one position that f16 and fixed16
 * showed on sound devices (docs/benchmarks.md); a wrong kernel is off by whole nats.
 */
export const UNWATCHED_LIMIT = 1e-4;

export interface Diff {
  readonly steps: readonly DiffStep[];
  /** Of each side with a plan. */
  readonly unwatched: readonly Unwatched[];
  /** The first step in which a side exceeds its bound. */
  readonly first: { readonly step: DiffStep; readonly side: "a" | "b" } | null;
}

type Values = ReadonlyMap<string, TraceValue>;

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
  a: DiffSide,
  b: DiffSide,
  weights: LlamaWeights,
  ids: readonly number[],
  onStep?: (done: number, total: number) => void | Promise<void>,
): Promise<Diff> {
  const { config } = a.model;
  const run = async ({ model }: DiffSide): Promise<Values> => {
    const session = model.createSession(ids.length);
    try {
      return (await session.forward(ids, { logits: "all", trace: ["*", "layers.*.*"] })).trace;
    } finally {
      session.dispose();
    }
  };
  const valuesA = await run(a);
  const valuesB = await run(b);
  const unwatched: Unwatched[] = [];
  if (a.plan || b.plan) {
    const reference = await lastLogits(cpuModel(config, weights), ids);
    for (const [side, of] of [
      ["a", a],
      ["b", b],
    ] as const)
      unwatched.push(...(await unwatchedRuns(side, of, reference, ids)));
  }
  // An online softmax may rescale its sums at each key; the reference never does.
  const judge = ({ plan }: DiffSide, values: Values): Generator<StepResult> =>
    checkSteps(config, weights, ids, values, ids.length, plan ? wgsl : f64, plan ? ids.length : 0, plan?.cache);
  const kernelOf = ({ plan }: DiffSide, op: string): string | null => (plan ? stepKernel(plan, op, ids.length) : null);
  const judgedB = judge(b, valuesB);
  const steps: DiffStep[] = [];
  let first: Diff["first"] = null;
  for (const { name, op, shape, worst } of judge(a, valuesA)) {
    const distance = farthest(valuesA.get(name)!.data, valuesB.get(name)!.data);
    const step: DiffStep = {
      name,
      op,
      kernels: { a: kernelOf(a, op), b: kernelOf(b, op) },
      shape,
      ...distance,
      a: worst,
      b: judgedB.next().value!.worst,
    };
    steps.push(step);
    for (const side of ["a", "b"] as const) if ((step[side]?.headroom ?? 0) > 1) first ??= { step, side };
    await onStep?.(steps.length, valuesA.size);
  }
  return { steps, unwatched, first };
}

async function lastLogits(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const session = model.createSession(ids.length);
  try {
    return (await session.forward(ids)).logits;
  } finally {
    session.dispose();
  }
}

async function unwatchedRuns(
  side: "a" | "b",
  { model, plan }: DiffSide,
  expected: Float32Array,
  ids: readonly number[],
): Promise<Unwatched[]> {
  if (!plan) return [];
  const { linear, "linear-prefill": prefill } = plan.taken;
  const out: Unwatched[] = [];
  for (const way of ["as a prompt", "token by token"] as const) {
    const session = model.createSession(ids.length);
    try {
      let logits = new Float32Array();
      if (way === "as a prompt") logits = (await session.forward(ids)).logits as typeof logits;
      else for (const id of ids) logits = (await session.forward([id])).logits as typeof logits;
      const variant = way === "as a prompt" && ids.length >= FEW_ROWS ? prefill.name : linear.name;
      out.push({ side, way, variant, divergence: divergence(expected, logits), sameTop: argmax(expected) === argmax(logits) });
    } finally {
      session.dispose();
    }
  }
  return out;
}

/** Whether an unwatched run is wrong; NaN is. */
export const isAstray = ({ divergence }: Unwatched): boolean => !(divergence <= UNWATCHED_LIMIT);
