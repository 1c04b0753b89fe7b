/**
 * Receipts (docs/exact.md, "Receipts"): what was generated, by which model, under which options, with a hash of the logits that each id was drawn from. In
 * `exact` those logits have the same bits on every device and for every way of feeding, so one pass over prompt and answer checks them all, anywhere.
 */

import type { LlamaConfig } from "./config.ts";
import { GureumError, within } from "./errors.ts";
import { EXACT_VERSION } from "./exact/forward.ts";
import { exactSampler } from "./exact/sample.ts";
import { contextLimit } from "./generate/generate.ts";
import { parseJson } from "./json.ts";
import type { Model, SamplingOptions } from "./model/engine.ts";
import { checkSampling } from "./sample/sampler.ts";
import { checkIds } from "./tensor.ts";
import { encodeUtf8 } from "./utf8.ts";

export const RECEIPT_FORMAT = "gureum receipt 1";
export const RECEIPT_ARITHMETIC: string = `exact ${EXACT_VERSION}`;

/** SHA-256 in hexadecimal; brought by the host. */
export type Sha256 = (bytes: Uint8Array) => string;

export interface Receipt {
  readonly format: string;
  readonly arithmetic: string;
  /** File name → SHA-256 of its bytes: config and weights, all that decides the logits. */
  readonly model: Readonly<Record<string, string>>;
  /** Positions that the session had room for; dynamic RoPE scaling depends on it. */
  readonly context: number;
  readonly options: { readonly [name in keyof Omit<SamplingOptions, "seed">]: number } & { readonly seed: string };
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
  /** For each of `ids`: SHA-256 of the logits it was drawn from, V words of four bytes, little-endian. */
  readonly logits: readonly string[];
  /** SHA-256 of the JSON of all of the above, in this order, without spaces. */
  readonly sha256: string;
}

/** What a receipt needs of a model: one in `exact`. */
export type ExactModel = Pick<Model, "config" | "createSession" | "sampler">;

/** A receipt but for its seal. */
export type Claim = Omit<Receipt, "sha256">;

const encoder = { encode: (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0)) };

/** The claim's JSON has only ASCII in it but for file names, which are escaped. */
function sealOf(sha256: Sha256, { format, arithmetic, model, context, options, prompt, ids, logits }: Claim): string {
  const text = JSON.stringify({ format, arithmetic, model, context, options, prompt, ids, logits });
  return sha256(encoder.encode(text.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)));
}

const receiptNames: readonly (keyof Receipt)[] = [
  "format",
  "arithmetic",
  "model",
  "context",
  "options",
  "prompt",
  "ids",
  "logits",
  "sha256",
];
const optionNames = ["temperature", "topK", "topP", "minP", "repetitionPenalty"] as const;

/** What is fed at a time; one part is computed while the one before is hashed. */
const AT_ONCE = 256;

/** Hashes of the logits that followed positions of `sequence`, and the ids drawn from them, for the positions that `wants` names. */
async function* replayed(
  model: ExactModel,
  sha256: Sha256,
  { context, prompt, ids, options }: Pick<Claim, "context" | "prompt" | "ids" | "options">,
  wants: (index: number) => boolean,
  onProgress?: (done: number, total: number) => void | Promise<void>,
): AsyncGenerator<{ index: number; hash: string; id: number }> {
  const V = model.config.vocabSize;
  const sampling: SamplingOptions = { ...options, seed: BigInt(options.seed) };
  const sequence = [...prompt, ...ids];
  // The last id is not fed: nothing was drawn after it.
  const length = sequence.length - 1;
  const session = model.createSession(context);
  const first = prompt.length - 1;
  const begin = (from: number) => {
    const part = sequence.slice(from, Math.min(length, from + AT_ONCE));
    const wanted = part.map((_, i) => from + i - first).map((index) => index >= 0 && wants(index));
    const logits = wanted.includes(true) ? session.forward(part, { logits: "all" }).then((r) => r.logits) : session.prefill(part);
    logits.catch(() => {}); // reported where it is waited for
    return { from, wanted, logits };
  };
  let ahead = length > 0 ? begin(0) : undefined;
  try {
    while (ahead) {
      const { from, wanted, logits: computed } = ahead;
      const logits = await computed;
      const done = from + wanted.length;
      ahead = done < length ? begin(done) : undefined;
      for (const [i, isWanted] of wanted.entries()) {
        if (!isWanted || !logits) continue;
        const row = logits.subarray(i * V, (i + 1) * V);
        const position = from + i + 1;
        yield {
          index: from + i - first,
          hash: sha256(new Uint8Array(row.buffer, row.byteOffset, row.byteLength)),
          id: exactSampler.sample(row, sampling, sequence.slice(0, position), position),
        };
      }
      await onProgress?.(done, length);
    }
  } finally {
    await ahead?.logits.catch(() => {});
    session.dispose();
  }
}

