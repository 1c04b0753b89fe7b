/** A whole checkpoint quantized in memory: what is written, what stays, and that nothing depends on what happened on the way. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryFolder } from "../../../../core/checkpoint/byte-sink.ts";
import { type ByteStore, memorySource, memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { encodeSafetensors, openSafetensors } from "../../../../core/checkpoint/safetensors.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { f16Bits } from "../../../../core/dtype.ts";
import { linearParts } from "../../../../core/model/layer.ts";
import { referenceOps } from "../../../../core/model/ops.ts";
import { dequantize } from "../../../../core/quant/awq-format.ts";
import { type QuantizeJob, quantizeModel } from "../../../../core/quant/quantize-model.ts";
import { layerFile } from "../../../../core/quant/quantized-parts.ts";
import { chooseSettings } from "../../../../core/quant/search/choose.ts";
import { quantize } from "../../../../core/quant/search/grid.ts";
import { LAYER_STEPS } from "../../../../core/quant/search/quantize-layer.ts";
import { type MethodName, type Settings, stages } from "../../../../core/quant/search/stages.ts";
import { editJson, type Files, readEntries } from "../checkpoint/small-checkpoint.ts";
import { type FloatOptions, smallTexts, writeFloat } from "./float-checkpoint.ts";

interface Ran {
  readonly files: Files;
  readonly parts: Files;
}

const settingsOf = (method: MethodName): Settings => ({ ...chooseSettings(method, { modelSteps: 0 }, 0).settings, bits: 4, groupSize: 16 });

async function run(source: Files, settings: Settings, more: Partial<QuantizeJob> = {}, parts: Files = new Map()): Promise<Ran> {
  const files: Files = new Map();
  await quantizeModel({
    source: memoryStore("source", source),
    parts: { store: memoryStore("parts", parts), writer: memoryFolder(parts) },
    target: memoryFolder(files),
    ops: referenceOps,
    settings,
    calibration: { name: "small", texts: smallTexts() },
    ...more,
  });
  return { files, parts };
}

/** A tensor of the source with other numbers. */
async function editEntry(files: Files, name: string, edit: (bytes: ArrayBuffer) => void): Promise<void> {
  const entries = (await readEntries(files, "model.safetensors")).map((entry) => {
    if (entry.name !== name) return entry;
    const bytes = Uint8Array.from(entry.data as Uint8Array);
    edit(bytes.buffer);
    return { ...entry, data: bytes };
  });
  files.set("model.safetensors", await encodeSafetensors(entries));
}

const weightsOf = async (files: Files) => {
  const checkpoint = await openCheckpoint(memoryStore("m", files));
  return { config: checkpoint.config, notes: checkpoint.notes(), weights: await readWeights(checkpoint.refs) };
};

const families: readonly FloatOptions[] = [
  { family: "llama" },
  { family: "llama", heads: 4, kvHeads: 4, dtype: "F32" },
  { family: "qwen2", dtype: "BF16" },
  { family: "qwen3", heads: 8, kvHeads: 2, tied: true },
];

