/** The quantizer's search on the device against the CPU's: the same scales, the same words but for ties of f32. */
import { describe, expect, it } from "vitest";
import { memoryFolder } from "../../../core/checkpoint/byte-sink.ts";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { linearParts } from "../../../core/model/layer.ts";
import { referenceOps } from "../../../core/model/ops.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { dequantize } from "../../../core/quant/awq-format.ts";
import { type QuantizeReport, quantizeModel } from "../../../core/quant/quantize-model.ts";
import { layerFile } from "../../../core/quant/quantized-parts.ts";
import { type MethodName, methods, type Settings } from "../../../core/quant/search/stages.ts";
import { makeLayerSearch } from "../../../gpu/search/layer-search.ts";
import type { Files } from "../core/checkpoint/small-checkpoint.ts";
import { type FloatOptions, smallTexts, writeFloat } from "../core/quant/float-checkpoint.ts";
import { testDevice } from "./device.ts";

const settingsOf = (method: MethodName, more: Partial<Settings> = {}): Settings => ({
  ...methods[method],
  bits: 4,
  groupSize: 16,
  ...(method === "rtn" ? {} : { scaleSteps: 7 }),
  ...more,
});

async function run(
  source: Files,
  settings: Settings,
  onGpu: boolean,
  parts: Files = new Map(),
): Promise<{ weights: LlamaWeights; report: QuantizeReport; parts: Files; files: Files }> {
  const files: Files = new Map();
  const { config } = await openCheckpoint(memoryStore("source", source));
  const search = onGpu ? makeLayerSearch(await testDevice(), config, settings) : null;
  const report = await quantizeModel({
    source: memoryStore("source", source),
    parts: { store: memoryStore("parts", parts), writer: memoryFolder(parts) },
    target: memoryFolder(files),
    ops: referenceOps,
    settings,
    calibration: { name: "small", texts: smallTexts() },
    ...(search ? { search } : {}),
  });
  search?.close();
  const checkpoint = await openCheckpoint(memoryStore("m", files));
  return { weights: await readWeights(checkpoint.refs), report, parts, files };
}

const floatOf = async (source: Files): Promise<LlamaWeights> => readWeights((await openCheckpoint(memoryStore("source", source))).refs);

/** Share of numbers that differ by more than `most` of the largest. */
const apart = (got: Float32Array, right: Float32Array, most: number): number => {
  const largest = right.reduce((sum, value) => Math.max(sum, Math.abs(value)), 0);
  return got.filter((value, i) => !(Math.abs(value - right[i]!) <= most * largest)).length / got.length;
};

const models: readonly (readonly [FloatOptions, MethodName, Partial<Settings>])[] = [
  [{ family: "llama", layers: 2 }, "awq", {}],
  [
    { family: "llama", heads: 4, kvHeads: 4, dtype: "F32", seed: 3, layers: 1 },
    "awq",
    { clip: "asymmetric", scaleBoth: true, scaleSteps: 3 },
  ],
  [{ family: "llama", dtype: "BF16", seed: 5, layers: 1 }, "awq", { bits: 3 }],
  [{ family: "llama", seed: 7, layers: 1 }, "rtn", {}],
  // down_proj in 68 groups.
  [{ family: "llama", seed: 9, layers: 1, width: 544 }, "awq", { groupSize: 8 }],
];

describe("the search on WebGPU", () => {
  it.each(models)("of %o by %s %o chooses the CPU's scales and writes its numbers", async (options, method, more) => {
    const source = await writeFloat(options);
    const settings = settingsOf(method, more);
    const [cpu, gpu] = [await run(source, settings, false), await run(source, settings, true)];
    if (method === "awq") expect(cpu.weights.layers[0]!.inputLayernorm).not.toEqual((await floatOf(source)).layers[0]!.inputLayernorm);
    for (const [l, layer] of cpu.weights.layers.entries()) {
      const other = gpu.weights.layers[l]!;
      // Norms are divided by the scales: another ratio would show in all of them.
      for (const name of ["inputLayernorm", "postAttentionLayernorm"] as const)
        expect(apart(other[name], layer[name], 2e-3), `${l} ${name}`).toBe(0);
      for (const { name } of linearParts) {
        const [right, got] = [layer[name].weight, other[name].weight];
        if (right.kind !== "awq" || got.kind !== "awq") throw new Error("not int4");
        expect(apart(dequantize(got), dequantize(right), 2e-3), `${l} ${name}`).toBeLessThan(0.02);
        const [a, b] = [gpu.report.layers[l]![name], cpu.report.layers[l]![name]];
        for (const key of ["nearest", "quantized", "power"] as const) expect(a[key] / b[key], `${l} ${name} ${key}`).toBeCloseTo(1, 2);
        expect(a.sampled).toBe(b.sampled);
      }
    }
  });

  it("goes on to the same bytes, whichever of its layers were done", async () => {
    const source = await writeFloat({ family: "llama", layers: 2 });
    const settings = settingsOf("awq", { scaleSteps: 1 });
    const { files, parts } = await run(source, settings, true);
    for (const done of [[0], [1], [0, 1]]) {
      const kept = new Map([...parts].filter(([name]) => name === "job.json" || done.some((layer) => name === layerFile(layer))));
      expect((await run(source, settings, true, kept)).files, `${done}`).toEqual(files);
    }
  });

  it("refuses a weight that is no number, by its place", async () => {
    const source = await writeFloat({ family: "llama" });
    const { config } = await openCheckpoint(memoryStore("source", source));
    const search = makeLayerSearch(await testDevice(), config, settingsOf("awq"));
    const layer = (await floatOf(source)).layers[0]!;
    await search.begin([new Float32Array(64)]);
    const data = (layer.upProj.weight as { data: Uint16Array }).data.slice();
    data[3 * 32 + 5] = 0x7e00;
    const broken = { ...layer, upProj: { ...layer.upProj, weight: { ...layer.upProj.weight, data } } } as typeof layer;
    await expect(search.quantize(broken, () => {})).rejects.toThrow(/upProj.*row 3, input 5.*NaN/);
    search.close();
  });
});
