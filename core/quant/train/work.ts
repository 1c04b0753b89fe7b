/** The two kinds of work of a training: gradients of some texts, and moves of what is trained. */
import type { LlamaConfig } from "../../config.ts";
import { linearParts } from "../../model/layer.ts";
import { adamStep } from "./adam.ts";
import { distil, linearInputs, rmsNormBackward } from "./backward.ts";
import { latentGradients, weightsInto } from "./latent.ts";
import { backward, forward, type Kept, type LayerGradients, norm } from "./layer.ts";
import { type Floats, join, type Numbers } from "./numbers.ts";
import { type Head, lengthsOf, normNames, type Training, type Work } from "./training.ts";

/** Rows of logits at a time. */
const ROWS = 256;

/** Σ KL(float ‖ own) over the rows of x and aim [T, D], and its gradient for x. */
export function compareHeads(
  numbers: Numbers,
  config: LlamaConfig,
  { norm: weight, weight: head }: Head,
  x: Floats,
  aim: Floats,
): { loss: number; dx: Floats } {
  const { hiddenSize: D, vocabSize: V, rmsNormEps: eps } = config;
  const T = x.length / D;
  const dx = numbers.make(T * D);
  const unused = numbers.make(D);
  let loss = 0;
  for (let t = 0; t < T; t += ROWS) {
    const rows = Math.min(ROWS, T - t);
    const [own, right] = [x.subarray(t * D, (t + rows) * D), aim.subarray(t * D, (t + rows) * D)];
    const z = numbers.product(norm(numbers, own, weight, eps), head, rows, V, D);
    const base = numbers.product(norm(numbers, right, weight, eps), head, rows, V, D);
    loss += distil(z, base, rows, V);
    const d = linearInputs(numbers, z, head, rows, V, D);
    rmsNormBackward(d, unused, d, own, weight, eps, rows);
    dx.set(d, t * D);
  }
  return { loss, dx };
}

/** Σ (x − aim)², and its gradient for x. */
export function compareStreams(x: Floats, aim: Floats): { loss: number; dx: Floats } {
  const dx = x.slice();
  let loss = 0;
  for (let i = 0; i < dx.length; i++) {
    const difference = x[i]! - aim[i]!;
    loss += difference * difference;
    dx[i] = 2 * difference;
  }
  return { loss, dx };
}

/** What the first layer reads of some texts, and what the last one is to give, [T, D] both. */
function lessonsOf(
  numbers: Numbers,
  { config, tables, task }: Pick<Training, "config" | "tables" | "task">,
  texts: readonly number[],
  lengths: readonly number[],
): { x: Floats; aim: Floats } {
  if (task.kind === "streams") {
    const chosen = texts.map((i) => task.lessons[i]!);
    return { x: join(chosen.map(({ input }) => input)), aim: join(chosen.map((lesson) => lesson.aim)) };
  }
  const D = config.hiddenSize;
  const x = join(texts.flatMap((i) => Array.from(task.texts[i]!, (id) => task.embeddings.subarray(id * D, (id + 1) * D))));
  let aim: Floats = x;
  for (const layer of task.float) aim = forward(numbers, config, layer, tables, aim, lengths).out;
  return { x, aim };
}

/** Some texts through all layers: what they lose, and on request the gradients of every layer. */
export function runLessons(
  numbers: Numbers,
  training: Pick<Training, "config" | "tables" | "task" | "dense">,
  texts: readonly number[],
  visit: ((layer: number, gradients: LayerGradients) => void) | null,
): number {
  const { config, tables, task, dense } = training;
  const lengths = lengthsOf(task, config, texts);
  const { x: first, aim } = lessonsOf(numbers, training, texts, lengths);
  let x = first;
  const kept: Kept[] = [];
  for (const layer of dense) {
    const step = forward(numbers, config, layer, tables, x, lengths);
    if (visit) kept.push(step.kept);
    x = step.out;
  }
  const { loss, dx } = task.kind === "texts" ? compareHeads(numbers, config, task.head, x, aim) : compareStreams(x, aim);
  let d: Floats = dx;
  if (visit)
    for (let i = dense.length - 1; i >= 0; i--) {
      const step = backward(numbers, config, dense[i]!, tables, kept[i]!, lengths, d);
      visit(i, step.gradients);
      d = step.dx;
    }
  return loss;
}

/** Sums the slices' gradients, in order, into the first's. */
function summed({ gradients }: Training, pick: (own: readonly LayerGradients[]) => Floats): Floats {
  const [first, ...others] = gradients.map(pick);
  for (const other of others) for (let i = 0; i < first!.length; i++) first![i] = first![i]! + other[i]!;
  return first!;
}

/** Part `i` of a kind of work. */
export function perform(training: Training, numbers: Numbers, work: Work, i: number): void {
  const { layers, dense, adams, gradients, losses } = training;
  if (work.kind === "slices") {
    const own = gradients[i]!;
    for (const layer of own)
      for (const values of Object.values(layer) as (Floats | null)[]) if (work.texts[i]!.length === 0) values?.fill(0);
    losses[i] = 0;
    if (work.texts[i]!.length === 0) return;
    losses[i] = runLessons(numbers, training, work.texts[i]!, (layer, found) => {
      for (const [name, values] of Object.entries(found) as [keyof LayerGradients, Floats | null][])
        if (values) own[layer]![name]!.set(values);
    });
    return;
  }
  const { step, share, pace } = work;
  const at = Math.floor(i / (linearParts.length + 1));
  const part = linearParts[i % (linearParts.length + 1)];
  if (part) {
    const { name } = part;
    const latent = layers[at]!.latents[name];
    const found = latentGradients(latent, summed(training, (own) => own[at]![name]) as Float32Array);
    if (pace.rate > 0) adamStep(adams[at]!.u[name], latent.u, found.u, share * pace.rate, step, false);
    if (pace.scaleRate > 0) adamStep(adams[at]!.scales[name], latent.scales, found.scales, share * pace.scaleRate, step, true);
    weightsInto(dense[at]![name].W as Float32Array, latent);
    return;
  }
  for (const name of normNames) {
    const values = layers[at]!.norms[name];
    if (!values || pace.scaleRate === 0) continue;
    adamStep(
      adams[at]!.norms[name]!,
      values,
      summed(training, (own) => own[at]![name]!),
      share * pace.scaleRate,
      step,
      true,
    );
  }
}
