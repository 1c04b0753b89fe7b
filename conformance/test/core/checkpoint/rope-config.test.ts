/** What config.json may say of rotations and their scaling, and what is refused by name. */
import { describe, expect, it } from "vitest";
import { parse, refusal } from "./small-config.ts";

describe("rope_scaling, rope_parameters", () => {
  const rope = (scaling: object, changes: object = {}) => parse({ rope_scaling: scaling, ...changes }).ropeScaling;
  const llama3 = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 512 };

  it("reads the old `type` and the new `rope_type`", () => {
    expect(rope({ type: "linear", factor: 2 })).toEqual({ type: "linear", factor: 2 });
    expect(rope({ rope_type: "dynamic", factor: 2.5 })).toEqual({ type: "dynamic", factor: 2.5, originalMaxPositionEmbeddings: 1024 });
    expect(rope({ rope_type: "default" })).toEqual({ type: "none" });
    expect(rope({ rope_type: "linear", type: "linear", factor: 2 })).toEqual({ type: "linear", factor: 2 });
    expect(refusal(() => rope({ rope_type: "yarn", type: "linear", factor: 2 }))).toMatch(
      /^format .*rope_scaling\.type: not rope_type's, expected "yarn", got "linear" — take one of the two out$/,
    );
    expect(rope({ rope_type: "llama3", ...llama3 })).toEqual({
      type: "llama3",
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 512,
    });
  });

  it("reads transformers 5's rope_parameters with rope_theta inside", () => {
    const rope_parameters = { rope_type: "linear", factor: 4, rope_theta: 77 };
    for (const rope_scaling of [null, {}])
      expect(parse({ rope_parameters, rope_theta: 5, rope_scaling })).toMatchObject({
        ropeTheta: 77,
        ropeScaling: { type: "linear", factor: 4 },
      });
    expect(parse({ rope_parameters: { rope_type: "default", rope_theta: 1e6 } })).toMatchObject({
      ropeTheta: 1e6,
      ropeScaling: { type: "none" },
    });
  });

  // A config.json of transformers 5 to which a model's page has people add rope_scaling for long texts.
  it("takes rope_scaling where both are there, and refuses a rope_theta that would be lost so", () => {
    const rope_scaling = { type: "dynamic", factor: 2 };
    const rope_parameters = { rope_type: "default", rope_theta: 1e6 };
    const dynamic = { ropeScaling: { type: "dynamic", factor: 2 } };
    expect(parse({ rope_parameters, rope_scaling: { ...rope_scaling, rope_theta: 9 }, rope_theta: 5 })).toMatchObject({
      ropeTheta: 9,
      ...dynamic,
    });
    expect(parse({ rope_parameters, rope_scaling, rope_theta: 5 })).toMatchObject({ ropeTheta: 5, ...dynamic });
    expect(parse({ rope_parameters: { ...rope_parameters, rope_theta: 10000 }, rope_scaling })).toMatchObject({
      ropeTheta: 10000,
      ...dynamic,
    });
    expect(refusal(() => parse({ rope_parameters, rope_scaling }))).toMatch(
      /rope_parameters\.rope_theta: stands in rope_parameters alone, in whose place rope_scaling is taken — put rope_theta into rope_scaling/,
    );
  });

  it("takes the original length from the top of the config first, as transformers does", () => {
    const yarn = { rope_type: "yarn", factor: 2, original_max_position_embeddings: 64 };
    expect(parse({ rope_scaling: yarn, original_max_position_embeddings: 128 })).toMatchObject({
      ropeScaling: { originalMaxPositionEmbeddings: 128 },
    });
  });

  it("resolves yarn's attention factor as transformers does", () => {
    const yarn = { rope_type: "yarn", factor: 40, original_max_position_embeddings: 4096 };
    const factorOf = (changes: object) => (rope({ ...yarn, ...changes }) as { attentionFactor: number }).attentionFactor;
    // 0.1 ln(40) + 1, and equal mscales, whose quotient is 1.
    expect(factorOf({})).toBe(0.1 * Math.log(40) + 1);
    expect(factorOf({ mscale: 0.75, mscale_all_dim: 0.75 })).toBe(1);
    expect(factorOf({ mscale: 1, mscale_all_dim: 0 })).toBe(0.1 * Math.log(40) + 1);
    expect(factorOf({ mscale: 1, mscale_all_dim: 0.5 })).toBe((0.1 * Math.log(40) + 1) / (0.05 * Math.log(40) + 1));
    expect(factorOf({ attention_factor: 1.25 })).toBe(1.25);
    expect(factorOf({ factor: 1 })).toBe(1);
    expect(rope(yarn)).toMatchObject({ betaFast: 32, betaSlow: 1, truncate: true, originalMaxPositionEmbeddings: 4096 });
    expect(rope({ ...yarn, beta_fast: 16, beta_slow: 2, truncate: false })).toMatchObject({ betaFast: 16, betaSlow: 2, truncate: false });
    expect(rope({ ...yarn, truncate: null })).toMatchObject({ truncate: false });
    expect(rope({ rope_type: "yarn", original_max_position_embeddings: 256 })).toMatchObject({ factor: 4 });
    expect(rope({ rope_type: "yarn", factor: 2 })).toMatchObject({ originalMaxPositionEmbeddings: 1024 });
  });

  it.each([
    [{ rope_type: "longrope" }, /unsupported .*rotary scaling, .*got "longrope"/],
    [{ rope_type: "mrope", mrope_section: [1] }, /unsupported/],
    [{ type: "linear" }, /format .*rope_scaling\.factor: missing/],
    [{ type: "linear", factor: 0 }, /range .*rope_scaling\.factor/],
    [{ type: "linear", factor: "2" }, /format .*rope_scaling\.factor/],
    [{ rope_type: "llama3", ...llama3, low_freq_factor: undefined }, /low_freq_factor: missing/],
    [{ rope_type: "llama3", ...llama3, high_freq_factor: 1 }, /range .*high_freq_factor, expected over low_freq_factor 1/],
    [{ full_attention: { rope_type: "default" } }, /unsupported .*per layer type/],
    [7, /format .*rope_scaling: not a JSON object/],
    [{ rope_type: "yarn", factor: 1e300, mscale: 1e308, mscale_all_dim: 1e308 }, /range .*attention factor/],
  ])("refuses %j", (scaling, message) => {
    expect(refusal(() => parse({ rope_scaling: scaling }))).toMatch(message);
  });
});
