/** GGUF files for peers, read back by a reader of their own. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { quantizeQ4, writeGguf } from "../../../bench/peers/gguf.ts";
import { collectBytes } from "../../../core/checkpoint/byte-sink.ts";
import { f16Bits, f16Values } from "../../../core/dtype.ts";
import { dequantize } from "../../../core/quant/awq-format.ts";
import { recipe, values } from "../../arbitraries.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";

describe("Q4_0", () => {
  it("keeps each number to half a step, or a whole one where the number largest in magnitude has a rival of the other sign", () => {
    fc.assert(
      fc.property(recipe(["ones", "integers", "normal", "positive", "outliers", "equal"]), (data) => {
        const x = values(data, 64);
        const out = new Uint8Array(36);
        quantizeQ4(x, out);
        for (let b = 0; b < 2; b++) {
          const d = f16Values()[out[18 * b]! | (out[18 * b + 1]! << 8)]!;
          for (let i = 0; i < 32; i++) {
            const byte = out[18 * b + 2 + (i % 16)]!;
            const q = i < 16 ? byte & 15 : byte >> 4;
            // Half a step, or the step that 15 falls short of 16; what rounding d to f16 moves eight steps by.
            expect(Math.abs((q - 8) * d - x[32 * b + i]!)).toBeLessThanOrEqual(Math.abs(d) * (1 + 2 ** -7) + 2 ** -22);
          }
        }
      }),
    );
  });
});

/** Names, shapes, types and bytes of a file's tensors. */
function read(file: Uint8Array) {
  const view = new DataView(file.buffer, file.byteOffset);
  let at = 0;
  /** The place before it moves on. */
  const pass = (bytes: number): number => {
    at += bytes;
    return at - bytes;
  };
  const u32 = (): number => view.getUint32(pass(4), true);
  const u64 = (): number => Number(view.getBigUint64(pass(8), true));
  const text = (): string => {
    const length = u64();
    at += length;
    return new TextDecoder().decode(file.subarray(at - length, at));
  };
  expect(new TextDecoder().decode(file.subarray(0, 4))).toBe("GGUF");
  at = 4;
  expect(u32()).toBe(3);
  const [tensorCount, pairCount] = [u64(), u64()];
  const value = (type: number): unknown => {
    if (type === 4 || type === 5) return u32();
    if (type === 6) return view.getFloat32(pass(4), true);
    if (type === 7) return file[pass(1)] === 1;
    if (type === 8) return text();
    expect(type).toBe(9);
    const [of, length] = [u32(), u64()];
    return Array.from({ length }, () => value(of));
  };
  const metadata = new Map<string, unknown>();
  for (let i = 0; i < pairCount; i++) {
    const key = text();
    metadata.set(key, value(u32()));
  }
  const tensors = new Map<string, { shape: number[]; type: number; offset: number }>();
  for (let i = 0; i < tensorCount; i++) {
    const name = text();
    const shape = Array.from({ length: u32() }, u64);
    tensors.set(name, { shape, type: u32(), offset: u64() });
  }
  const start = Math.ceil(at / 32) * 32;
  return { metadata, tensors, start, view };
}

describe("a GGUF file", () => {
  it("holds the model's numbers, its tensors in order and within the file, q's rows as llama.cpp turns them", async () => {
    const base = fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!;
    const config = {
      ...base,
      headDim: 8,
      ropeScaling: { type: "none" as const },
      slidingWindow: null,
      attentionBias: false,
      attentionOutputBias: false,
      mlpBias: false,
      qkNorm: false,
    };
    const { weights } = randomModel(config, 4);
    const file = await collectBytes((sink) => writeGguf(config, weights, "f16", sink));
    const { metadata, tensors, start, view } = read(file);
    expect(metadata.get("llama.block_count")).toBe(config.numHiddenLayers);
    expect(metadata.get("tokenizer.ggml.tokens")).toHaveLength(config.vocabSize);
    expect(tensors.size).toBe(3 + 9 * config.numHiddenLayers);
    const q = tensors.get("blk.0.attn_q.weight")!;
    const { weight } = weights.layers[0]!.qProj;
    const [K, N] = [weight.inFeatures, weight.outFeatures];
    expect(q.shape).toEqual([K, N]);
    const element = (n: number, k: number): number => (weight.kind === "awq" ? dequantize(weight)[k * N + n]! : weight.data[n * K + k]!);
    for (let n = 0; n < N; n++) {
      const head = n - (n % 8);
      const from = head + Math.floor((n % 8) / 2) + (n % 2) * 4;
      expect(view.getUint16(start + q.offset + 2 * n * K, true)).toBe(f16Bits(element(from, 0)));
    }
    const last = tensors.get("output.weight")!;
    expect(start + last.offset + 2 * last.shape[0]! * last.shape[1]!).toBeLessThanOrEqual(file.length);
    expect([...tensors.values()].every(({ offset }) => offset % 32 === 0)).toBe(true);
  });
});
