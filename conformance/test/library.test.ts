import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { memoryStore } from "../../core/checkpoint/byte-source.ts";
import { embeddedModel, type GenerateResult, GureumError, type LoadedModel, loadModel, type TokenEvent } from "../../index.ts";

let model: LoadedModel;
beforeAll(async () => {
  model = await loadModel(embeddedModel(), { backend: "cpu" });
});

const messages = [{ role: "user", content: "너는 누구니?" }];
const answer = "저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.";

describe("loadModel", () => {
  it("reads from any ByteStore, and reports every byte once", async () => {
    const files = new Map<string, Uint8Array>();
    for (const name of await readdir(embeddedModel())) files.set(name, new Uint8Array(await readFile(join(embeddedModel(), name))));
    const seen: [number, number][] = [];
    const loaded = await loadModel(memoryStore("memory", files), { backend: "cpu", onProgress: (done, total) => seen.push([done, total]) });
    const ids = loaded.encodePrompt({ messages });
    expect((await loaded.forward(ids)).logits).toEqual((await model.forward(ids)).logits);
    expect(seen.at(-1)![0]).toBe(seen.at(-1)![1]);
    for (let i = 1; i < seen.length; i++) expect(seen[i]![0]).toBeGreaterThan(seen[i - 1]![0]);
  });

  it("loads a folder without a tokenizer, which then takes ids only", async () => {
    const files = new Map<string, Uint8Array>();
    for (const name of ["config.json", "model.safetensors"]) files.set(name, new Uint8Array(await readFile(join(embeddedModel(), name))));
    const bare = await loadModel(memoryStore("memory", files), { backend: "cpu" });
    expect(bare.tokenizer).toBeNull();
    expect((await bare.forward([1, 2, 3])).logits).toEqual((await model.forward([1, 2, 3])).logits);
    expect(() => bare.encodePrompt({ text: "a" })).toThrow(GureumError);
  });
});

describe("generate", () => {
  const collect = async (run: AsyncIterable<TokenEvent>): Promise<TokenEvent[]> => {
    const events: TokenEvent[] = [];
    for await (const event of run) events.push(event);
    return events;
  };

  it("streams the answer to messages, and the same for the rendered ids", async () => {
    const events = await collect(model.generate({ messages }));
    expect(events.map((e) => e.text).join("")).toBe(answer);
    for (const { logprob } of events) expect(logprob!).toBeLessThanOrEqual(0);
    const byIds = await collect(model.generate({ ids: model.encodePrompt({ messages }) }));
    expect(byIds.map((e) => e.id)).toEqual(events.map((e) => e.id));
  });

  it("stops at an AbortSignal", async () => {
    const abort = new AbortController();
    const events: TokenEvent[] = [];
    for await (const event of model.generate({ messages }, { signal: abort.signal })) {
      events.push(event);
      if (events.length === 3) abort.abort();
    }
    expect(events).toHaveLength(3);
  });

  it("takes the likeliest token where it is asked to be greedy, and refuses a temperature beside it", async () => {
    const events = await collect(model.generate({ messages }, { greedy: true, temperature: 0, topK: 5, seed: 3n }));
    expect(events.map(({ text }) => text).join("")).toBe(answer);
    await expect(collect(model.generate({ messages }, { greedy: true, temperature: 9 }))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/greedy and a temperature above 0, expected one of them, got temperature 9/),
    });
  });

  it("runs side by side without mixing sequences", async () => {
    const other = [{ role: "user", content: "안녕하세요" }];
    const [a, b] = await Promise.all([collect(model.generate({ messages })), collect(model.generate({ messages: other }))]);
    expect(a.map((e) => e.text).join("")).toBe(answer);
    expect(b.map((e) => e.text).join("")).toBe("안녕하세요. 만나서 반가워요.");
  });
});