describe("a quantized checkpoint", () => {
  it.each(families)(
    "of $family ($heads heads, $kvHeads kv heads) is read by the engine: int4 linears, all parts there",
    async (options) => {
      for (const method of ["rtn", "awq", "best"] as const) {
        const { files } = await run(await writeFloat(options), settingsOf(method));
        const { config, weights, notes } = await weightsOf(files);
        expect(notes).toEqual([]);
        expect(config.quantization).toEqual({ layout: "awq", groupSize: 16, symmetric: false });
        for (const layer of weights.layers)
          for (const part of linearParts) {
            expect(layer[part.name].weight.kind).toBe("awq");
            expect(layer[part.name].bias !== null).toBe(part.bias(config));
          }
        expect(files.has("README.md")).toBe(false);
      }
    },
  );

  it("of plain rounding has the words of each weight by itself, and every other number as it was", async () => {
    const source = await writeFloat({ family: "qwen2" });
    const { files } = await run(source, settingsOf("rtn"));
    const [before, after] = [(await weightsOf(source)).weights, (await weightsOf(files)).weights];
    for (const [i, layer] of before.layers.entries()) {
      for (const { name } of linearParts) {
        const { weight, bias } = layer[name];
        if (weight.kind !== "dense") throw new Error("not float");
        const values = Float32Array.from(weight.data, (bits) => f16Value(bits));
        expect(after.layers[i]![name].weight).toEqual(quantize(values, weight.outFeatures, weight.inFeatures, 16));
        expect(after.layers[i]![name].bias).toEqual(bias);
      }
      expect(after.layers[i]!.inputLayernorm).toEqual(layer.inputLayernorm);
    }
    for (const name of ["embedTokens", "lmHead", "norm"] as const) expect(after[name]).toEqual(before[name]);
  });

  it("has AutoAWQ's names, dtypes, shapes and config; all else in config.json stays as it was written", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const { files } = await run(source, settingsOf("awq"));
    const entries = await readEntries(files, "model.safetensors");
    const shapes = Object.fromEntries(entries.map(({ name, dtype, shape }) => [name.replace("model.layers.0.", ""), `${dtype} ${shape}`]));
    expect(shapes).toMatchObject({
      "model.embed_tokens.weight": "F16 40,32",
      "self_attn.q_proj.qweight": "I32 32,4",
      "self_attn.q_proj.qzeros": "I32 2,4",
      "self_attn.q_proj.scales": "F16 2,32",
      "self_attn.k_proj.qweight": "I32 32,2",
      "mlp.down_proj.qweight": "I32 48,4",
      "mlp.down_proj.qzeros": "I32 3,4",
      "mlp.down_proj.scales": "F16 3,32",
      "input_layernorm.weight": "F16 32",
    });
    expect(entries).toHaveLength(7 * 3 + 5);
    const { metadata } = await openSafetensors(memorySource("m", files.get("model.safetensors")!));
    expect([...metadata]).toEqual([["format", "pt"]]);
    const text = new TextDecoder().decode(files.get("config.json"));
    expect(text).toContain('"rms_norm_eps": 1e-05');
    expect(text).toContain('"own_words": {"kept": [1.50, "}"]}');
    expect(JSON.parse(text)).toMatchObject({
      torch_dtype: "float16",
      quantization_config: {
        bits: 4,
        group_size: 16,
        modules_to_not_convert: null,
        quant_method: "awq",
        version: "gemm",
        zero_point: true,
      },
    });
    for (const name of ["generation_config.json", "LICENSE"]) expect(files.get(name)).toEqual(source.get(name));
  });

  it("is cut into shards with an index where it is larger than a shard, of the same tensors", async () => {
    const source = await writeFloat({ family: "llama" });
    const [whole, cut] = [await run(source, settingsOf("rtn")), await run(source, settingsOf("rtn"), { maxShardBytes: 4000 })];
    expect([...cut.files.keys()].filter((name) => /^model-0000\d-of-0000\d\.safetensors$/.test(name)).length).toBeGreaterThan(2);
    expect(await weightsOf(cut.files)).toEqual(await weightsOf(whole.files));
  });
});

const f16Value = (bits: number): number => f16Table[bits]!;
const f16Table = Float64Array.from({ length: 65536 }, (_, bits) => {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  return (bits & 0x8000 ? -1 : 1) * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
});

describe("the embedding", () => {
  it("is read no more often where the head is tied to it", async () => {
    /** How often all of it is read at once. */
    const timesRead = async (tied: boolean): Promise<number> => {
      const files = await writeFloat({ family: "llama", layers: 1, tied });
      const { tensors } = await openSafetensors(memorySource("source", files.get("model.safetensors")!));
      const { byteOffset, byteLength } = tensors.get("model.embed_tokens.weight")!;
      let times = 0;
      const inner = memoryStore("source", files);
      const source: ByteStore = {
        ...inner,
        async open(fileName) {
          const file = await inner.open(fileName);
          return {
            ...file,
            async readInto(from, target) {
              if (from <= byteOffset && from + target.length >= byteOffset + byteLength) times++;
              await file.readInto(from, target);
            },
          };
        },
      };
      await run(files, settingsOf("rtn"), { source });
      return times;
    };
    const once = await timesRead(false);
    expect(once).toBeGreaterThan(0);
    expect(await timesRead(true)).toBe(once);
  });
});

