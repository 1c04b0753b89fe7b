/**
 * Look into a checkpoint without loading it: a tensor, a linear multiplied out, rows of the embedding table; then what the model itself makes of
 * two texts.
 *
 *     node dist/docs/examples/weights.js
 */
import { embeddedModel, loadModel, readEmbeddings, readLinear, readTensor } from "gureum";

const folder = embeddedModel();
const norm = await readTensor(folder, "model.norm.weight");
console.log(`${norm.name} ${norm.dtype} [${norm.shape}]: largest ${norm.data.reduce((a, b) => Math.max(a, b)).toFixed(3)}`);

// int4 words, zero points and scales as one matrix of f32, whatever layout the folder has.
const q = await readLinear(folder, "model.layers.0.self_attn.q_proj");
const rms = Math.sqrt(q.data.reduce((sum, w) => sum + w * w, 0) / q.data.length);
console.log(`${q.name} ${q.stored.kind} [${q.shape}]: root mean square ${rms.toFixed(4)}`);

const cosine = (a: Float32Array, b: Float32Array): number => {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};
// Rows of the table: ids alone.
const { data, shape } = await readEmbeddings(folder, [2038, 2544]);
console.log(`rows of two ids: cosine ${cosine(data.subarray(0, shape[1]), data.subarray(shape[1]!)).toFixed(3)}`);

// Hidden states: texts.
const model = await loadModel(folder, { backend: "cpu" });
const [hello, bye, sky] = [await model.embed("안녕하세요"), await model.embed("안녕히 가세요"), await model.embed("하늘이 맑다")];
console.log(`greeting and farewell: cosine ${cosine(hello, bye).toFixed(3)}; greeting and weather: ${cosine(hello, sky).toFixed(3)}`);
const { perplexity, perplexityError, tokens } = await model.perplexity("안녕하세요. 오늘은 날씨가 좋습니다.");
console.log(`perplexity ${perplexity.toFixed(2)} ± ${perplexityError.toFixed(2)} over ${tokens} tokens`);
model.dispose();
