/**
 * Calls to a worker by messages that can be cloned: `{ id, name, takes }` goes there; any number of `{ id, tells }` and then one
 * `{ id, gives }` or `{ id, error }` come back. `{ id, stop: true }` asks a call to end early, where it can. Errors keep code, parts and
 * message.
 */
import { hear } from "../core/arguments.ts";
import { type ErrorCode, type ErrorParts, GureumError } from "../core/errors.ts";

/** What each call takes, tells meanwhile, and gives. */
export type CallTable = Readonly<Record<string, { takes: unknown; tells: unknown; gives: unknown }>>;

/** How the worker's side does one call; `signal` fires where it is asked to stop. */
export type Work<C extends CallTable[string]> = (
  takes: C["takes"],
  tell: (news: C["tells"]) => void,
  signal: { readonly aborted: boolean },
) => Promise<C["gives"]>;
/** How it does all of them. */
export type Works<T extends CallTable> = { readonly [K in keyof T]: Work<T[K]> };

/** An error as it crosses; `code` and `details` of a GureumError. */
interface SentError {
  readonly name: string;
  readonly message: string;
  readonly code?: ErrorCode;
  readonly details?: ErrorParts;
}
interface Question {
  readonly id: number;
  readonly name?: string;
  readonly takes?: unknown;
  readonly stop?: true;
}
interface Answer {
  readonly id: number;
  readonly tells?: unknown;
  readonly gives?: unknown;
  readonly error?: SentError;
}

/** As much of a worker's own global, or of a port, as is needed. */
export interface ServingPort {
  postMessage(message: unknown): void;
  onmessage: ((event: never) => void) | null;
}
/** As much of the web's Worker as is needed. */
export interface WorkerLike extends ServingPort {
  onerror: ((event: never) => void) | null;
  terminate(): void;
}

function sent(error: unknown): SentError {
  if (error instanceof GureumError) return { name: error.name, message: error.message, code: error.code, details: error.details };
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  // What engines throw where an array or a WebAssembly memory cannot be had.
  if (error instanceof RangeError && /alloc|memory|array length/i.test(message)) {
    const details: ErrorParts = {
      where: "worker",
      what: "this page's memory is used up",
      got: message,
      remedy: "close other tabs, take a smaller model or a shorter context, or use WebGPU",
    };
    return { ...sent(new GureumError("out-of-memory", details)) };
  }
  return { name, message };
}

function received({ name, message, code, details }: SentError): Error {
  if (code && details) return new GureumError(code, details);
  const error = new Error(message);
  error.name = name;
  return error;
}

/** Answers calls that come through `port`: in a worker, `globalThis`. */
export function serveCalls<T extends CallTable>(works: Works<T>, port: ServingPort = globalThis as unknown as ServingPort): void {
  const running = new Map<number, { aborted: boolean }>();
  port.onmessage = async ({ data }: { data: Question }) => {
    const { id, name, takes, stop } = data;
    if (stop) {
      const call = running.get(id);
      if (call) call.aborted = true;
      return;
    }
    const signal = { aborted: false };
    running.set(id, signal);
    const answer = (message: Omit<Answer, "id">): void => port.postMessage({ id, ...message });
    try {
      const work = Object.hasOwn(works, name!) ? works[name!] : undefined;
      if (!work)
        throw new GureumError("usage", { where: "worker", what: "no such call", expected: Object.keys(works).join(", "), got: `${name}` });
      answer({ gives: await work(takes, (tells) => answer({ tells }), signal) });
    } catch (error) {
      answer({ error: sent(error) });
    } finally {
      running.delete(id);
    }
  };
}

/** As much of the web's AbortSignal as is needed. */
export interface StopSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The page's side. */
export interface Calls<T extends CallTable> {
  /** @throws what the worker throws, under its name; GureumError "worker" where the worker died, "aborted" where it was closed */
  call<K extends keyof T & string>(
    name: K,
    takes: T[K]["takes"],
    onNews?: (news: T[K]["tells"]) => void,
    signal?: StopSignal,
  ): Promise<T[K]["gives"]>;
  /** Ends the worker and all that it holds. */
  close(): void;
}

/** Calls of a worker that serves `T`. */
export function connectCalls<T extends CallTable>(worker: WorkerLike): Calls<T> {
  const open = new Map<number, { onNews(news: unknown): void; done(value: unknown): void; fail(error: unknown): void }>();
  let last = 0;
  let ended: GureumError | undefined;
  const end = (error: GureumError): void => {
    ended ??= error;
    worker.terminate();
    const calls = [...open.values()];
    open.clear();
    for (const call of calls) call.fail(ended);
  };
  worker.onmessage = ({ data }: { data: Answer }) => {
    const call = open.get(data.id);
    if (!call) return;
    if ("tells" in data) {
      try {
        call.onNews(data.tells);
      } catch (error) {
        open.delete(data.id);
        worker.postMessage({ id: data.id, stop: true });
        call.fail(error);
      }
      return;
    }
    open.delete(data.id);
    if (data.error) call.fail(received(data.error));
    else call.done(data.gives);
  };
  worker.onerror = (event: { message?: string; preventDefault?(): void }) => {
    event.preventDefault?.();
    end(
      new GureumError("worker", {
        where: "worker",
        what: "the engine's worker ended, or its file did not load",
        ...(event.message ? { got: event.message } : {}),
        remedy: "start another and load the model again",
      }),
    );
  };
  return {
    call(name, takes, onNews = () => {}, signal) {
      const id = ++last;
      const stop = (): void => worker.postMessage({ id, stop: true });
      const { heard, end: heardEnd } = hear({ onNews }, ["onNews"]);
      const result = new Promise<unknown>((done, fail) => {
        if (ended) return fail(ended);
        open.set(id, { onNews: heard.onNews as (news: unknown) => void, done, fail });
        worker.postMessage({ id, name, takes });
        if (signal?.aborted) stop();
        signal?.addEventListener("abort", stop);
      });
      return heardEnd(result).finally(() => signal?.removeEventListener("abort", stop)) as Promise<never>;
    },
    close: () => end(new GureumError("aborted", { where: "worker", what: "was closed" })),
  };
}
