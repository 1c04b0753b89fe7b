/** Scalings of RoPE against vectors of another implementation; the kit `rope` has the formulas. About 0.1 s. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../../core/checkpoint/config.ts";
import type { LlamaConfig } from "../../../../core/config.ts";
import { ropeFrequencies, ropeTables } from "../../../../core/ops/rope.ts";
import { anglesAt } from "../../../accuracy.ts";
import { dataFile } from "../../fixtures/golden.ts";

interface Vector {
  readonly name: string;
  readonly head_dim: number;
  readonly rope_theta: number;
  readonly max_position_embeddings: number;
  readonly rope_scaling: Record<string, unknown>;
  readonly length: number;
  readonly attention_factor: number;
  readonly inv_freq: readonly number[];
}
const { cases } = JSON.parse(readFileSync(dataFile("rope.json"), "utf8")) as { cases: Vector[] };

const configOf = ({ head_dim, rope_theta, max_position_embeddings, rope_scaling }: Vector): LlamaConfig =>
  parseConfig(
    new TextEncoder().encode(
      JSON.stringify({
        architectures: ["LlamaForCausalLM"],
        vocab_size: 32,
        hidden_size: 2 * head_dim,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        head_dim,
        rms_norm_eps: 1e-5,
        rope_theta,
        max_position_embeddings,
        rope_scaling,
      }),
    ),
  );

describe("scalings of RoPE", () => {
  it.each(cases)("have the frequencies and the factor that transformers gives: $name", (vector) => {
    const { frequencies, attentionFactor } = ropeFrequencies(configOf(vector), vector.length);
    expect(frequencies).toHaveLength(vector.inv_freq.length);
    expect(Math.abs(attentionFactor / vector.attention_factor - 1)).toBeLessThan(1e-14);
    for (const [i, f] of frequencies.entries()) expect(Math.abs(f / vector.inv_freq[i]! - 1), `pair ${i}`).toBeLessThan(1e-13);
  });

  it.each(cases)("turn as the formulas written apart say, at the last position too: $name", (vector) => {
    const config = configOf(vector);
    const rotation = { headDim: config.headDim, theta: config.ropeTheta, scaling: config.ropeScaling, maxContext: vector.length };
    const tables = ropeTables(config, 300, vector.length);
    for (const position of [0, 1, 299]) {
      const { cos, sin, error } = anglesAt(position, rotation);
      for (let i = 0; i < cos.length; i++) {
        expect(Math.abs(tables.cos[position * cos.length + i]! - cos[i]!)).toBeLessThanOrEqual(error[i]!);
        expect(Math.abs(tables.sin[position * cos.length + i]! - sin[i]!)).toBeLessThanOrEqual(error[i]!);
      }
    }
    // What the vectors say of position 131,071.
    const last = anglesAt(131_071, rotation);
    for (const [i, f] of vector.inv_freq.entries())
      expect(Math.abs(Math.cos(131_071 * f) * vector.attention_factor - last.cos[i]!)).toBeLessThanOrEqual(2 * last.error[i]! + 1e-15);
  });
});
