/** Whole checkpoints from format to format: what is read from each is the same model, and the way back gives the same bytes. */
import { describe, expect, it } from "vitest";
import { memoryFolder } from "../../../../core/checkpoint/byte-sink.ts";
import { memoryStore, readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { type Converted, convertModel, type Format, formats } from "../../../../core/checkpoint/convert-model.ts";
import { encodeSafetensors } from "../../../../core/checkpoint/safetensors.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { f16Bits, f16Values } from "../../../../core/dtype.ts";
import { embeddedModelPath } from "../../../../core/host/embedded.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { linearParts } from "../../../../core/model/layer.ts";
import { dequantize, packNibbles, unpackNibbles } from "../../../../core/quant/awq-format.ts";
import { dataFile } from "../../fixtures/golden.ts";
import { writeFloat } from "../quant/float-checkpoint.ts";
import { editJson, type Files, readEntries, rewrite, smallShape, writeSmall } from "./small-checkpoint.ts";

async function converted(files: Files, format: Format): Promise<{ files: Files; result: Converted }> {
  const out: Files = new Map();
  return { result: await convertModel(memoryStore("m", files), format, memoryFolder(out)), files: out };
}
const loaded = async (files: Files) => {
  const checkpoint = await openCheckpoint(memoryStore("m", files));
  const weights = await readWeights(checkpoint.refs);
  return { quantization: checkpoint.config.quantization, notes: checkpoint.notes(), weights };
};
const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: Error & { code: string }) => `${error.code} ${error.message}`,
  );

const int4Formats = formats.filter((format) => format !== "float16");

describe("an int4 checkpoint", () => {
  it.each(int4Formats)("as %s is the same model, and comes back from it byte for byte", async (format) => {
    const source = await writeSmall();
    source.set("tokenizer_config.json", new TextEncoder().encode("{}"));
    const before = await loaded(source);
    const there = await converted(source, format);
    expect(there.result.rounded).toEqual({ numbers: 0, tensors: 0 });
    const after = await loaded(there.files);
    expect(after.notes).toEqual([]);
    expect(after.quantization?.layout).toBe(format === "awq-gemm" ? "awq" : format);
    expect(after.weights).toEqual(before.weights);
    expect(there.files.get("tokenizer_config.json")).toEqual(source.get("tokenizer_config.json"));
    const back = await converted(there.files, "awq-gemm");
    expect(back.files.get("model.safetensors")).toEqual(source.get("model.safetensors"));
    // Between any two.
    for (const other of int4Formats) {
      const next = await converted(there.files, other);
      expect((await loaded(next.files)).weights).toEqual(before.weights);
    }
  });

  it("with one group over all inputs stays so", async () => {
    const { config } = smallShape;
    const source = await writeSmall({ ...smallShape, config: { ...config, quantization: { ...config.quantization, groupSize: "whole" } } });
    for (const format of int4Formats) {
      const { files } = await converted(source, format);
      const after = await loaded(files);
      expect(after.quantization?.groupSize).toBe("whole");
      expect(after.weights).toEqual((await loaded(source)).weights);
    }
  });

  it("as float16 has (q − z) · s rounded to the nearest, and says how many numbers that changed", async () => {
    const source = await writeSmall();
    const { files, result } = await converted(source, "float16");
    const [before, after] = [(await loaded(source)).weights, await loaded(files)];
    expect(after.quantization).toBeNull();
    let changed = 0;
    for (const [i, layer] of before.layers.entries())
      for (const { name } of linearParts) {
        const [int4, float] = [layer[name].weight, after.weights.layers[i]![name].weight];
        if (int4.kind !== "awq" || float.kind !== "dense") throw new Error("not what was asked for");
        const exact = dequantize(int4);
        const { outFeatures: N, inFeatures: K } = int4;
        for (let k = 0; k < K; k++)
          for (let n = 0; n < N; n++) {
            const bits = f16Bits(exact[k * N + n]!);
            expect(float.data[n * K + k]).toBe(bits);
            if (f16Values()[bits] !== exact[k * N + n]) changed++;
          }
      }
    expect(changed).toBeGreaterThan(0);
    expect(result.rounded.numbers).toBe(changed);
    expect(await refusal(converted(files, "awq-gemm"))).toBe(
      "unsupported m: no linear is int4, expected a quantized model to write as awq-gemm — gureum quantize makes one",
    );
  });

  it("without zero points is written without them where the format has a word for it, and with 8 elsewhere", async () => {
    const source = await writeSmall();
    await rewrite(source, "model.safetensors", (entry) =>
      entry.name.endsWith(".qzeros") ? { ...entry, data: new Uint8Array((entry.data as Uint8Array).length).fill(0x88) } : entry,
    );
    const { files } = await converted(source, "compressed-tensors");
    const names = (await readEntries(files, "model.safetensors")).map(({ name }) => name);
    expect(names.some((name) => name.endsWith(".weight_zero_point"))).toBe(false);
    expect((await loaded(files)).quantization?.symmetric).toBe(true);
    const back = (await converted(files, "awq-gemm")).files;
    expect(await readEntries(back, "model.safetensors")).toEqual(await readEntries(source, "model.safetensors"));
    const config = JSON.parse(new TextDecoder().decode((await converted(files, "gptq")).files.get("config.json")));
    expect(config.quantization_config).toMatchObject({ quant_method: "gptq", sym: true, desc_act: false, checkpoint_format: "gptq" });
  });
});

