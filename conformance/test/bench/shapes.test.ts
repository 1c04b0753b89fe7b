import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { linearBytes, linearShapes, openShape, shapeNames } from "../../../bench/shapes.ts";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import { memoryFolder } from "../../../core/checkpoint/byte-sink.ts";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { synth, synthTensorBytes } from "../../../core/checkpoint/synth.ts";
import { type SynthShape, synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { listRefs, openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

const named = Object.entries<SynthShape>(synthShapes);
const tiny: SynthShape = { ...synthShapes.tiny, config: { ...synthShapes.tiny.config, numHiddenLayers: 2, vocabSize: 96 } };
const files = new Map<string, Uint8Array>();

const work = freshFolder("bench");
beforeAll(async () => {
  await synth(tiny, memoryFolder(files), { seed: 1 });
});

describe("shapes", () => {
  it("are those that core knows, by the same names", async () => {
    expect(shapeNames).toEqual(named.map(([name]) => name));
    for (const [name, { config }] of named) expect(await openShape(name)).toEqual({ name, config });
  });

  it.each(named)("of %s hold the bytes that a checkpoint of it holds", (_name, shape) => {
    const { hiddenSize: D, vocabSize: V, numHiddenLayers: L, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = shape.config;
    const linears = linearShapes(shape.config).reduce((sum, linear) => sum + linear.count * linearBytes(linear), 0);
    const embeddings = 2 * V * D * 2;
    const norms = (2 * L + 1) * D * 2;
    const biases = shape.config.attentionBias ? (H + 2 * G) * Hd * 2 : 0;
    const headNorms = shape.config.qkNorm ? 2 * Hd * 2 : 0;
    expect(L * (linears + biases + headNorms) + embeddings + norms).toBe(synthTensorBytes(shape));
  });

  it("come from a config.json as well, or from the folder that holds one", async () => {
    const path = join(work, "config.json");
    await writeFile(path, files.get("config.json")!);
    for (const word of [path, work]) {
      const { config } = await openShape(word);
      expect(linearShapes(config)).toEqual(linearShapes(tiny.config));
      expect(config.vocabSize).toBe(tiny.config.vocabSize);
    }
  });

  it("are refused by name: no such shape, no such file, no config", async () => {
    await expect(openShape("solar")).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("solar-10.7b") });
    await expect(openShape(join(work, "none.json"))).rejects.toMatchObject({ code: "not-found" });
    await writeFile(join(work, "bad.json"), "[1]");
    await expect(openShape(join(work, "bad.json"))).rejects.toMatchObject({ code: "format" });
  });
});

describe("synthetic weights", () => {
  it("have the keys, dtypes, shapes and bytes of a checkpoint", async () => {
    const checkpoint = await openCheckpoint(memoryStore("memory", files));
    const plain = (refs: Parameters<typeof listRefs>[0]) =>
      listRefs(refs).map(({ key, dtype, shape, byteLength }) => ({ key, dtype, shape, byteLength }));
    expect(plain(syntheticRefs(tiny.config))).toEqual(plain(checkpoint.refs));
    await checkpoint.close();
  });

  it.each(named)("of %s add up to core's bytes", (_name, shape) => {
    const refs = listRefs(syntheticRefs(shape.config));
    expect(refs.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(synthTensorBytes(shape));
  });

  it("are the same bytes however they are cut", async () => {
    const refs = listRefs(syntheticRefs(tiny.config));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: refs.length - 1 }), fc.array(fc.nat(), { maxLength: 5 }), async (which, cuts) => {
        const ref = refs[which]!;
        const whole = new Uint8Array(ref.byteLength);
        await ref.readInto(0, whole);
        const borders = [0, ...cuts.map((cut) => cut % ref.byteLength).sort((a, b) => a - b), ref.byteLength];
        for (let i = 0; i + 1 < borders.length; i++) {
          const part = new Uint8Array(borders[i + 1]! - borders[i]!);
          await ref.readInto(borders[i]!, part);
          expect(Buffer.compare(part, whole.subarray(borders[i]!, borders[i + 1]!))).toBe(0);
        }
      }),
    );
  });

  it("make a model whose logits are finite and differ", async () => {
    const model = cpuModel(tiny.config, await readWeights(syntheticRefs(tiny.config)));
    const { logits } = await model.createSession(8).forward([1, 2, 3]);
    expect(logits.every(Number.isFinite)).toBe(true);
    expect(new Set(logits).size).toBeGreaterThan(tiny.config.vocabSize / 2);
    model.dispose();
  });
});
