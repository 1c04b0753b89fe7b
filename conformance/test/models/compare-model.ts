/**
 * Holds a whole model against transformers: `node dist/conformance/test/models/compare-model.js FOLDER REFERENCE [cpu|webgpu[:ARITHMETIC]]`, REFERENCE
 * being what model_reference.py wrote for the folder. Per prompt: whether the ids are those rendered here, the largest error of a logit
 * over the largest logit (all positions of prompt and continuation), and the greedy continuation up to the first end of text, which may
 * part from the reference's only where the margin there is below twice the largest error.
 */
import { readFileSync } from "node:fs";
import { openSafetensors, readTensor } from "../../../core/checkpoint/safetensors.ts";
import { fileSource } from "../../../core/host/node.ts";
import { loadModel } from "../../../index.ts";

interface Prompt {
  readonly messages: { role: string; content: string }[] | null;
  readonly text: string;
  readonly ids: number[];
  /** The prompt and its continuation, to whose positions the logits belong. */
  readonly fed: number[];
  readonly greedy: number[];
  readonly greedyText: string;
  readonly margins: number[];
  /** Of transformers in float32 against itself in float64. */
  readonly float32Error: number;
}

const arithmetics = ["auto", "f32", "fixed16", "exact"] as const;
const [folder, reference, way = "cpu"] = process.argv.slice(2);
const [backend, word = "auto"] = way.split(":");
const arithmetic = arithmetics.find((name) => name === word);
if (folder === undefined || reference === undefined || (backend !== "cpu" && backend !== "webgpu") || !arithmetic)
  throw new Error("usage: compare-model FOLDER REFERENCE [cpu|webgpu[:auto|f32|fixed16|exact]]");
const { prompts }: { prompts: Prompt[] } = JSON.parse(readFileSync(`${reference}/reference.json`, "utf8"));
const tensors = await openSafetensors(await fileSource(`${reference}/reference.safetensors`));
const model = await loadModel(folder, { backend, arithmetic });
const same = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => Array.from(a).join() === Array.from(b).join();

let failed = false;
for (const [i, { messages, text, ids, fed, greedy, margins, float32Error }] of prompts.entries()) {
  const rendered = model.encodePrompt(messages === null ? { text, addBos: false } : { messages });
  const { logits } = await model.forward(fed, { logits: "all" });
  const expected = new Float64Array((await readTensor(tensors, `logits.${i}`)).slice().buffer);
  let largest = 0;
  let error = 0;
  for (let j = 0; j < expected.length; j++) {
    largest = Math.max(largest, Math.abs(expected[j]!));
    const off = Math.abs(logits[j]! - expected[j]!);
    if (!(off <= error) && !Number.isNaN(error)) error = off;
  }
  const said: number[] = [];
  for await (const { id } of model.generate({ ids }, { maxNewTokens: greedy.length })) if (id !== null) said.push(id);
  const equal = said.findIndex((id, at) => id !== greedy[at]);
  const parted = equal >= 0 && margins[equal]! > 2 * error;
  if (!same(rendered, ids) || logits.length !== expected.length || parted || !Number.isFinite(error)) failed = true;
  process.stdout.write(
    `prompt ${i} (${ids.length} ids, ${same(rendered, ids) ? "as rendered here" : "NOT as rendered here"}): largest error ${(error / largest).toExponential(2)} of the largest logit ` +
      `(transformers in float32: ${float32Error.toExponential(2)}); ${equal < 0 ? `${said.length} greedy ids equal` : `greedy ids part at ${equal}, margin ${margins[equal]}`}, ` +
      `least margin ${Math.min(...margins.slice(0, said.length)).toExponential(2)}\n`,
  );
}
model.dispose();
process.exitCode = failed ? 1 : 0;
