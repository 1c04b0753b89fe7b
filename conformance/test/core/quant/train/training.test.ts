/** Training on small models: what it starts from, that it gets nearer to what it aims at, and that nothing depends on what happened on the way. */
import { describe, expect, it } from "vitest";
import { memoryFolder } from "../../../../../core/checkpoint/byte-sink.ts";
import { memoryStore } from "../../../../../core/checkpoint/byte-source.ts";
import { openCheckpoint, readerOf, readWeights } from "../../../../../core/checkpoint/weights.ts";
import { perplexity } from "../../../../../core/eval/perplexity.ts";
import { cpuModel } from "../../../../../core/model/cpu.ts";
import { linearParts } from "../../../../../core/model/layer.ts";
import { referenceOps } from "../../../../../core/model/ops.ts";
import { ropeTables } from "../../../../../core/ops/rope.ts";
import { dequantize } from "../../../../../core/quant/awq-format.ts";
import { floatLayer } from "../../../../../core/quant/quantize-layers.ts";
import { type QuantizeJob, quantizeModel } from "../../../../../core/quant/quantize-model.ts";
import { openPart, partWeights } from "../../../../../core/quant/quantized-parts.ts";
import { makeBench, runLayer } from "../../../../../core/quant/search/capture.ts";
import { methods, type Settings } from "../../../../../core/quant/search/stages.ts";
import { weightsInto } from "../../../../../core/quant/train/latent.ts";
import { forward } from "../../../../../core/quant/train/layer.ts";
import { singles } from "../../../../../core/quant/train/numbers.ts";
import { latentLayer, packedLayer } from "../../../../../core/quant/train/packed.ts";
import { shortTexts } from "../../../../../core/quant/train/whole.ts";
import { numbers } from "../../../fixtures/random-model.ts";
import type { Files } from "../../checkpoint/small-checkpoint.ts";
import { type FloatOptions, smallTexts, writeFloat } from "../float-checkpoint.ts";

const settingsOf = (more: Partial<Settings>): Settings => ({
  ...methods.awq,
  bits: 3,
  groupSize: 16,
  stepTokens: 40,
  scaleRate: 0.002,
  ...more,
});
const texts = smallTexts(8, 24);

interface Ran {
  readonly files: Files;
  readonly parts: Files;
}

async function run(source: Files, settings: Settings, more: Partial<QuantizeJob> = {}, parts: Files = new Map()): Promise<Ran> {
  const files: Files = new Map();
  await quantizeModel({
    source: memoryStore("source", source),
    parts: { store: memoryStore("parts", parts), writer: memoryFolder(parts) },
    target: memoryFolder(files),
    ops: referenceOps,
    settings,
    calibration: { name: "small", texts },
    ...more,
  });
  return { files, parts };
}

const modelOf = async (files: Files) => {
  const { config, refs } = await openCheckpoint(memoryStore("m", files));
  return cpuModel(config, await readWeights(refs));
};

/** Mean KL(float ‖ int4) on the calibration texts. */
async function divergence(files: Files, source: Files): Promise<number> {
  const result = await perplexity(
    await modelOf(files),
    texts.map((ids) => ({ ids })),
    { context: 64, stride: 32, base: await modelOf(source) },
  );
  return result.comparison!.kl.value;
}

const families: readonly FloatOptions[] = [
  { family: "llama" },
  { family: "llama", heads: 4, kvHeads: 4, dtype: "F32" },
  { family: "qwen2", dtype: "BF16" },
  { family: "qwen3", heads: 8, kvHeads: 2 },
];

