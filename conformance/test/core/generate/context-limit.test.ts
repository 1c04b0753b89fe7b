/** How many positions a model has, by its config; the numbers of the cases are those of the models named. */
import { describe, expect, it } from "vitest";
import { contextLimit } from "../../../../core/generate/generate.ts";
import { parse } from "../checkpoint/small-config.ts";

const yarn = (factor: number, original?: number) => ({ rope_type: "yarn", factor, original_max_position_embeddings: original });

describe("the most positions of a model", () => {
  it.each([
    ["no scaling", 4096, null, 4096],
    ["Vicuna 16k, linear", 4096, { type: "linear", factor: 4 }, 16384],
    ["Yi, dynamic", 4096, { type: "dynamic", factor: 2.5 }, 10240],
    ["Llama 3.1", 131072, { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 }, 131072],
    ["Qwen 2.5 with the scaling that its page has people add", 32768, yarn(4, 32768), 131072],
    ["DeepSeek's, which states the stretched length", 163840, yarn(40, 4096), 163840],
    ["Qwen 3 with yarn for less than it was trained for", 40960, yarn(1, 32768), 40960],
    ["yarn that states no original length", 8192, yarn(2), 16384],
  ])("of %s", (_name, max_position_embeddings, rope_scaling, limit) => {
    expect(contextLimit(parse({ max_position_embeddings, rope_scaling }))).toBe(limit);
  });
});
