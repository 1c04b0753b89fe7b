/**
 * Accuracy of `exact` against float64: never further from it than float32 arithmetic is, on the committed goldens and,
 * where GUREUM_FIXTURES names them, on the larger ones; greedy texts equal. About 6 s of CPU, 26 s with the large ones.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import type { Model } from "../../../core/model/engine.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadCpuModel } from "../../../wasm/model.ts";
import { dataFile, largeFixtures, modelGolden } from "../fixtures/golden.ts";

async function load(folder: string): Promise<Model> {
  const checkpoint = await openCheckpoint(directoryStore(folder));
  try {
    return (await loadCpuModel(checkpoint.config, checkpoint.refs, { arithmetic: "exact" })).model;
  } finally {
    await checkpoint.close();
  }
}

/** What transformers in float32 was off by, where the golden says it. */
interface Compared {
  readonly max_abs_difference?: { readonly hf_float32_sdpa?: number; readonly hf_float32_eager?: number };
}

function isAsGoodAsFloat32(folder: string, path: string, all: boolean): void {
  it("gives logits closer to float64 than float32 does, on every prompt of more than one token, and the worst of all", async () => {
    const model = await load(folder);
    const golden = await modelGolden(path);
    const { logits } = JSON.parse(readFileSync(`${path}.json`, "utf8")) as { logits: readonly Compared[] };
    const V = model.config.vocabSize;
    let worst = 0;
    let worstFloat = 0;
    for (const [i, { name, input_ids, first_position, positions, max_abs_logit }] of golden.logits.entries()) {
      const got = (await model.createSession(input_ids.length).forward(input_ids, { logits: "all" })).logits;
      const { data } = await golden.tensor(`logits.${name}`);
      let difference = 0;
      for (let j = 0; j < positions * V; j++) difference = Math.max(difference, Math.abs(got[first_position * V + j]! - data[j]!));
      const { hf_float32_sdpa = 0, hf_float32_eager = 0 } = logits[i]!.max_abs_difference ?? {};
      const float = Math.max(hf_float32_sdpa, hf_float32_eager);
      worst = Math.max(worst, difference / max_abs_logit);
      worstFloat = Math.max(worstFloat, float / max_abs_logit);
      if (process.env.GUREUM_SHOW) console.log(name, input_ids.length, difference / max_abs_logit, float / max_abs_logit);
      expect(float, name).toBeGreaterThan(0);
      if (input_ids.length > 1) expect(difference, name).toBeLessThanOrEqual(float);
    }
    expect(worst).toBeLessThanOrEqual(worstFloat);
  });

  it("continues prompts greedily with the ids of float64", async () => {
    const model = await load(folder);
    for (const { name, variant, prompt_ids, ids } of (await modelGolden(path)).generate.slice(0, all ? undefined : 4)) {
      const session = model.createSession(prompt_ids.length + ids.length);
      await session.prefill(prompt_ids);
      expect((await session.decode(greedy, ids.length)).ids, `${name} ${variant}`).toEqual(ids);
    }
  });
}

describe("gureum-tiny-awq in exact", () => isAsGoodAsFloat32(embeddedModelPath(), dataFile("model/gureum-tiny-awq"), false));

describe.skipIf(!largeFixtures)("AutoAWQ's twin of gureum-tiny in exact", () =>
  isAsGoodAsFloat32(join(largeFixtures ?? "", "models/gureum-tiny-awq"), join(largeFixtures ?? "", "golden/model/gureum-tiny-awq"), true),
);

describe.skipIf(!largeFixtures)("gureum-tiny in exact", () =>
  isAsGoodAsFloat32(join(largeFixtures ?? "", "models/gureum-tiny"), join(largeFixtures ?? "", "golden/model/gureum-tiny"), true),
);