describe("a run that was ended", () => {
  it("goes on to the same bytes, whichever of its layers were done", async () => {
    const source = await writeFloat({ family: "llama", layers: 3 });
    for (const inputs of ["float", "quantized", "corrected"] as const) {
      const settings = { ...settingsOf("best"), inputs };
      const undisturbed = await run(source, settings);
      await fc.assert(
        fc.asyncProperty(fc.subarray([0, 1, 2]), async (kept) => {
          const names = new Set(["job.json", ...kept.map((layer) => layerFile(layer))]);
          const parts = new Map([...undisturbed.parts].filter(([name]) => names.has(name)));
          const seen: boolean[] = [];
          const steps: number[][] = [];
          const watch = {
            onLayer: ({ resumed }: { readonly resumed: boolean }): void => void seen.push(resumed),
            onStep: (done: number, total: number): void => void steps.push([done, total]),
          };
          const again = await run(source, settings, watch, parts);
          const total = LAYER_STEPS * (3 - kept.length);
          expect(steps).toEqual(Array.from({ length: total + 1 }, (_, i) => [i, total]));
          expect(seen).toEqual([0, 1, 2].map((layer) => kept.includes(layer)));
          expect(again.files).toEqual(undisturbed.files);
          expect(again.parts).toEqual(undisturbed.parts);
        }),
        { numRuns: 3 },
      );
    }
  });

  it("does not begin where files of others lie", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    await expect(run(source, settingsOf("rtn"), {}, new Map([["mine.txt", new Uint8Array(1)]]))).rejects.toMatchObject({
      code: "usage",
      message: 'parts: "mine.txt" is of no run, and the folder is removed at the end — move what lies there, or give another name',
    });
  });

  it("is not mixed with another: of other settings, calibration or weights", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const { parts } = await run(source, settingsOf("rtn"));
    const other = await writeFloat({ family: "llama", layers: 1, seed: 2 });
    const refused = (what: string): object => ({
      code: "usage",
      message: `parts: layers of another run, with other ${what} — give the same words again to go on with it, or remove the folder`,
    });
    await expect(run(source, settingsOf("awq"), {}, parts)).rejects.toMatchObject(refused("settings"));
    await expect(run(other, settingsOf("rtn"), {}, parts)).rejects.toMatchObject(refused("weights"));
    const calibration = { name: "small", texts: smallTexts(2) };
    await expect(run(source, settingsOf("rtn"), { calibration }, parts)).rejects.toMatchObject(refused("calibration"));
  });

  it("goes on where the same calibration text has another name", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const { parts } = await run(source, settingsOf("rtn"));
    const resumed: boolean[] = [];
    const again = {
      calibration: { name: "elsewhere", texts: smallTexts() },
      onLayer: (done: { readonly resumed: boolean }): void => void resumed.push(done.resumed),
    };
    await run(source, settingsOf("rtn"), again, parts);
    expect(resumed).toEqual([true]);
  });

  it("that had not finished a layer gives way to another", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const { files, parts } = await run(source, settingsOf("rtn"), {}, new Map([["job.json", new TextEncoder().encode("{}\n")]]));
    expect(parts.size).toBe(2);
    expect(files.has("config.json")).toBe(true);
  });
});

describe("the searched linears of a model", () => {
  it("lose no more on the calibration texts than by plain rounding, group for group", async () => {
    const source = await writeFloat({ family: "llama", heads: 4, kvHeads: 4 });
    for (const method of ["awq", "best"] as const) {
      const [parts, files]: [Files, Files] = [new Map(), new Map()];
      const { layers } = await quantizeModel({
        source: memoryStore("source", source),
        parts: { store: memoryStore("parts", parts), writer: memoryFolder(parts) },
        target: memoryFolder(files),
        ops: referenceOps,
        settings: { ...settingsOf(method), scaleLoss: "absolute" },
        calibration: { name: "small", texts: smallTexts() },
      });
      expect(JSON.parse(new TextDecoder().decode(files.get("gureum-quantize.json")))).toMatchObject({ layers });
      for (const losses of layers)
        for (const [group, slack] of [
          [["oProj"], 1e-6],
          [["downProj"], 1e-6],
          // Norms are rounded to f16 behind their scales, and rows are divided by the scales of what follows.
          [["qProj", "kProj", "vProj"], 0.02],
          [["gateProj", "upProj"], 0.02],
        ] as const) {
          const total = (which: "nearest" | "quantized"): number =>
            group.reduce((sum, name) => sum + losses[name][which] * losses[name].power, 0);
          expect(total("quantized"), `${method} ${group}`).toBeLessThanOrEqual(total("nearest") * (1 + slack));
          expect(total("quantized")).toBeGreaterThan(0);
        }
    }
  });

  it("go through stages of the caller's own", async () => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    const asked: string[] = [];
    const { files } = await run(source, settingsOf("awq"), {
      stages: {
        scales: () => null,
        round(ops, name, matrix, gram, grids, factor, settings) {
          asked.push(name);
          const { q } = stages.round(ops, name, matrix, gram, grids, factor, settings);
          return { q: q.fill(grids.zeros[0]!), grids: { ...grids, zeros: grids.zeros.slice().fill(grids.zeros[0]!) } };
        },
      },
    });
    expect([...new Set(asked)]).toEqual(["qProj", "kProj", "vProj", "oProj", "gateProj", "upProj", "downProj"]);
    const { weights } = await weightsOf(files);
    const { weight } = weights.layers[0]!.qProj;
    if (weight.kind !== "awq") throw new Error("not int4");
    expect([...dequantize(weight)].every((w) => w === 0)).toBe(true);
  });
});

