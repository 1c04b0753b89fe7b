/**
 * "Garbage on my GPU": which step of a forward pass is wrong first. Each side runs the whole pass with every value tapped; then
 * each step is judged alone, by what it should have made of the inputs that its own side gave it, within the bound of its
 * arithmetic (docs/accuracy.md). So the first step beyond its bound is where the fault is, however far its consequences spread;
 * the distance between the two sides stands beside it.
 */
import type { Model, TraceValue } from "../core/model/engine.ts";
import type { LlamaWeights } from "../core/model/weights.ts";
import { f64, wgsl } from "./accuracy.ts";
import type { Worst } from "./compare.ts";
import { checkSteps, type StepResult } from "./stepwise.ts";

/** One tap point of the comparison. */
export interface DiffStep {
  /** Name of the tap point. */
  readonly name: string;
  /** The op that makes it. */
  readonly op: string;
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
  a: Model,
  b: Model,
  weights: LlamaWeights,
  ids: readonly number[],
  onStep?: (done: number, total: number) => void | Promise<void>,
): Promise<Diff> {
  const { config } = a;
  const run = async (model: Model): Promise<Values> => {
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
  const judge = (model: Model, values: Values): Generator<StepResult> =>
    checkSteps(config, weights, ids, values, ids.length, model.backend === "cpu" ? f64 : wgsl, model.backend === "cpu" ? 0 : ids.length);
  const judgedB = judge(b, valuesB);
  const steps: DiffStep[] = [];
  let first: Diff["first"] = null;
  for (const { name, op, shape, worst } of judge(a, valuesA)) {
    const distance = farthest(valuesA.get(name)!.data, valuesB.get(name)!.data);
    const step: DiffStep = { name, op, shape, ...distance, a: worst, b: judgedB.next().value!.worst };
    steps.push(step);
    for (const side of ["a", "b"] as const) if ((step[side]?.headroom ?? 0) > 1) first ??= { step, side };
    await onStep?.(steps.length, valuesA.size);
  }
  return { steps, first };
}
