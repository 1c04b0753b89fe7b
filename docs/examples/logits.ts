/**
 * Logits of every position of a text, and what the text cost the model: the mean of −ln p over its tokens, and its
 * exponential, the perplexity.
 *
 *     node dist/docs/examples/logits.js "구름이 하늘에 떠 있다."
 */
import process from "node:process";
import { embeddedModel, loadModel } from "gureum";

const text = process.argv[2] ?? "안녕하세요. 오늘은 날씨가 좋습니다.";
const model = await loadModel(embeddedModel(), { backend: "cpu" });
const { tokenizer, config } = model;
const ids = model.encodePrompt({ text });

// One row of V logits for each of the T positions; row t scores the token at t + 1.
const { logits } = await model.forward(ids, { logits: "all" });
const V = config.vocabSize;
let sum = 0;
for (let t = 0; t + 1 < ids.length; t++) {
  const row = logits.subarray(t * V, (t + 1) * V);
  const max = row.reduce((a, b) => Math.max(a, b));
  const logSum = max + Math.log(row.reduce((total, l) => total + Math.exp(l - max), 0));
  const next = ids[t + 1]!;
  const cost = logSum - row[next]!;
  sum += cost;
  const likeliest = row.indexOf(max);
  console.log(
    `${JSON.stringify(tokenizer!.idToPiece(next))} −ln p = ${cost.toFixed(3)}, likeliest ${JSON.stringify(tokenizer!.idToPiece(likeliest))}`,
  );
}
const mean = sum / (ids.length - 1);
console.log(`mean ${mean.toFixed(4)}, perplexity ${Math.exp(mean).toFixed(2)}`);
model.dispose();
