/** The engine's side of protocol.ts. Each kind of work is loaded when it is first asked for. */
import { GureumError } from "../../core/errors.ts";
import type { CallError, CallName, FromWorker, ToWorker, Work } from "./protocol.ts";

type Works = { readonly [K in CallName]: () => Promise<Work<K>> };

const works: Works = {
  load: async () => (await import("./chat.ts")).load,
  answer: async () => (await import("./chat.ts")).answer,
  render: async () => (await import("./chat.ts")).render,
  device: async () => (await import("./device.ts")).device,
  suite: async () => (await import("./suite.ts")).suite,
  replay: async () => (await import("./suite.ts")).replayOne,
  diff: async () => (await import("./diff.ts")).diff,
  bench: async () => (await import("./bench.ts")).bench,
};

const page = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: (event: MessageEvent<ToWorker>) => void;
};
const running = new Map<number, AbortController>();

function asCallError(error: unknown): CallError {
  if (error instanceof GureumError) return { code: error.code, message: error.message };
  // What a browser throws where an array or a WebAssembly memory cannot be had.
  if (error instanceof RangeError) return { code: "out-of-memory", message: error.message };
  return { code: "internal", message: error instanceof Error ? error.message : String(error) };
}

page.onmessage = async ({ data }) => {
  const { id } = data;
  if ("stop" in data) {
    running.get(id)?.abort();
    return;
  }
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const work = (await works[data.name]()) as Work<CallName>;
    const gives = await work(data.takes as never, (tells) => page.postMessage({ id, tells }), abort.signal);
    page.postMessage({ id, gives });
  } catch (error) {
    page.postMessage({ id, error: asCallError(error) });
  } finally {
    running.delete(id);
  }
};
