/**
 * Greedy texts of one model in two ways: `node dist/conformance/test/models/compare-greedy.js FOLDER NEW WAY WAY TEXT…`, a way being cpu or
 * webgpu[:ARITHMETIC]. Where the ids part, the margin is said by which the first way chose (the best logit over the second), and the
 * distance of the two ways' logits there, which has to be at least half of it.
 */
import { type LoadedModel, loadModel } from "../../../index.ts";

const [folder, count, ...rest] = process.argv.slice(2);
const [a, b, ...texts] = rest;
const maxNewTokens = Number(count);
if (folder === undefined || a === undefined || b === undefined || texts.length === 0 || !(maxNewTokens > 0))
  throw new Error("usage: compare-greedy FOLDER NEW WAY WAY TEXT…");

async function load(way: string): Promise<LoadedModel> {
  const [backend, arithmetic = "auto"] = way.split(":") as ["cpu" | "webgpu", "auto" | "f32" | "fixed16" | "exact" | undefined];
  return loadModel(folder!, { backend, arithmetic });
}

const models = [await load(a), await load(b)] as const;
let failed = false;
for (const text of texts) {
  const prompt = models[0].encodePrompt({ text });
  const said = await Promise.all(
    models.map(async (model) => {
      const ids: number[] = [];
      for await (const { id } of model.generate({ ids: prompt }, { maxNewTokens, greedy: true })) if (id !== null) ids.push(id);
      return ids;
    }),
  );
  const [one, two] = said as [number[], number[]];
  const at = one.findIndex((id, i) => id !== two[i]);
  let verdict = "all equal";
  if (at >= 0 || one.length !== two.length) {
    const fed = [...prompt, ...one.slice(0, at)];
    const [x, y] = (await Promise.all(models.map(async (model) => (await model.forward(fed)).logits))) as [Float32Array, Float32Array];
    const [best, second] = [...x].sort((p, q) => q - p) as [number, number];
    const distance = x.reduce((largest, value, i) => Math.max(largest, Math.abs(value - y[i]!)), 0);
    verdict = `part at ${at}, margin ${best - second}, largest distance of logits ${distance}`;
    if (at < 0 || !(best - second <= 2 * distance)) failed = true;
  }
  process.stdout.write(`${JSON.stringify(text.slice(0, 40))}, ${prompt.length} ids, ${one.length} and ${two.length} new: ${verdict}\n`);
}
for (const model of models) model.dispose();
process.exitCode = failed ? 1 : 0;
