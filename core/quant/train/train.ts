/** Steps of a training, and the calling thread as the one that does all of its work. */

import type { CpuOps } from "../../model/ops.ts";
import { type Allocate, singles } from "./numbers.ts";
import { lengthsOf, type Pace, partsOf, type Training, type Work } from "./training.ts";
import { perform } from "./work.ts";

/** Who does the work. */
export interface Crew {
  /** Memory that all of the crew reach. */
  readonly allocate: Allocate;
  /** What the work is on from now on. */
  begin(training: Training): void;
  /** Does all parts of a kind of work before it returns. */
  run(work: Work): void;
  /** Ends what was begun. */
  end(): void;
}

/** The calling thread alone, products by the given ops. */
export function aloneCrew(ops: Pick<CpuOps, "matmul" | "pass">): Crew {
  const numbers = singles(ops);
  let training: Training | undefined;
  return {
    allocate: (length) => new Float32Array(length),
    begin(given) {
      training = given;
    },
    run: (work) =>
      ops.pass(() => {
        for (let i = 0; i < partsOf(training!, work); i++) perform(training!, numbers, work, i);
      }),
    end() {
      training = undefined;
    },
  };
}

/** 0 … count − 1 in a new order. */
export function shuffled(count: number, random: () => number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Which texts each step sees, in slices of about as many tokens: all texts in a new order, again and again. */
export function* batches(lengths: readonly number[], tokens: number, slices: number, random: () => number): Generator<number[][]> {
  let batch: number[] = [];
  let sum = 0;
  for (;;) {
    for (const i of shuffled(lengths.length, random)) {
      batch.push(i);
      sum += lengths[i]!;
      if (sum < tokens) continue;
      const sliced: number[][] = Array.from({ length: slices }, () => []);
      let before = 0;
      for (const text of batch) {
        sliced[Math.min(slices - 1, Math.floor((before * slices) / sum))]!.push(text);
        before += lengths[text]!;
      }
      yield sliced;
      batch = [];
      sum = 0;
    }
  }
}

/** The share of the rates at a step of so many, from 1: up within ten, then down in half a wave. */
export const shareAt = (step: number, steps: number): number =>
  Math.min(1, step / 10) * 0.5 * (1 + Math.cos((Math.PI * (step - 1)) / steps));

/** Trains; after each step its number and what its texts lost before it, per token. */
export function* train(
  crew: Crew,
  training: Training,
  pace: Pace,
  random: () => number,
): Generator<{ readonly step: number; readonly loss: number }> {
  const lengths = lengthsOf(training.task, training.config);
  const plan = batches(lengths, pace.tokens, training.gradients.length, random);
  for (let step = 1; step <= pace.steps; step++) {
    const texts = plan.next().value as number[][];
    crew.run({ kind: "slices", texts });
    crew.run({ kind: "moves", step, share: shareAt(step, pace.steps), pace });
    const rows = texts.flat().reduce((sum, i) => sum + lengths[i]!, 0);
    yield { step, loss: training.losses.reduce((sum, loss) => sum + loss, 0) / rows };
  }
}