describe.each([
  ["the embedded model", embeddedModelPath()],
  ["a file that AutoAWQ wrote", dataFile("checkpoints/autoawq-gemm")],
])("%s", (_, folder) => {
  it("is written again byte for byte, straight and by way of every other format", async () => {
    const source: Files = new Map();
    const store = directoryStore(folder);
    for (const name of ["config.json", "model.safetensors"]) {
      const file = await store.open(name);
      source.set(name, await readBytes(file, 0, file.byteLength));
      await file.close();
    }
    for (const format of int4Formats) {
      const { files } = await converted((await converted(source, format)).files, "awq-gemm");
      expect(Buffer.compare(files.get("model.safetensors")!, source.get("model.safetensors")!), format).toBe(0);
      expect(JSON.parse(new TextDecoder().decode(files.get("config.json")))).toEqual(
        JSON.parse(new TextDecoder().decode(source.get("config.json"))),
      );
    }
  });
});

describe("what a format cannot hold is refused by name:", () => {
  it("a zero point of 0 in GPTQ version 1, which version 2 takes", async () => {
    const source = await writeSmall();
    await rewrite(source, "model.safetensors", (entry) => {
      if (entry.name !== "model.layers.1.mlp.up_proj.qzeros") return entry;
      const zeros = unpackNibbles(new Int32Array((entry.data as Uint8Array).slice().buffer));
      zeros[35] = 0;
      return { ...entry, data: new Uint8Array(packNibbles(zeros).buffer) };
    });
    expect(await refusal(converted(source, "gptq"))).toBe(
      "unsupported model.layers.1.mlp.up_proj.qzeros > group 1, output 3: a zero point of 0, which GPTQ version 1 cannot store — convert to gptq-v2",
    );
    expect((await loaded((await converted(source, "gptq-v2")).files)).weights).toEqual((await loaded(source)).weights);
  });

  it("linears that are not int4, in GPTQ; the other formats name them", async () => {
    const source = await writeSmall();
    const weight = new Uint8Array(2 * 32 * 16);
    const entries = (await readEntries(source, "model.safetensors")).filter(({ name }) => !name.startsWith("model.layers.0.mlp.up_proj."));
    entries.push({ name: "model.layers.0.mlp.up_proj.weight", dtype: "F16", shape: [32, 16], data: weight });
    source.set("model.safetensors", await encodeSafetensors(entries));
    expect(await refusal(converted(source, "gptq"))).toMatch(/^unsupported model.layers.0.mlp.up_proj: a linear that is not int4 in GPTQ/);
    for (const [format, key] of [
      ["awq-gemm", "modules_to_not_convert"],
      ["compressed-tensors", "ignore"],
    ] as const) {
      const { files } = await converted(source, format);
      const { quantization_config: config } = JSON.parse(new TextDecoder().decode(files.get("config.json")));
      expect(config[key]).toContain("model.layers.0.mlp.up_proj");
      expect((await loaded(files)).weights).toEqual((await loaded(source)).weights);
    }
  });

  it("scales that are not numbers of float16", async () => {
    const source = await writeSmall();
    await rewrite(source, "model.safetensors", (entry) => {
      if (entry.name !== "model.layers.0.self_attn.q_proj.scales") return entry;
      const bits = new Uint16Array((entry.data as Uint8Array).slice().buffer);
      const values = Float32Array.from(bits, (b) => f16Values()[b]!);
      values[0] = values[0]! * (1 + 2 ** -14);
      return { ...entry, dtype: "F32", data: new Uint8Array(values.buffer) };
    });
    expect(await refusal(converted(source, "gptq-v2"))).toBe(
      "range m: 1 scales in 1 tensors are not numbers of float16, which gptq-v2 is written with — quantize the float model anew",
    );
  });

  it("a float model beyond float16", async () => {
    const source = await writeFloat({ family: "llama", layers: 1, dtype: "BF16" });
    expect(await refusal(converted(source, "float16"))).toBe("done");
    await rewrite(source, "model.safetensors", (entry) => {
      if (entry.name !== "model.norm.weight") return entry;
      const bits = new Uint16Array((entry.data as Uint8Array).slice().buffer);
      bits[2] = 0x47c0;
      return { ...entry, data: new Uint8Array(bits.buffer) };
    });
    expect(await refusal(converted(source, "float16"))).toContain(
      'range model.norm.weight": number beyond float16'.replace("model", '"model'),
    );
  });
});

describe("an edited config.json", () => {
  it("loses an old compression_config, and keeps every other word", async () => {
    const source = await writeSmall();
    editJson(source, "config.json", (config) => Object.assign(config, { compression_config: null, rope_theta: 10000, note: "kept" }));
    const { files } = await converted(source, "gptq-v2");
    const config = JSON.parse(new TextDecoder().decode(files.get("config.json")));
    expect(config).not.toHaveProperty("compression_config");
    expect(config.note).toBe("kept");
  });
});
