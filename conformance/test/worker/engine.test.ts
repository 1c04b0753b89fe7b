/**
 * An engine behind messages, both ends in this process, each message cloned as a worker's is; in a worker of Chromium's: page/library.test.ts.
 * About 12 s of CPU.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { embeddedModel, GureumError, loadModel } from "../../../index.ts";
import { connectCalls, connectEngine, type Engine, type ServingPort, type WorkerLike } from "../../../worker/connect.ts";
import { serveCalls } from "../../../worker/port.ts";
import { serveEngine } from "../../../worker/serve.ts";
import { writeFirstLayers } from "../fixtures/first-layers.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

/** Two ends of a line on which messages are cloned and take a turn of the event loop. */
function line(): { worker: WorkerLike; port: ServingPort; fail: (message: string) => void; sent: unknown[] } {
  const sent: unknown[] = [];
  let alive = true;
  const worker: WorkerLike = {
    onmessage: null,
    onerror: null,
    postMessage: (data) => post(port, data),
    terminate: () => {
      alive = false;
    },
  };
  const port: ServingPort = { onmessage: null, postMessage: (data) => post(worker, data) };
  const post = (to: ServingPort, data: unknown): void => {
    sent.push(data);
    const clone = structuredClone(data);
    setImmediate(() => alive && to.onmessage?.({ data: clone } as never));
  };
  return { worker, port, fail: (message) => worker.onerror?.({ message } as never), sent };
}

const engineOf = (): Engine & { fail: (message: string) => void; sent: unknown[] } => {
  const { worker, port, fail, sent } = line();
  serveEngine(port);
  return { ...connectEngine(worker), fail, sent };
};
const messages = [{ role: "user", content: "너는 누구니?" }];
const cpu = { backend: "cpu", ops: "javascript" } as const;

describe("an engine in a worker", () => {
  let engine: ReturnType<typeof engineOf>;
  let expected: string;
  beforeAll(async () => {
    engine = engineOf();
    const model = await loadModel(embeddedModel(), cpu);
    expected = "";
    for await (const { text } of model.generate({ messages }, { maxNewTokens: 12, greedy: true })) expected += text;
    model.dispose();
  });

  it("tells of loading, and what was loaded", async () => {
    const news: unknown[] = [];
    const info = await engine.load(embeddedModel(), { ...cpu, onNews: (one) => news.push(one) });
    expect(info).toMatchObject({ backend: "cpu", noChat: null, backendReason: expect.stringMatching(/JavaScript ops, as asked for/) });
    expect(news.at(-1)).toMatchObject({ step: "weights", done: expect.any(Number) });
  });

  it("answers token by token as the model itself does, and again from what it remembers", async () => {
    for (let turn = 0; turn < 2; turn++) {
      const pieces: string[] = [];
      const run = engine.generate({ messages }, { maxNewTokens: 12, greedy: true });
      let next = await run.next();
      for (; !next.done; next = await run.next()) pieces.push(next.value.text);
      expect(pieces.join("")).toBe(expected);
      expect(pieces.length).toBeGreaterThan(2);
      expect(next.value.finishReason).toMatch(/stop|length/);
    }
  });

  it("renders and encodes", async () => {
    expect(await engine.render(messages)).toContain("너는 누구니?");
    expect(await engine.encode({ text: "구름" })).toEqual(expect.arrayContaining([expect.any(Number)]));
  });

  it("stops where the signal says so, and where the loop is left", async () => {
    const abort = new AbortController();
    let tokens = 0;
    const run = engine.generate({ text: "구름" }, { maxNewTokens: 400, signal: abort.signal, greedy: true, stop: ["never"] });
    for (;;) {
      const { value, done } = await run.next();
      if (done) {
        expect(value.finishReason).toMatch(/aborted|stop/);
        break;
      }
      if (++tokens === 2) abort.abort();
    }
    expect(tokens).toBeLessThan(20);
    for await (const _ of engine.generate({ text: "구름" }, { maxNewTokens: 400 })) break;
    expect(await engine.render(messages)).toContain("너는 누구니?");
  });

  it("throws what the worker throws: name, code, remedy", async () => {
    await expect(engine.load("/no/such/folder")).rejects.toMatchObject({
      name: "GureumError",
      code: "not-found",
      details: { what: expect.any(String) },
    });
    await expect(engine.load("/no/such/folder")).rejects.toBeInstanceOf(GureumError);
    await expect(engine.render(messages)).rejects.toMatchObject({ code: "usage", message: "worker: no model is loaded — load one" });
    await expect(engine.replay("nonsense")).rejects.toMatchObject({ code: "usage" });
  });

  it("runs conformance, stops it between rows, and goes on behind them by its journal", async () => {
    const asked = { backend: "cpu", timeMs: 4000, filter: "cpu/reference" } as const;
    const abort = new AbortController();
    const rows: unknown[] = [];
    let total = 0;
    let journal = "";
    const stopped = engine.conformance(asked, {
      onNews(news) {
        if (news.kind === "start") total = news.total;
        if (news.kind === "journal") journal += `${news.line}\n`;
        if (news.kind === "row" && rows.push(news.row) === 2) abort.abort();
      },
      signal: abort.signal,
    });
    await expect(stopped).rejects.toMatchObject({ code: "aborted", message: expect.stringMatching(/run it again with its journal/) });
    expect(rows.length).toBeLessThan(total);
    let finished: readonly unknown[] = [];
    const again = await engine.conformance(
      { ...asked, journal },
      {
        onNews(news) {
          if (news.kind === "start") finished = news.finished;
        },
      },
    );
    expect(finished).toEqual(rows);
    expect(again.rows).toHaveLength(total);
    expect(again.rows).toEqual(expect.arrayContaining(rows));
  });

  it("measures a model as the files that `gureum bench compare` reads", async () => {
    const results = await engine.bench({ what: "model", place: embeddedModel(), backend: "cpu", prompt: 2, newTokens: 1 });
    expect(results).toMatchObject({ format: "gureum-bench-1", device: { backend: "cpu" } });
    expect(results.rows.length).toBeGreaterThan(3);
  });

  it("that dies or is closed ends every call by name, those that come later too", async () => {
    const dying = engineOf();
    const loading = dying.load(embeddedModel(), cpu);
    dying.fail("out of memory");
    await expect(loading).rejects.toMatchObject({
      code: "worker",
      message: expect.stringMatching(/ended, or its file did not load, got out of memory — start another/),
    });
    await expect(dying.render(messages)).rejects.toMatchObject({ code: "worker" });
    const closing = engineOf();
    const running = closing.load(embeddedModel(), cpu);
    closing.close();
    await expect(running).rejects.toMatchObject({ code: "aborted", message: "worker: was closed" });
  });
});

