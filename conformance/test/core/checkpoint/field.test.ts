/**
 * Checkpoints as people have them, after public reports (fixtures/data/field): the right words, or one line that says
 * why not.
 */
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { inspectFolder } from "../../../../core/checkpoint/inspect.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import { type LoadedModel, loadModel } from "../../../../index.ts";
import { f64 } from "../../../accuracy.ts";
import { logitBounds } from "../../../watch/composed.ts";
import { checkSteps } from "../../../watch/stepwise.ts";
import { expectedLogits, fieldFiles } from "../../fixtures/field.ts";

const open = (name: string, change: (files: Map<string, Uint8Array>) => void = () => {}): Promise<LoadedModel> => {
  const files = fieldFiles(name);
  change(files);
  return loadModel(memoryStore("m", files), { backend: "cpu" });
};

async function answer(model: LoadedModel, question: string): Promise<{ text: string; finishReason: string }> {
  const run = model.generate({ messages: [{ role: "user", content: question }] }, { maxNewTokens: 30 });
  for (;;) {
    const step = await run.next();
    if (step.done) return step.value;
  }
}

describe("a checkpoint whose index and shards differ in tensors that no Llama uses", () => {
  it("loads, answers, and is warned of once for each", async () => {
    const model = await open("index-leftovers");
    expect(await answer(model, "구름")).toMatchObject({ text: "안녕하세요", finishReason: "stop" });
    const { problems } = await inspectFolder(memoryStore("m", fieldFiles("index-leftovers")));
    expect(problems.map(({ severity }) => severity)).toEqual(["warning", "warning"]);
    expect(problems.map(({ message }) => message).join("\n")).toMatch(/inv_freq[\s\S]*cos_cached/);
    expect(model.notes.length).toBe(2);
  });
});

describe.each(["symmetric-awq", "mixed-precision-biases"])("the checkpoint %s", (name) => {
  it("has the logits of an independent float64 forward pass", async () => {
    const { ids, top } = expectedLogits(name);
    const { config, refs, close } = await openCheckpoint(memoryStore("m", fieldFiles(name)));
    const weights = await readWeights(refs);
    await close();
    const session = cpuModel(config, weights).createSession(ids.length);
    const { logits: all, trace } = await session.forward(ids, { logits: "all", trace: ["*", "layers.*.*"] });
    const bounds = logitBounds(config, weights, ids, trace, f64);
    const last = all.length - config.vocabSize;
    const logits = all.subarray(last);
    // The file gives six decimals.
    for (const { id, logit } of top) expect(Math.abs(logits[id]! - logit)).toBeLessThanOrEqual(bounds[last + id]! + 0.5e-6);
    for (const { name: step, worst } of checkSteps(config, weights, ids, trace, ids.length, f64, 1))
      expect(worst?.headroom ?? 0, step).toBeLessThanOrEqual(1);
    expect(logits.indexOf(Math.max(...logits))).toBe(top[0]!.id);
    expect((await (await open(name)).forward(ids)).logits).toEqual(logits);
  });
});

describe("a checkpoint with a row of NaN in its embedding", () => {
  it("is refused while it is read, in one line that names file, tensor and element", async () => {
    await expect(open("nonfinite-logits")).rejects.toMatchObject({
      code: "non-finite",
      message: expect.stringMatching(
        /^m\/model\.safetensors > "model\.embed_tokens\.weight": NaN or infinity at element \d+, .* download it again/,
      ),
    });
  });
});

describe("a Git LFS pointer", () => {
  const pointer = fieldFiles("lfs-pointer").get("model.safetensors")!;
  const remedy = /a Git LFS pointer, not the file itself — run git lfs pull/;

  it("in place of the weights is named as one", async () => {
    await expect(open("lfs-pointer")).rejects.toMatchObject({ code: "format", message: expect.stringMatching(/^m\/model\.safetensors: /) });
    await expect(open("lfs-pointer")).rejects.toThrow(remedy);
  });

  it("in place of the tokenizer is named as one, and the model still runs on ids", async () => {
    const model = await open("symmetric-awq", (files) => files.set("tokenizer.json", pointer));
    expect(model.tokenizer).toBeNull();
    expect(() => model.encodePrompt({ text: "안녕" })).toThrow(remedy);
    expect((await model.forward([3, 41])).logits.length).toBe(64);
    const files = fieldFiles("symmetric-awq").set("tokenizer.json", pointer);
    await expect(loadModel(memoryStore("m", files), { backend: "cpu", needs: "text" })).rejects.toThrow(remedy);
  });

  it("in place of config.json is named as one", async () => {
    await expect(open("symmetric-awq", (files) => files.set("config.json", pointer))).rejects.toThrow(
      /^m > config\.json: a Git LFS pointer/,
    );
  });
});

describe("a model whose tokenizer or template is not supported", () => {
  const edit = (file: string, change: (value: Record<string, unknown>) => void) => (files: Map<string, Uint8Array>) => {
    const value = JSON.parse(new TextDecoder().decode(files.get(file)));
    change(value);
    files.set(file, new TextEncoder().encode(JSON.stringify(value)));
  };

  it("still runs on ids, and says why where text is given", async () => {
    const model = await open(
      "symmetric-awq",
      edit("tokenizer.json", (value) => Object.assign(value, { pre_tokenizer: { type: "Nonsense" } })),
    );
    const { ids, top } = expectedLogits("symmetric-awq");
    const { logits } = await model.forward(ids);
    expect(logits.indexOf(Math.max(...logits))).toBe(top[0]!.id);
    expect(() => model.encodePrompt({ text: "a" })).toThrow(/Nonsense/);
    expect(model.notes.join()).toMatch(/Nonsense.*\(the model takes ids only\)/);
  });

  it("with a broken template, still encodes text; only messages are refused", async () => {
    const broken = edit("tokenizer_config.json", (value) => Object.assign(value, { chat_template: "{% if %}" }));
    const model = await open("symmetric-awq", broken);
    expect(model.encodePrompt({ text: "구름" }).length).toBeGreaterThan(0);
    expect(() => model.encodePrompt({ messages: [{ role: "user", content: "구름" }] })).toThrow(
      expect.objectContaining({ code: "template" }),
    );
    const files = fieldFiles("symmetric-awq");
    broken(files);
    await expect(loadModel(memoryStore("m", files), { backend: "cpu", needs: "messages" })).rejects.toMatchObject({ code: "template" });
  });
});