describe("what cannot be quantized is refused by name", () => {
  const refusal = async (change: (files: Files) => void | Promise<void>, settings = settingsOf("rtn"), more: Partial<QuantizeJob> = {}) => {
    const source = await writeFloat({ family: "llama", layers: 1 });
    await change(source);
    return run(source, settings, more).then(
      () => "done",
      (error: Error & { code: string }) => `${error.code} ${error.message}`,
    );
  };

  it.each([
    ["model.layers.0.mlp.up_proj.weight", 'source/model.safetensors > "model.layers.0.mlp.up_proj.weight": NaN or infinity at element 5'],
    ["lm_head.weight", "NaN or infinity at element 5"],
    ["model.norm.weight", "NaN or infinity at element 5"],
    ["model.embed_tokens.weight", "NaN or infinity at element 5"],
  ])("a NaN in %s, before a layer is computed where it lies beside the layers", async (name, message) => {
    let layers = 0;
    const makeNaN = (bytes: ArrayBuffer): void => void new Uint16Array(bytes).fill(0x7e00, 5, 6);
    const onLayer = (): void => void layers++;
    const got = await refusal((files) => editEntry(files, name, makeNaN), settingsOf("rtn"), { onLayer });
    expect(got).toContain(message);
    expect(got).toMatch(/^non-finite /);
    expect(layers).toBe(0);
  });

  it("a weight beyond what a float16 scale reaches, by its linear, with what to do", async () => {
    const source = await writeFloat({ family: "llama", layers: 1, dtype: "F32" });
    await editEntry(source, "model.layers.0.mlp.up_proj.weight", (bytes) => new Float32Array(bytes).fill(1e6, 3, 4));
    await expect(run(source, settingsOf("rtn"))).rejects.toMatchObject({
      code: "range",
      message: expect.stringMatching(
        /up_?proj.*: scale of a group of weights, expected at most 65504 \(f16\), got .* — look for a damaged weight/i,
      ),
    });
  });

  it("a model that is int4 already, groups that do not divide its inputs, texts beyond its context or vocabulary, no texts", async () => {
    const once = (await run(await writeFloat({ family: "llama", layers: 1 }), settingsOf("rtn"))).files;
    const again = run(once, settingsOf("rtn")).catch((error: Error) => error.message);
    expect(await again).toBe(
      "model.layers.0.self_attn.q_proj: is quantized already — take the float release of the model; for another layout use gureum convert",
    );
    expect(await refusal(() => {}, { ...settingsOf("rtn"), groupSize: 20 })).toBe(
      "shape model.layers.0.self_attn.q_proj: AWQ input features, expected a multiple of the group size 20, got 32",
    );
    const texts = (ids: number[][]) => ({ calibration: { name: "mine.json", texts: ids } });
    expect(await refusal(() => {}, settingsOf("rtn"), texts([Array(65).fill(1)]))).toMatch(
      /^context mine.json: calibration text, expected at most 64/,
    );
    expect(await refusal(() => {}, settingsOf("rtn"), texts([[1], [40]]))).toMatch(/^range calibration text 1 > ids\[0\]: token id/);
    expect(await refusal(() => {}, settingsOf("rtn"), texts([]))).toBe(
      "usage mine.json: no calibration text — give a file that holds some",
    );
    expect(await refusal((files) => editJson(files, "config.json", (c) => Object.assign(c, { hidden_act: "gelu" })))).toMatch(
      /^unsupported /,
    );
  });

  it("numbers beyond float16", async () => {
    const source = await writeFloat({ family: "llama", layers: 1, dtype: "F32" });
    await editEntry(source, "lm_head.weight", (bytes) => new Float32Array(bytes).fill(70000, 3, 4));
    await expect(run(source, settingsOf("rtn"))).rejects.toMatchObject({
      code: "range",
      message: expect.stringContaining('"lm_head.weight": number beyond float16, expected at most 65504, got 70000'),
    });
    expect(f16Bits(70000)).toBe(0x7c00);
  });
});