const checkModel = (model: ExactModel): void => {
  if (model.sampler !== exactSampler)
    throw new GureumError("usage", {
      where: "receipt",
      what: "only the arithmetic exact has bits to put on a receipt",
      remedy: "load the model with arithmetic exact",
    });
};

/**
 * The receipt of ids that `model` generated.
 * @throws GureumError "usage" where the model is not in exact, "divergence" where the ids are not those that it draws
 */
export async function makeReceipt(
  model: ExactModel,
  sha256: Sha256,
  run: { readonly model: Receipt["model"]; readonly context: number; readonly sampling: SamplingOptions } & Pick<Receipt, "prompt" | "ids">,
  onProgress?: (done: number, total: number) => void | Promise<void>,
): Promise<Receipt> {
  checkModel(model);
  const { temperature, topK, topP, minP, repetitionPenalty, seed } = run.sampling;
  const options = { temperature, topK, topP, minP, repetitionPenalty, seed: `${seed}` };
  const { context, prompt, ids } = run;
  const logits: string[] = [];
  for await (const { index, hash, id } of replayed(model, sha256, { context, prompt, ids, options }, () => true, onProgress)) {
    if (id !== ids[index]) throw drawnOtherwise(index, ids[index]!, id);
    logits.push(hash);
  }
  const claim: Claim = { format: RECEIPT_FORMAT, arithmetic: RECEIPT_ARITHMETIC, model: run.model, context, options, prompt, ids, logits };
  return { ...claim, sha256: sealOf(sha256, claim) };
}

/**
 * Reads a receipt.
 * @throws GureumError "format" where it is none, or was changed after it was sealed; "unsupported" for another format or arithmetic
 */
