import { describe, expect, it } from "vitest";
import { parseSamplingConfig } from "../../../../core/checkpoint/sampling-config.ts";
import { encodeUtf8 } from "../../../../core/utf8.ts";

const parse = (config: unknown) => parseSamplingConfig(encodeUtf8(typeof config === "string" ? config : JSON.stringify(config)));

describe("generation_config.json's sampling", () => {
  it("is greedy where the file does not ask for sampling, whatever temperature it names", () => {
    expect(parse({})).toEqual({ defaults: {}, ignored: [] });
    expect(parse({ do_sample: false, temperature: 0.6, num_beams: 1 })).toEqual({ defaults: {}, ignored: [] });
  });
  it("draws at temperature 1 from the 50 likeliest where it asks for sampling and says no more", () => {
    expect(parse({ do_sample: true }).defaults).toEqual({ temperature: 1, topK: 50 });
  });
  it("takes what the file says", () => {
    const file = { do_sample: true, temperature: 0.6, top_k: 0, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.1 };
    expect(parse(file)).toEqual({
      defaults: { temperature: 0.6, topK: 0, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1 },
      ignored: [],
    });
    // These need no sampling, or wait for a temperature of the caller's.
    expect(parse({ top_p: 0.8, repetition_penalty: 1.2 }).defaults).toEqual({ topP: 0.8, repetitionPenalty: 1.2 });
  });
  it("names what it leaves out: settings that are not done, values out of range or of another type", () => {
    const file = { do_sample: true, num_beams: 4, no_repeat_ngram_size: 0, typical_p: 0.9, bad_words_ids: [], suppress_tokens: [1] };
    expect(parse(file).ignored).toEqual(["num_beams", "typical_p", "suppress_tokens"]);
    const later = { stop_strings: ["User:"], watermarking_config: { bias: 2 }, exponential_decay_length_penalty: [10, 1.1], top_h: 0.4 };
    expect(parse(later).ignored.toSorted()).toEqual(Object.keys(later).sort());
    expect(parse({ stop_strings: [], guidance_scale: 1, penalty_alpha: 0, token_healing: false, dola_layers: null }).ignored).toEqual([]);
    expect(parse({ do_sample: true, temperature: "hot", top_p: 7 })).toEqual({
      defaults: { temperature: 1, topK: 50 },
      ignored: ["temperature (0, or a number from 0.0001 to 10000 is meant)", "top_p (a number above 0 and at most 1 (off) is meant)"],
    });
  });
  it("reads Python's JSON, and refuses what is none", () => {
    expect(parse('{"do_sample": true, "temperature": NaN}').ignored).toHaveLength(1);
    expect(() => parse("[]")).toThrow(/generation_config.json: not a JSON object/);
  });
});
