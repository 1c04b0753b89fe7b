/** A whole model trained on a GPU (gpu/training) for the quantizer: the same steps as on the CPU, in f32 throughout. */
import type { Checkpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import { type LinearName, linearParts } from "./core/model/layer.ts";
import { BETA1, BETA2 } from "./core/quant/train/adam.ts";
import { weightsInto } from "./core/quant/train/latent.ts";
import type { Floats } from "./core/quant/train/numbers.ts";
import { batches, shareAt } from "./core/quant/train/train.ts";
import { type LatentLayer, lengthsOf } from "./core/quant/train/training.ts";
import type { ModelTrainer } from "./core/quant/train/whole.ts";
import { closeDevice, openDevice } from "./gpu/device/device.ts";
import { checkTrainer, makeTrainer } from "./gpu/training/trainer.ts";

const ROWS = 16;
const norms = ["inputLayernorm", "postAttentionLayernorm"] as const;

/** @throws GureumError "unsupported" for models with biases or what else the kernels lack */
export function checkGpuTraining({ config, refs }: Pick<Checkpoint, "config" | "refs">): void {
  checkTrainer(config);
  const hasBias = refs.layers.some((layer) => linearParts.some(({ name }) => layer[name].bias !== null));
  if (hasBias)
    throw new GureumError("unsupported", { where: "training on WebGPU", what: "linears with biases", remedy: "take --backend cpu" });
}

/** For models that `checkGpuTraining` takes. @throws GureumError as openDevice */
export const gpuTrainer =
  (adapter?: string | number): ModelTrainer =>
  async ({ config, tables, task, layers, bits, groupSize, longest }, pace, random, onStep) => {
    const gpu = await openDevice({ robustness: false, ...(adapter === undefined ? {} : { adapter }) });
    try {
      const rows = Math.ceil((pace.tokens + longest) / ROWS) * ROWS;
      const own = (values: Floats): Float32Array<ArrayBuffer> => Float32Array.from(values);
      const { texts, float } = task;
      const head = own(task.head.weight);
      const embeddings = task.embeddings === task.head.weight ? head : own(task.embeddings);
      const made = { config, tables, bits, groupSize, rows, longest, norm: own(task.head.norm), head, embeddings };
      const trainer = await makeTrainer(gpu, made);
      for (const [l, { latents, norms: weights }] of layers.entries()) {
        for (const { name } of linearParts) {
          const { N, K, u, scales, grids } = latents[name];
          const W = new Float32Array(N * K);
          weightsInto(W, latents[name]);
          trainer.setWeights("own", l, name, W);
          trainer.setWeights("float", l, name, own(float[l]![name].W));
          trainer.setLatents(l, name, { u: own(u), scales: own(scales), zeros: Float32Array.from(grids.zeros) });
        }
        for (const name of norms) {
          trainer.setNorm("own", l, name, own(weights[name]!));
          trainer.setNorm("float", l, name, own(float[l]![name]));
        }
      }
      const plan = batches(lengthsOf(task, config), pace.tokens, 1, random);
      for (let step = 1; step <= pace.steps; step++) {
        const [chosen] = plan.next().value as number[][];
        const share = shareAt(step, pace.steps) / (1 - BETA1 ** step);
        const rates = { rate: share * pace.rate, scaleRate: share * pace.scaleRate, second: 1 / (1 - BETA2 ** step) };
        const { loss, rows: counted } = await trainer.step(
          chosen!.map((i) => ({ ids: texts[i]! })),
          rates,
        );
        await onStep(step, loss / counted);
      }
      const trained: LatentLayer[] = [];
      for (const [l, layer] of layers.entries()) {
        const latents: [LinearName, LatentLayer["latents"][LinearName]][] = [];
        for (const { name } of linearParts) latents.push([name, { ...layer.latents[name], ...(await trainer.latents(l, name)) }]);
        const weights = { ...layer.norms };
        for (const name of norms) weights[name] = await trainer.norm(l, name);
        trained.push({ ...layer, latents: Object.fromEntries(latents) as LatentLayer["latents"], norms: weights });
      }
      return trained;
    } finally {
      closeDevice(gpu);
    }
  };
