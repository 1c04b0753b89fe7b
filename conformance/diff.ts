/**
 * "Garbage on my GPU": which step of a forward pass is wrong first. Each side runs the whole pass with every value tapped; then
 * each step is judged alone, by what it should have made of the inputs that its own side gave it, within the bound of its
 * arithmetic (docs/accuracy.md). So the first step beyond its bound is where the fault is, however far its consequences spread;
 * the distance between the two sides stands beside it.
 */
import type { Model, TraceValue } from "../core/model/engine.ts";
import type { LlamaWeights } from "../core/model/weights.ts";
import { type Plan, stepKernel } from "../gpu/variants.ts";
import { f64, wgsl } from "./accuracy.ts";
import type { Worst } from "./compare.ts";
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

export interface Diff {
  readonly steps: readonly DiffStep[];
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
  return { steps, first };
}