describe("generateAll", () => {
  const collect = async (run: AsyncGenerator<TokenEvent, { text: string; ids: readonly number[] }, undefined>) => {
    for (;;) {
      const step = await run.next();
      if (step.done) return step.value;
    }
  };

  it("continues texts, messages and ids, each as generate does alone, with options of its own before those of all", async () => {
    const own = { temperature: 0.9, topP: 0.9, seed: 7n, maxNewTokens: 5 };
    const inputs = [
      "오늘 날씨가",
      { messages },
      { ids: [1, 2038, 2544] },
      { input: "구름", ...own },
      { input: { text: "a" }, stop: ["e"] },
    ] as const;
    const shared = { maxNewTokens: 24, topLogprobs: 1 };
    const streamed = inputs.map(() => "");
    const onToken = (i: number, { text }: TokenEvent): void => {
      streamed[i] += text;
    };
    const outcomes = await model.generateAll(inputs, { ...shared, sequences: 3, onToken });
    const alone = [
      await collect(model.generate({ text: "오늘 날씨가" }, shared)),
      await collect(model.generate({ messages }, shared)),
      await collect(model.generate({ ids: [1, 2038, 2544] }, shared)),
      await collect(model.generate({ text: "구름" }, { ...shared, ...own })),
      await collect(model.generate({ text: "a" }, { ...shared, stop: ["e"] })),
    ];
    for (const [i, one] of alone.entries()) expect(outcomes[i]).toMatchObject({ ok: true, ...one });
    expect(streamed).toEqual(alone.map(({ text }) => text));
    expect(alone[1]!.text).toBe(answer);
  });

  it("keeps the error of an input its own, and throws what is wrong for all", async () => {
    const wrong = [
      { input: "a", temperature: "1" },
      { ids: [] },
      { input: "b", stopIds: [1.5] },
      { input: "c", speculate: { from: "prompt" } },
    ];
    const outcomes = await model.generateAll(["하나", ...(wrong as never[]), "둘"], { maxNewTokens: 2 });
    const codes = outcomes.map((outcome) => (outcome.ok ? "ok" : (outcome.error as GureumError).code));
    expect(codes).toEqual(["ok", "usage", "range", "usage", "usage", "ok"]);
    await expect(model.generateAll(["하나"], { maxNewTokens: 0 })).rejects.toMatchObject({ code: "range" });
    await expect(model.generateAll(["하나"], { temperature: "1" as never })).rejects.toMatchObject({ code: "usage" });
    await expect(model.generateAll(["하나"], { sequences: 1.5 })).rejects.toMatchObject({ code: "usage" });
  });

  it("lets an input's greedy or temperature take the place of both of those of all", async () => {
    const [likeliest, drawn] = [
      { messages, greedy: true },
      { messages, temperature: 9, seed: 3n },
    ].map(({ messages, ...own }) => ({ input: { messages }, ...own, maxNewTokens: 6 }));
    const text = (outcomes: readonly { readonly ok: boolean; readonly text?: string }[]): unknown => outcomes.map(({ text }) => text);
    const both = text(await model.generateAll([likeliest!, drawn!]));
    expect(text(await model.generateAll([likeliest!, drawn!], { temperature: 0.7 }))).toEqual(both);
    expect(text(await model.generateAll([likeliest!, drawn!], { greedy: true }))).toEqual(both);
    await expect(model.generateAll(["하나"], { greedy: true, temperature: 1 })).rejects.toMatchObject({ code: "usage" });
  });

  it("and hooks and speculation work through the front door", async () => {
    const prompt = { text: "하나, 둘," }; // whose continuation repeats
    const plain = await collect(model.generate(prompt, { maxNewTokens: 24 }));
    for (const speculate of [{ from: "prompt" }, { from: "draft", draft: model }] as const) {
      const { speculation, ...result } = (await collect(model.generate(prompt, { maxNewTokens: 24, speculate }))) as GenerateResult;
      expect(result).toEqual(plain);
      expect(speculation!.accepted).toBeGreaterThan(0);
      expect(speculation!.sameBits).toBe(true);
    }
    const banned = plain.ids[0]!;
    const { ids } = await collect(
      model.generate(prompt, {
        maxNewTokens: 8,
        processLogits(_ids, logits) {
          logits[banned] = -Infinity;
          return undefined;
        },
      }),
    );
    expect(ids).not.toContain(banned);
  });
});

