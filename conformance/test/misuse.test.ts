import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { methods } from "../../core/quant/search/stages.ts";
import { greedy } from "../../core/sample/sampler.ts";
import {
  checkMessages,
  convert,
  embeddedModel,
  fileStore,
  findModel,
  GureumError,
  inspectModel,
  keepModel,
  type LoadedModel,
  loadModel,
  openChat,
  openModelStore,
  openTensors,
  openTokenizer,
  parseTemplateJson,
  quantize,
  readEmbeddings,
  readLinear,
  readTensor,
  urlStore,
} from "../../index.ts";
import { drain } from "./fixtures/drain.ts";

const wrong: readonly unknown[] = [
  null,
  Number.NaN,
  -1,
  0.5,
  Infinity,
  2 ** 40,
  "5",
  "",
  {},
  [],
  [{}],
  () => 1,
  Symbol("x"),
  1n,
  true,
  new Map(),
];

// biome-ignore lint/suspicious/noExplicitAny: what types forbid is what is tried.
type Any = any;
let model: LoadedModel;
beforeAll(async () => {
  model = await loadModel(embeddedModel(), { backend: "cpu" });
});
afterAll(() => model.dispose());

/** Runs `body` with each wrong value. */
async function sweep(what: string, body: (value: Any) => unknown): Promise<void> {
  for (const value of wrong) {
    try {
      await body(value);
    } catch (error) {
      if (!(error instanceof GureumError)) expect.fail(`${what}, ${typeof value} ${String(value)}: ${(error as Error).stack}`);
      expect(error.message).not.toMatch(/\n/);
    }
  }
}

const sampling = [
  "maxNewTokens",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "seed",
  "greedy",
  "stop",
  "stopIds",
  "topLogprobs",
];
const rest = ["signal", "onPrefill", "session", "processLogits", "speculate"];

