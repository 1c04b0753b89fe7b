/**
 * Stream an answer, piece by piece, from the small model that comes with gureum. Ctrl-C stops it between two tokens.
 *
 *     node dist/docs/examples/stream.js "WebGPU가 뭐야?"
 */
import process from "node:process";
import { embeddedModel, loadModel } from "gureum";

const question = process.argv[2] ?? "너는 누구니?";
const model = await loadModel(embeddedModel(), { backend: "cpu" });
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

const answer = model.generate({ messages: [{ role: "user", content: question }] }, { maxNewTokens: 64, signal: stop.signal });
let result = await answer.next();
for (; !result.done; result = await answer.next()) process.stdout.write(result.value.text);

// The generator's return value sums the run up.
const { ids, finishReason } = result.value;
process.stdout.write(`\n${ids.length} tokens, ended by: ${finishReason}\n`);
model.dispose();