describe("a conversation", () => {
  const drain = async (run: AsyncGenerator<TokenEvent, { text: string }, undefined>): Promise<string> => {
    for (;;) {
      const step = await run.next();
      if (step.done) return step.value.text;
    }
  };

  it("feeds only what is new, grows with the prompt, and answers as afresh", async () => {
    const conversation = model.createConversation();
    const turns: { role: string; content: string }[] = [];
    let told: number[] = [];
    for (const content of ["안녕하세요", "너는 누구니?", "고마워"]) {
      turns.push({ role: "user", content });
      const progress: number[] = [];
      const text = await drain(
        conversation.generate({ messages: turns }, { maxNewTokens: 40, onPrefill: (done) => void progress.push(done) }),
      );
      expect(text).toBe(await drain(model.generate({ messages: turns }, { maxNewTokens: 40 })));
      turns.push({ role: "assistant", content: text });
      told = progress;
    }
    expect(told.at(-1)).toBe(model.encodePrompt({ messages: turns.slice(0, -1) }).length);
    conversation.dispose();
  });

  it("continues in a session of the caller's, and refuses another model's", async () => {
    const session = model.createSession(128);
    const text = await drain(model.generate({ messages }, { session }));
    expect(text).toBe(answer);
    const prompt = model.encodePrompt({ messages });
    expect(session.ids.slice(0, prompt.length)).toEqual(prompt);
    expect(await drain(model.generate({ messages }, { session }))).toBe(answer);
    const other = await loadModel(embeddedModel(), { backend: "cpu" });
    await expect(drain(other.generate({ messages }, { session }))).rejects.toThrow(/the session is another model's/);
    other.dispose();
    session.dispose();
    await expect(drain(model.generate({ messages }, { session }))).rejects.toThrow(/the session was disposed/);
  });

  it.each([
    ["a temperature", { temperature: "0.5" }, /temperature has the wrong type, expected a number, got "0.5"/],
    ["a stop that is null", { stop: null }, /stop has the wrong type, expected an array of strings/],
    ["a seed", { seed: 1 }, /seed has the wrong type, expected a bigint/],
    ["stop ids", { stopIds: [1.5] }, /a stop id, expected an integer from 0 to 4095, got 1.5/],
    ["a stop id outside the vocabulary", { stopIds: [4096] }, /a stop id, expected an integer from 0 to 4095, got 4096/],
    ["a limit", { maxNewTokens: "5" }, /max-new-tokens has the wrong type/],
  ])("refuses %s of the wrong type by name", async (_, options, about) => {
    const failed = await drain(model.generate({ messages }, options as never)).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: "usage", message: expect.stringMatching(about) });
  });

  it("takes undefined for an option that is not given", async () => {
    expect(await drain(model.generate({ messages }, { temperature: undefined, stop: undefined } as never))).toBe(answer);
  });

  it("is over with its model", async () => {
    const short = await loadModel(embeddedModel(), { backend: "cpu" });
    short.dispose();
    short.dispose();
    for (const use of [() => drain(short.generate({ messages })), () => short.forward([1]), async () => short.createSession()])
      await expect(use()).rejects.toThrow(/^model: was disposed — load it again/);
  });
});

describe("forward", () => {
  it("steers: silencing the last layers' output changes what is said, on this call alone", async () => {
    const ids = model.encodePrompt({ messages });
    const plain = await model.forward(ids, { trace: ["layers.7.residual"] });
    const steered = await model.forward(ids, { steer: { "layers.7.mlp": ({ data }) => new Float32Array(data.length) } });
    expect(steered.logits).not.toEqual(plain.logits);
    expect((await model.forward(ids)).logits).toEqual(plain.logits);
    expect(plain.trace.get("layers.7.residual")!.shape).toEqual([ids.length, 256]);
  });

  it("gives attention weights that are a distribution over what each query sees", async () => {
    const ids = model.encodePrompt({ messages });
    const T = ids.length;
    const { trace } = await model.forward(ids, { trace: ["layers.*.attentionWeights"] });
    expect(trace.size).toBe(8);
    for (const { shape, data } of trace.values()) {
      expect(shape).toEqual([T, 8, T]);
      for (let t = 0; t < T; t++) {
        for (let h = 0; h < 8; h++) {
          const row = data.subarray((t * 8 + h) * T, (t * 8 + h + 1) * T);
          // Each of the t + 1 weights is rounded once to f32.
          expect(Math.abs(row.reduce((s, w) => s + w, 0) - 1)).toBeLessThanOrEqual((t + 1) * 2 ** -24);
          for (let s = t + 1; s < T; s++) expect(row[s]).toBe(0);
        }
      }
    }
  });
});