describe("a value of the wrong type ends in a named error, or does no harm:", () => {
  it.each([...sampling, ...rest])("generate, %s", (name) =>
    sweep(name, (value) => drain(model.generate({ text: "a" }, { maxNewTokens: 2, [name]: value }))),
  );

  it("generate, the input and its parts", async () => {
    await sweep("options", (value) => drain(model.generate({ text: "a" }, value)));
    await sweep("input", (value) => drain(model.generate(value, { maxNewTokens: 2 })));
    for (const key of ["text", "messages", "ids"])
      await sweep(key, (value) => drain(model.generate({ [key]: value } as Any, { maxNewTokens: 2 })));
    for (const key of ["addBos", "specialTokens"])
      await sweep(key, (value) => drain(model.generate({ text: "a", [key]: value } as Any, { maxNewTokens: 2 })));
    await sweep("encodePrompt", (value) => model.encodePrompt(value));
    // What would have no effect is no input.
    for (const more of [{ text: "a" }, { addBos: false }, { messages: [] }])
      expect(() => model.encodePrompt({ ids: [1], ...more } as Any)).toThrow(/no such option, expected one of ids/);
    for (const stop of [[""], ["a", ""]])
      await expect(drain(model.generate({ text: "a" }, { stop }))).rejects.toThrow(/stop, expected texts of a character or more/);
    await expect(loadModel(embeddedModel(), { backend: "cpu", robustness: true })).rejects.toThrow(/robustness is WebGPU's/);
    await expect(model.perplexity([{ ids: [1, 2, 3], from: 3 }])).rejects.toThrow(/from, .*less than the 3 ids, got 3/);
  });

  it("quantize and convert, before anything is read", async () => {
    const [from, to] = ["/nowhere/model", "/nowhere/to"];
    const options = "method bits groupSize settings stages calibration samples tokens maxShardBytes ops threads backend adapter onLayer";
    await sweep("quantize", (value) => quantize(value, value));
    for (const key of ["to", ...options.split(" ")])
      await sweep(`quantize, ${key}`, (value) => quantize(from, { to, [key]: value } as Any));
    for (const key of Object.keys(methods.best))
      await sweep(`quantize, setting ${key}`, (value) => quantize(from, { to, settings: { [key]: value } } as Any));
    await sweep("convert", (value) => convert(value, value));
    for (const key of ["to", "format", "maxShardBytes", "onProgress"])
      await sweep(`convert, ${key}`, (value) => convert(from, { to, format: "float16", [key]: value } as Any));
    for (const wrong of [
      { settings: { sweep: 4 } },
      { settings: { sweeps: "4" } },
      { stages: { scale: () => null } },
      { method: "__proto__" },
      { adapter: "a card" },
      { adapter: 0, backend: "cpu" },
    ])
      await expect(quantize(from, { to, ...wrong } as Any)).rejects.toMatchObject({ code: "usage" });
  });

  it("forward, perplexity and embed", async () => {
    await sweep("forward", (value) => model.forward(value));
    for (const key of ["logits", "trace", "steer"]) await sweep(key, (value) => model.forward([1, 2], { [key]: value }));
    await sweep("perplexity", (value) => model.perplexity(value));
    for (const key of ["ids", "from", "frm"])
      await sweep(`perplexity of ${key}`, (value) => model.perplexity([{ ids: [1, 2, 3], [key]: value } as Any]));
    for (const text of [{ ids: [1, 2, 3], from: 0 }, { ids: [1, 2, 3], frm: 1 }, { ids: [1, 2, Number.NaN] }])
      await expect(model.perplexity([text as Any])).rejects.toMatchObject({ code: expect.stringMatching(/usage|range/) });
    for (const key of ["context", "stride", "onProgress", "base"])
      await sweep(key, (value) => model.perplexity("hello world", { [key]: value }));
    await sweep("embed", (value) => model.embed(value));
    for (const key of ["pooling", "normalize"]) await sweep(key, (value) => model.embed("a", { [key]: value }));
  });

  it("a session, which goes on afterwards", async () => {
    await sweep("createSession", (value) => model.createSession(value).dispose());
    const session = model.createSession(64);
    for (const name of ["prefill", "forward", "truncate"] as const) await sweep(name, (value) => session[name](value));
    const fed = async (body: () => unknown): Promise<void> => {
      session.truncate(0);
      await session.prefill([1]);
      await body();
    };
    await sweep("decode", (value) => fed(() => session.decode(value, 1)));
    await sweep("count", (value) => fed(() => session.decode(greedy, value)));
    await sweep("onProgress", (value) => session.prefill([1], value));
    session.truncate(0);
    await session.prefill([1, 2]);
    expect((await session.decode(greedy, 1)).ids).toHaveLength(1);
    session.dispose();
  });

  it.each(["stats", "ops", "threads", "needs", "onProgress", "arithmetic", "robustness"])("loadModel, %s", (name) =>
    sweep(name, async (value) => (await loadModel(embeddedModel(), { backend: "cpu", [name]: value } as Any)).dispose()),
  );

  it("loadModel, the place, its options, and what decides the backend", async () => {
    await sweep("place", (value) => loadModel(value));
    await sweep("options", async (value) => (await loadModel(embeddedModel(), value)).dispose());
    for (const name of ["backend", "device", "cache", "kernels", "before", "needs", "onDownload"])
      await sweep(name, async (value) => (await loadModel(embeddedModel(), { [name]: value } as Any)).dispose());
  });

  it("options whose names are misspelt, which would be silently without effect", async () => {
    const session = model.createSession(8);
    const folder = embeddedModel();
    const calls: Readonly<Record<string, (name: string) => unknown>> = {
      load: (name) => loadModel(folder, { backend: "cpu", [name]: 1 } as Any),
      generate: (name) => drain(model.generate({ text: "a" }, { [name]: 1 } as Any)),
      "generate, of all": (name) => model.generateAll(["a"], { [name]: 1 } as Any),
      input: (name) => drain(model.generate({ text: "a", [name]: 1 } as Any)),
      "input, of messages": (name) => model.encodePrompt({ messages: [{ role: "user", content: "a" }], [name]: 1 } as Any),
      perplexity: (name) => model.perplexity("a b", { [name]: 1 } as Any),
      embed: (name) => model.embed("a", { [name]: 1 } as Any),
      forward: (name) => model.forward([1], { [name]: 1 } as Any),
      "forward, of a session": (name) => session.forward([1], { [name]: 1 } as Any),
      encode: (name) => model.tokenizer!.encode("a", { [name]: 1 } as Any),
      decode: (name) => model.tokenizer!.decode([1], { [name]: 1 } as Any),
      quantize: (name) => quantize(folder, { to: "/nowhere/to", [name]: 1 } as Any),
      convert: (name) => convert(folder, { to: "/nowhere/to", format: "gptq", [name]: 1 } as Any),
    };
    for (const [call, body] of Object.entries(calls))
      for (const name of ["maxTokens", "toString"])
        await expect(async () => body(name), call).rejects.toMatchObject({
          code: "usage",
          message: expect.stringMatching(new RegExp(`^${call.split(",")[0]}: no such option, expected one of .*, got "${name}"$`)),
        });
    const [outcome] = await model.generateAll([{ input: "a", maxTokens: 1 } as Any]);
    expect(outcome).toMatchObject({ ok: false, error: { code: "usage" } });
    session.dispose();
  });

  it("another backend than there are, and many prompts that are no list", async () => {
    await expect(loadModel(embeddedModel(), { backend: "gpu" as Any })).rejects.toMatchObject({ code: "usage" });
    await sweep("generateAll", (value) => model.generateAll(value));
    await sweep("generateAll, options", (value) => model.generateAll([], value));
    await sweep("generateAll, an input", (value) => model.generateAll([value], { maxNewTokens: 1 }));
  });

  it("what reads parts of a folder", async () => {
    const readers: readonly ((place: Any, what: Any) => unknown)[] = [
      openTokenizer,
      openChat,
      openTensors,
      inspectModel,
      readTensor,
      readLinear,
      readEmbeddings,
    ];
    for (const read of readers) {
      await sweep(read.name, (value) => read(value, "x"));
      await sweep(read.name, (value) => read(embeddedModel(), value));
    }
  });

  it("doors to folders, addresses, files and messages", async () => {
    await sweep("findModel", (value) => findModel(value));
    await sweep("openModelStore", (value) => openModelStore(value));
    await sweep("urlStore", (value) => urlStore(value));
    await sweep("urlStore, options", (value) => urlStore("https://localhost/model", value));
    await sweep("fileStore", (value) => fileStore(value));
    await sweep("fileStore, a file", (value) => fileStore([value]));
    await sweep("parseTemplateJson", (value) => parseTemplateJson(value));
    await sweep("checkMessages, where", (value) => checkMessages(value, null));
    for (const door of [findModel, openModelStore]) await expect(door(undefined as Any)).rejects.toMatchObject({ code: "usage" });
  });

  it("a tokenizer", async () => {
    const tokenizer = model.tokenizer!;
    await sweep("encode", (value) => tokenizer.encode(value));
    await sweep("decode", (value) => tokenizer.decode(value));
    await sweep("encode options", (value) => tokenizer.encode("a", value));
    await sweep("decode options", (value) => tokenizer.decode([1], value));
    await sweep("streamingDecoder", (value) => tokenizer.streamingDecoder(value));
    await sweep("push", (value) => tokenizer.streamingDecoder().push(value));
    await sweep("checkMessages", (value) => checkMessages("x", value));
  });
});

describe("what happens while a call runs, or from within a hook, is named and changes nothing for later calls", () => {
  const usage = (about: RegExp) => expect.objectContaining({ code: "usage", message: expect.stringMatching(about) });
  const answer = async (): Promise<readonly number[]> => {
    const session = model.createSession(32);
    await session.prefill([1, 2, 3]);
    const { ids } = await session.decode(greedy, 3);
    session.dispose();
    return ids;
  };
  const meanwhile = usage(/disposed meanwhile — create another/);
  const others = usage(/^generate: the session was fed or cut meanwhile/);

  it("a session disposed of while it works, from outside and from its own callbacks", async () => {
    const before = await answer();
    const long = Array.from({ length: 300 }, (_, i) => i % 100);
    for (const run of [
      (s: Any) => s.prefill(long, () => s.dispose()),
      (s: Any) => s.forward([1, 2], { steer: { "layers.0.residual": () => void s.dispose() } }),
      (s: Any) => {
        const running = s.prefill(long);
        s.dispose();
        return running;
      },
    ]) {
      const session = model.createSession(400);
      await expect(run(session)).rejects.toEqual(meanwhile);
      await expect(session.prefill([1])).rejects.toEqual(usage(/the session was disposed — create another/));
    }
    const batch = model.createBatch(1, 32);
    await batch.prefill(0, [1]);
    const running = batch.decode([{ slot: 0, sampling: greedy }], 9);
    batch.dispose();
    await expect(running).rejects.toEqual(meanwhile);
    expect(await answer()).toEqual(before);
  });

  it("a model disposed of while its sessions work", async () => {
    const own = await loadModel(embeddedModel(), { backend: "cpu" });
    const [session, batch, conversation] = [own.createSession(400), own.createBatch(1, 32), own.createConversation()];
    const running = session.prefill(
      Array.from({ length: 300 }, () => 5),
      () => own.dispose(),
    );
    await expect(running).rejects.toEqual(meanwhile);
    await expect(session.prefill([1])).rejects.toEqual(usage(/session was disposed/));
    await expect(batch.prefill(0, [1])).rejects.toEqual(usage(/batch was disposed/));
    await expect(drain(conversation.generate({ ids: [1] }))).rejects.toEqual(usage(/model: was disposed/));
    expect(() => own.createConversation()).toThrow(/model: was disposed/);
  });

  it("a session that two answers share, or that a hook feeds, cuts or disposes of", async () => {
    const before = await answer();
    const session = model.createSession(32);
    const [one, two] = [0, 1].map((id) => model.generate({ ids: [id, 2] }, { maxNewTokens: 4, session }));
    await one!.next();
    await two!.next();
    await expect(one!.next()).rejects.toEqual(others);
    await two!.return(undefined as never);
    for (const hook of [() => session.truncate(0), () => void session.prefill([5]), () => void session.decode(greedy, 1).catch(() => {})]) {
      const run = model.generate({ ids: [1, 2] }, { maxNewTokens: 3, session, processLogits: hook as Any });
      await expect(drain(run)).rejects.toEqual(others);
    }
    const last = model.generate({ ids: [1, 2] }, { maxNewTokens: 3, session, processLogits: () => session.dispose() as Any });
    await expect(drain(last)).rejects.toEqual(usage(/session was disposed/));
    const conversation = model.createConversation();
    conversation.dispose();
    await expect(drain(conversation.generate({ ids: [1] }))).rejects.toEqual(usage(/conversation: was disposed/));
    expect(await answer()).toEqual(before);
  });

  it("work and choices of a batch that are none: the others draw what they draw", async () => {
    const batch = model.createBatch(2, 32);
    for (const name of ["ids", "prefill", "clear"] as const) await sweep(`batch.${name}`, (value) => batch[name](value, [1, 2, 3]));
    await sweep("batch.prefill, ids", (value) => batch.prefill(1, value));
    for (const slot of [0, 1]) batch.clear(slot);
    for (const slot of [0, 1]) await batch.prefill(slot, [1, 2, 3]);
    for (const work of ["x", null, [null], [5], [{ slot: 0, sampling: greedy, choose: 5 }]])
      await expect(batch.decode(work as Any, 1)).rejects.toEqual(usage(/^decode: (work|choose)/));
    for (const token of [undefined, null, 7, {}, { id: 99_999, logprob: 0 }, { id: 1.5, logprob: 0 }, { id: 1 }]) {
      const work = [{ slot: 0, sampling: greedy, choose: () => token as Any }];
      const [outcome] = await batch.decode(work, 2);
      expect(outcome).toMatchObject({ tokens: [], error: usage(/^choose: result, expected an id from 0 to 4095 and its logprob, got/) });
    }
    const [own] = await batch.decode([{ slot: 1, sampling: greedy }], 3);
    expect(own!.tokens.map(({ id }) => id)).toEqual(await answer());
    batch.dispose();
    // Slots cost nothing before they are filled.
    model.createBatch(2 ** 31, 32).dispose();
  });

  it("inputs, options and places that are none", async () => {
    await sweep("generateAll", (value) => model.generateAll(value));
    const outcomes = await model.generateAll([null, undefined, "a", { text: 5 }] as Any, { maxNewTokens: 1 });
    expect(outcomes.map(({ ok }) => ok)).toEqual([false, false, true, false]);
    for (const outcome of outcomes) if (!outcome.ok) expect(outcome.error).toBeInstanceOf(GureumError);
    await sweep("logits", (value) => model.forward([1], { logits: value }));
    await sweep("sequences", (value) => model.generateAll(["a"], { maxNewTokens: 1, sequences: value }));
    await sweep("a steered value", (value) => model.forward([1], { steer: { "layers.0.residual": () => value } }));
    await sweep("adapter", (value) => loadModel(embeddedModel(), { backend: "webgpu", adapter: value, ops: value }));
    const draft = { config: { vocabSize: model.config.vocabSize }, createSession: () => ({}) } as Any;
    await expect(drain(model.generate({ ids: [1] }, { speculate: { from: "draft", draft } }))).rejects.toEqual(usage(/draft model/));
    for (const part of [
      { open: () => null },
      { open: async () => ({ byteLength: Number.NaN, readInto() {}, close() {} }) },
      { list: () => 5 },
      { list: () => [5] },
      { open: async () => ({ byteLength: 1e15, readInto() {}, close() {} }) },
    ])
      await expect(loadModel({ name: "x", list: () => ["config.json"], open: async () => null, ...part } as Any)).rejects.toBeInstanceOf(
        GureumError,
      );
  });
});

it("keepModel looks at its options before it looks for a storage", async () => {
  await sweep("keepModel", (value) => keepModel("a", {} as Any, value));
  await expect(keepModel("a", {} as Any, { hash: {} } as Any)).rejects.toThrow(/no such option, expected one of hashes/);
});