describe("an engine in a worker, on a GPU", () => {
  const folder = freshFolder("worker");
  let engine: ReturnType<typeof engineOf>;
  beforeAll(async () => {
    await writeFirstLayers(folder, 1);
    engine = engineOf();
  });

  it("says which device it is, and answers there as the CPU does", async () => {
    const { backend, vendor } = await engine.device();
    expect(backend).toBe("webgpu");
    expect(vendor).toMatch(/\S/);
    const answers: string[] = [];
    for (const on of ["cpu", "webgpu"] as const) {
      const info = await engine.load(folder, { backend: on });
      expect(info.backend).toBe(on);
      let text = "";
      for await (const token of engine.generate({ text: "구름" }, { maxNewTokens: 6, greedy: true })) text += token.text;
      answers.push(text);
    }
    expect(answers[0]).toMatch(/\S/);
    expect(answers[1]).toBe(answers[0]);
  });

  it("judges every step against the CPU, and stops where it is told to", async () => {
    const { ids, first, steps, device } = await engine.diff(folder, "구름");
    expect(ids.length).toBeGreaterThan(1);
    expect(first).toBeNull();
    expect(steps.length).toBeGreaterThan(10);
    expect(device).toMatch(/\S/);
    const abort = new AbortController();
    const onNews = ({ step, done }: { step: string; done: number }): void => {
      if (step === "judging" && done > 2) abort.abort();
    };
    await expect(engine.diff(folder, "구름", { onNews, signal: abort.signal })).rejects.toMatchObject({ code: "aborted" });
  });

  it("holds a kernel to its laws", async () => {
    const { rows, devices } = await engine.conformance({ backend: "webgpu", filter: "add webgpu/add", variant: "add", runs: 5 });
    expect(rows.map(({ op, variant }) => `${op} ${variant}`)).toEqual(["add add"]);
    expect(rows[0]).toMatchObject({ failures: [] });
    expect(devices[0]).toMatchObject({ backend: "webgpu" });
  });
});

describe("a call by messages", () => {
  const calls = (works: Record<string, () => Promise<unknown>>) => {
    const { worker, port } = line();
    serveCalls<never>(works as never, port);
    return connectCalls<Record<string, { takes: unknown; tells: unknown; gives: unknown }>>(worker);
  };

  it("that nobody serves is named", async () => {
    await expect(calls({}).call("toString", null)).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(/no such call/) });
  });

  it("that runs out of memory is named, and other errors keep their name", async () => {
    const served = calls({
      full: () => Promise.reject(new RangeError("Array buffer allocation failed")),
      odd: () => Promise.reject(new TypeError("x is not a function")),
    });
    await expect(served.call("full", null)).rejects.toMatchObject({
      code: "out-of-memory",
      message: expect.stringMatching(/memory is used up, got Array buffer/),
    });
    await expect(served.call("odd", null)).rejects.toMatchObject({ name: "TypeError", message: "x is not a function" });
  });
});
