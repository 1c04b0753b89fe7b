/** An engine in a worker of its own, as the page sees it: started with the first call, ended by `end`. */
import type { CallError, CallName, Calls, FromWorker, ToWorker } from "./protocol.ts";

/** What a call that failed throws. */
export class EngineError extends Error {
  readonly code: string;
  constructor({ code, message }: CallError) {
    super(message);
    this.name = "EngineError";
    this.code = code;
  }
}

/** Of a call that runs. */
export interface Running<T> {
  readonly result: Promise<T>;
  /** Asks it to end early, where it can; `result` comes nevertheless. */
  stop(): void;
}

export interface Engine {
  call<K extends CallName>(name: K, takes: Calls[K]["takes"], onNews?: (news: Calls[K]["tells"]) => void): Running<Calls[K]["gives"]>;
  /** Ends the worker and all that it holds; calls that run fail with "ended". The next call starts another. */
  end(): void;
}

interface Open {
  onNews(news: unknown): void;
  done(value: unknown): void;
  fail(error: EngineError): void;
}

export function makeEngine(): Engine {
  let worker: Worker | undefined;
  let last = 0;
  const open = new Map<number, Open>();
  const failAll = (error: CallError): void => {
    worker?.terminate();
    worker = undefined;
    const calls = [...open.values()];
    open.clear();
    for (const call of calls) call.fail(new EngineError(error));
  };
  const start = (): Worker => {
    const made = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "gureum" });
    made.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const call = open.get(data.id);
      if (!call) return;
      if ("tells" in data) call.onNews(data.tells);
      else {
        open.delete(data.id);
        if ("error" in data) call.fail(new EngineError(data.error));
        else call.done(data.gives);
      }
    };
    // A worker that dies of memory, or whose file does not come.
    made.onerror = (event) => {
      event.preventDefault();
      failAll({ code: "worker", message: event.message || "the engine's worker ended" });
    };
    return made;
  };
  return {
    call(name, takes, onNews) {
      worker ??= start();
      const id = ++last;
      const to = worker;
      const send = (message: ToWorker): void => to.postMessage(message);
      const result = new Promise<unknown>((done, fail) => {
        open.set(id, { onNews: (news) => onNews?.(news as never), done, fail });
        send({ id, name, takes });
      });
      return { result: result as Promise<never>, stop: () => open.has(id) && send({ id, stop: true }) };
    },
    end: () => failAll({ code: "ended", message: "stopped" }),
  };
}
