/**
 * Read values inside a forward pass by name, and change one: the residual stream after layer 3 is moved along a
 * direction, here the difference between two prompts at that place. The names are in docs/notation.md.
 *
 *     node dist/docs/examples/trace-and-steer.js
 */
import { embeddedModel, type LoadedModel, loadModel } from "gureum";

const place = "layers.3.residual";
const model = await loadModel(embeddedModel(), { backend: "cpu" });
const D = model.config.hiddenSize;

/** The residual stream [D] at the last position of a text. */
async function residual(from: LoadedModel, text: string): Promise<Float32Array> {
  const ids = from.encodePrompt({ text });
  const { trace } = await from.forward(ids, { trace: [place] });
  return trace.get(place)!.data.slice(-D);
}

const question = await residual(model, "오늘 날씨가 어때?");
const statement = await residual(model, "오늘 날씨가 좋다.");
const direction = question.map((value, d) => value - statement[d]!);

const ids = model.encodePrompt({ text: "오늘 날씨가" });
const top = async (strength: number): Promise<string> => {
  // A hook gets the value [T, D] and may return another of the same length.
  const steer = { [place]: ({ data }: { data: Float32Array }) => data.map((value, i) => value + strength * direction[i % D]!) };
  const { logits } = await model.forward(ids, { steer });
  return model.tokenizer!.idToPiece(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))));
};
for (const strength of [-4, 0, 4]) console.log(`strength ${strength}: next piece ${JSON.stringify(await top(strength))}`);

const { trace } = await model.forward(ids, { trace: ["layers.*.residual"] });
for (const { name, shape, data } of trace.values()) {
  const norm = Math.hypot(...data.subarray(-D));
  console.log(`${name} [${shape.join(", ")}]: norm at the last position ${norm.toFixed(2)}`);
}
model.dispose();
