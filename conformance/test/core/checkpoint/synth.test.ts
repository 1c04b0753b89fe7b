/** Synthetic checkpoints: the published sizes, the same bytes for a seed, and weights of sensible size. */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { FolderWriter } from "../../../../core/checkpoint/byte-sink.ts";
import { synth, synthTensorBytes } from "../../../../core/checkpoint/synth.ts";
import { synthShapes } from "../../../../core/checkpoint/synth-shapes.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { f16Values } from "../../../../core/dtype.ts";
import { dequantize, unpackNibbles } from "../../../../core/quant/awq-format.ts";
import type { AwqMatrix } from "../../../../core/tensor.ts";
import { smallShape, storeOf, writeSmall } from "./small-checkpoint.ts";

const moments = (values: ArrayLike<number>): { mean: number; deviation: number } => {
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < values.length; i++) {
    sum += values[i]!;
    squares += values[i]! ** 2;
  }
  const mean = sum / values.length;
  return { mean, deviation: Math.sqrt(squares / values.length - mean * mean) };
};

describe("synth", () => {
  it("has the published KULLM3-AWQ's tensor bytes", () => {
    expect(synthTensorBytes(synthShapes["solar-10.7b"])).toBe(5_964_046_336);
  });

  it("has the bytes that the shapes of the other models give", () => {
    for (const { config } of Object.values(synthShapes)) {
      const {
        hiddenSize: d,
        intermediateSize: f,
        vocabSize: v,
        numHiddenLayers: l,
        headDim,
        numAttentionHeads: h,
        numKeyValueHeads: kv,
      } = config;
      const linear = 2 * d * h * headDim + 2 * d * kv * headDim + 3 * d * f;
      const groupBytes = (linear / 128) * (0.5 + 2);
      const biases = config.attentionBias ? 2 * (h + 2 * kv) * headDim : 0;
      const headNorms = config.qkNorm ? 4 * headDim : 0;
      const layer = linear / 2 + groupBytes + 4 * d + biases + headNorms;
      expect(synthTensorBytes({ config, maxShardBytes: 1 }), config.architecture).toBe(l * layer + 4 * v * d + 2 * d);
    }
  });

  it("writes the same bytes for a seed, and others for another", async () => {
    const digest = async (seed: number): Promise<string> => {
      const hash = createHash("sha256");
      for (const [name, bytes] of [...(await writeSmall(smallShape, seed))].sort()) hash.update(name).update(bytes);
      return hash.digest("hex");
    };
    expect(await digest(1)).toBe(await digest(1));
    expect(await digest(1)).not.toBe(await digest(2));
  });

  it("writes the words of the documented generator (vectors from a separate implementation in Python)", async () => {
    const { layers } = await readWeights((await openCheckpoint(storeOf(await writeSmall(smallShape, 1)))).refs);
    const { qweight, qzeros } = layers[0]!.qProj.weight as AwqMatrix;
    const words = (array: Int32Array): string[] => [...array].map((word) => (word >>> 0).toString(16));
    expect(words(qweight.subarray(0, 4))).toEqual(["7849b01c", "c9167f0", "691dc5a9", "47ea39d0"]);
    expect(words(qweight.subarray(28))).toEqual(["f8787763", "e16fa32a", "69a7449", "65530a70"]);
    expect(words(qzeros)).toEqual(["87777778", "78787878", "78878787", "77777877"]);
  });

  it("writes what opens and reads without a problem, in weights of standard deviation 1/sqrt(K)", async () => {
    const files = await writeSmall(synthShapes.tiny);
    const { config, refs } = await openCheckpoint(storeOf(files));
    expect(config).toEqual(synthShapes.tiny.config);
    const weights = await readWeights(refs);
    for (const { weight } of [weights.layers[0]!.qProj, weights.layers[7]!.downProj]) {
      const matrix = weight as AwqMatrix;
      const { mean, deviation } = moments(dequantize(matrix));
      const unit = 1 / Math.sqrt(matrix.inFeatures);
      const count = matrix.inFeatures * matrix.outFeatures;
      // Scales uniform in 0.75..1.25 widen the product by sqrt(1 + 1/48); six standard errors of mean and deviation.
      const expected = unit * Math.sqrt(1 + 1 / 48);
      expect(Math.abs(mean)).toBeLessThan((6 * expected) / Math.sqrt(count) + (6 * unit * Math.sqrt(0.25 / 21.5)) / Math.sqrt(count / 128));
      expect(Math.abs(deviation / expected - 1)).toBeLessThan(6 / Math.sqrt(count / 128));
      expect(new Set(unpackNibbles(matrix.qzeros))).toEqual(new Set([7, 8]));
      expect(new Set(unpackNibbles(matrix.qweight)).size).toBe(16);
    }
    const table = f16Values();
    const embedding = moments(Float32Array.from(weights.embedTokens.data as Uint16Array, (bits) => table[bits]!));
    expect(Math.abs(embedding.mean)).toBeLessThan(6 / 16 / 1024);
    expect(Math.abs(embedding.deviation * 16 - 1)).toBeLessThan(6 / 1024);
    expect(weights.embedTokens.data).not.toEqual(weights.lmHead.data);
  });

  it("reports progress up to exactly all tensor bytes, in pieces of a few megabytes", async () => {
    const seen: number[] = [];
    let largest = 0;
    const folder: FolderWriter = {
      file: (_, body) =>
        body(async (bytes) => {
          largest = Math.max(largest, bytes.length);
        }),
    };
    await synth(synthShapes.tiny, folder, { seed: 0, onProgress: (done) => seen.push(done) });
    expect(seen.at(-1)).toBe(synthTensorBytes(synthShapes.tiny));
    expect(largest).toBeLessThanOrEqual(2 ** 22);
  });

  it("passes on what the folder throws, and refuses a seed that is no u32", async () => {
    const full = { file: () => Promise.reject(new Error("full")) };
    await expect(synth(smallShape, full, { seed: 0 })).rejects.toThrow("full");
    for (const seed of [-1, 0.5, 2 ** 32, Number.NaN])
      await expect(synth(smallShape, full, { seed })).rejects.toMatchObject({ code: "range" });
    const odd = {
      ...smallShape,
      config: { ...smallShape.config, quantization: { layout: "awq" as const, groupSize: 3, symmetric: false } },
    };
    await expect(synth(odd, full, { seed: 0 })).rejects.toMatchObject({ code: "shape" });
  });
});