export function parseReceipt(text: string, sha256: Sha256): Receipt {
  const broken = (what: string, expected?: string, got?: string): GureumError =>
    new GureumError("format", {
      where: "receipt",
      what,
      ...(expected ? { expected } : {}),
      ...(got ? { got } : {}),
      remedy: "take the file as gureum generate --receipt wrote it",
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw broken("not JSON");
  }
  try {
    // Of a key that is there twice one is sealed and verified, and a reader may see the other.
    parseJson(encodeUtf8(text), "strict");
  } catch (error) {
    throw error instanceof GureumError ? broken(error.details.what) : error;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw broken("not a JSON object");
  const receipt = value as { [name in keyof Receipt]?: unknown };
  const unsupported = (name: "format" | "arithmetic", expected: string): void => {
    if (typeof receipt[name] !== "string") throw broken(name, JSON.stringify(expected), JSON.stringify(receipt[name]) ?? "nothing");
    if (receipt[name] !== expected)
      throw new GureumError("unsupported", {
        where: "receipt",
        what: name === "format" ? "another format of receipts" : "another arithmetic, or another version of it",
        expected: JSON.stringify(expected),
        got: JSON.stringify(receipt[name]),
        remedy: "verify it with the gureum that wrote it",
      });
  };
  unsupported("format", RECEIPT_FORMAT);
  unsupported("arithmetic", RECEIPT_ARITHMETIC);
  const isIds = (list: unknown): list is number[] => Array.isArray(list) && list.every((id) => Number.isInteger(id) && id >= 0);
  const isHash = (hash: unknown): hash is string => typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash);
  const isRecord = (record: unknown): record is Record<string, unknown> =>
    typeof record === "object" && record !== null && !Array.isArray(record);
  const { model, context, options, prompt, ids, logits } = receipt;
  const strange = Object.keys(receipt).find((name) => !receiptNames.includes(name as keyof Receipt));
  if (strange !== undefined) throw broken("a key that none has", receiptNames.join(", "), JSON.stringify(strange));
  if (!isRecord(model) || !Object.values(model).every(isHash)) throw broken("model", "file names with their SHA-256");
  if (!isIds(prompt) || prompt.length === 0) throw broken("prompt", "a list of token ids, at least one");
  if (!isIds(ids)) throw broken("ids", "a list of token ids");
  if (!Array.isArray(logits) || !logits.every(isHash) || logits.length !== ids.length)
    throw broken("logits", `${ids.length} hashes, one for each of ids`);
  if (!Number.isInteger(context) || (context as number) < prompt.length + ids.length)
    throw broken("context", `a whole number from ${prompt.length + ids.length}`, JSON.stringify(context) ?? "nothing");
  if (!isRecord(options) || !optionNames.every((name) => typeof options[name] === "number"))
    throw broken("options", `numbers ${optionNames.join(", ")}`);
  const unknown = Object.keys(options).find((name) => name !== "seed" && !optionNames.includes(name as (typeof optionNames)[number]));
  if (unknown !== undefined) throw broken("an option that none has", [...optionNames, "seed"].join(", "), JSON.stringify(unknown));
  const { seed } = options;
  if (typeof seed !== "string" || !/^\d{1,20}$/.test(seed)) throw broken("options > seed", "the digits of a whole number as text");
  within("receipt > options", () => checkSampling({ ...(options as unknown as SamplingOptions), seed: BigInt(seed) }));
  const whole = receipt as Receipt;
  const seal = sealOf(sha256, whole);
  if (whole.sha256 !== seal) throw broken("changed after it was written: its sha256 is another", seal, `${receipt.sha256}`);
  return whole;
}

/**
 * @throws GureumError "divergence" where a file of the model is not the one on the receipt, or is missing
 */
export function checkModelFiles(receipt: Receipt, files: Receipt["model"]): void {
  const names = new Set([...Object.keys(receipt.model), ...Object.keys(files)]);
  for (const name of [...names].sort())
    if (receipt.model[name] !== files[name])
      throw new GureumError("divergence", {
        where: `receipt > model > ${name}`,
        what: "another model",
        expected: `SHA-256 ${receipt.model[name] ?? "of no such file"}`,
        got: files[name] ?? "no such file",
        remedy: "give the folder of the model that the receipt was written with",
      });
}

/**
 * That a model has the ids of a receipt, and so many positions: before its weights are read.
 * @throws GureumError "range"
 */
export function checkFits({ context, prompt, ids }: Receipt, config: LlamaConfig): void {
  for (const [name, list] of Object.entries({ prompt, ids })) within(`receipt > ${name}`, () => checkIds(list, config.vocabSize));
  const most = contextLimit(config);
  if (context > most)
    throw new GureumError("range", {
      where: "receipt > context",
      what: "positions",
      expected: `at most ${most}, the model's limit`,
      got: `${context}`,
      remedy: "take the file as gureum generate --receipt wrote it",
    });
}

/** Which answers to check: all, or so many, spread evenly, the last one among them. */
export function chosen(count: number, positions: number | "all"): (index: number) => boolean {
  if (positions === "all" || positions >= count) return () => true;
  const picked = new Set(Array.from({ length: positions }, (_, i) => Math.ceil(((i + 1) * count) / positions) - 1));
  return (index) => picked.has(index);
}

/**
 * Computes the logits of the chosen positions again, in one pass, and draws from them again.
 * @returns how many were checked
 * @throws GureumError "divergence" at the first position whose logits have other bits, or from whose logits another id is drawn; "usage", and as
 * `checkFits`
 */
export async function verifyReceipt(
  model: ExactModel,
  sha256: Sha256,
  receipt: Receipt,
  positions: number | "all" = "all",
  onProgress?: (done: number, total: number) => void | Promise<void>,
): Promise<number> {
  checkModel(model);
  checkFits(receipt, model.config);
  let checked = 0;
  for await (const { index, hash, id } of replayed(model, sha256, receipt, chosen(receipt.ids.length, positions), onProgress)) {
    if (hash !== receipt.logits[index])
      throw new GureumError("divergence", {
        where: `receipt > logits[${index}]`,
        what: `the logits of position ${receipt.prompt.length + index} have other bits`,
        expected: `SHA-256 ${receipt.logits[index]}`,
        got: hash,
        remedy: whoseFault,
      });
    if (id !== receipt.ids[index]) throw drawnOtherwise(index, receipt.ids[index]!, id);
    checked++;
  }
  return checked;
}

const whoseFault = "verify it with --backend cpu: where that fails too the receipt is false, else this device computes wrong";

const drawnOtherwise = (index: number, expected: number, got: number): GureumError =>
  new GureumError("divergence", {
    where: `receipt > ids[${index}]`,
    what: "another id is drawn from these logits",
    expected: `${expected}`,
    got: `${got}`,
    remedy: whoseFault,
  });