describe("a layer to be trained", () => {
  it.each(families)("of $family gives what the engine's forward pass gives, sequence by sequence", async (options) => {
    const { config, refs } = await openCheckpoint(memoryStore("m", await writeFloat(options)));
    const weights = await readerOf().layer(refs.layers[0]!);
    const next = numbers(3);
    const lengths = [5, 1, 7];
    const streams = lengths.map((T) => Float32Array.from({ length: T * config.hiddenSize }, () => next()));
    const x = Float32Array.from(streams.flatMap((stream) => [...stream]));
    const { out } = forward(singles(referenceOps), config, floatLayer(weights), ropeTables(config, 8), x, lengths);
    runLayer(makeBench(referenceOps, config, 8), weights, streams);
    const expected = streams.flatMap((stream) => [...stream]);
    const size = Math.max(...expected.map(Math.abs));
    for (const [i, value] of expected.entries()) expect(Math.abs(out[i]! - value)).toBeLessThan(1e-5 * size);
  });

  it.each(families)("of $family begins as it was written, to the word", async (options) => {
    const source = await writeFloat(options);
    const settings = settingsOf({});
    const { parts } = await run(source, settings);
    const { config, refs } = await openCheckpoint(memoryStore("m", source));
    const part = await openPart(memoryStore("parts", parts), 1);
    const written = await partWeights(part, 1, config, 16);
    const layer = latentLayer(floatLayer(await readerOf().layer(refs.layers[1]!)), written, part.rows, settings.bits);
    expect(packedLayer(layer)).toEqual(written);
    for (const { name } of linearParts) {
      const { weight } = written[name];
      if (weight.kind !== "awq") throw new Error("not int4");
      const { N, K } = layer.latents[name];
      const byRows = new Float32Array(N * K);
      weightsInto(byRows, layer.latents[name]);
      const byInputs = dequantize(weight);
      for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) expect(byRows[n * K + k]).toBe(byInputs[k * N + n]);
    }
  });
});

describe("training", () => {
  it("of each layer by itself comes nearer to the float model than what it starts from", async () => {
    const source = await writeFloat({ family: "llama" });
    const before = await divergence((await run(source, settingsOf({}))).files, source);
    const { files } = await run(source, settingsOf({ blockSteps: 40 }));
    expect(await divergence(files, source)).toBeLessThan(0.9 * before);
  });

  it("of all layers together comes nearer still", async () => {
    const source = await writeFloat({ family: "qwen3" });
    const before = await divergence((await run(source, settingsOf({}))).files, source);
    const heard: number[] = [];
    const { files } = await run(source, settingsOf({ modelSteps: 60 }), { onTraining: ({ kl }) => void heard.push(kl) });
    expect(heard.length).toBe(60);
    expect(await divergence(files, source)).toBeLessThan(0.6 * before);
  });

  it("ended at any step goes on to the same bytes", async () => {
    const source = await writeFloat({ family: "llama" });
    const settings = settingsOf({ blockSteps: 4, modelSteps: 5 });
    const whole = (await run(source, settings)).files;
    const parts: Files = new Map();
    for (const end of [2, 5]) {
      const stopped = run(
        source,
        settings,
        {
          onTraining: ({ step }) => {
            if (step === end) throw new Error("ended");
          },
        },
        parts,
      );
      await expect(stopped).rejects.toThrow("ended");
    }
    expect((await run(source, settings, {}, parts)).files).toEqual(whole);
    // With one of the trained layers lost, too.
    parts.delete("trained-00001.safetensors");
    expect((await run(source, settings, {}, parts)).files).toEqual(whole);
  });

  it("with text of the float model's own ended while that is written goes on to the same bytes", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const settings = settingsOf({ modelSteps: 3, ownTokens: 900 });
    const whole = (await run(source, settings)).files;
    expect(whole.get("model.safetensors")).not.toEqual((await run(source, { ...settings, ownTokens: 0 })).files.get("model.safetensors"));
    const parts: Files = new Map();
    for (const end of [1, 700]) {
      const onWriting = ({ tokens }: { readonly tokens: number }): void => {
        if (tokens >= end) throw new Error("ended");
      };
      await expect(run(source, settings, { onWriting }, parts)).rejects.toThrow("ended");
    }
    // The second went on behind what the first had.
    expect([...parts.keys()].some((name) => name.startsWith("own-"))).toBe(true);
    expect((await run(source, settings, {}, parts)).files).toEqual(whole);
    parts.delete("trained-00000.safetensors");
    const openFloat = async (): Promise<never> => {
      throw new Error("opened again");
    };
    expect((await run(source, settings, { openFloat }, parts)).files).toEqual(whole);
  });

  it("is refused before the search where no text has a second id", async () => {
    const parts: Files = new Map();
    const calibration = { name: "ids.json", texts: [[1, 1, 1], [5]] };
    const given = run(await writeFloat({ family: "llama" }), settingsOf({ modelSteps: 2, ownTokens: 50 }), { calibration }, parts);
    await expect(given).rejects.toThrow("ids.json: no calibration text of two tokens");
    expect(parts.size).toBe(0);
  });

  it("reads texts from their BOS on, none longer than what attention is given, none without a second id", () => {
    const long = [1, ...Array.from({ length: 1100 }, () => 5)];
    expect(shortTexts([[9, 9, 1, 4, 4, 1, 1, 7], long], { bosTokenId: 1 }).map(({ length }) => length)).toEqual([2, 3, 2, 512, 512, 77]);
  });
});
