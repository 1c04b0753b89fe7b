/**
 * `gureum/worker/connect`: the page's side of an engine that runs in a worker, so that the page never stalls.
 *
 *     import { connectEngine } from "gureum/worker/connect";
 *     const engine = connectEngine(new Worker(new URL("./worker.js", import.meta.url), { type: "module" }));
 *     await engine.load("/models/tiny");
 *     for await (const { text } of engine.generate({ messages: [{ role: "user", content: "안녕?" }] })) show(text);
 */
import type { BenchResults } from "../bench/results.ts";
import type { ChatMessage, ChatOptions } from "../chat.ts";
import type { Certificate } from "../conformance/certificate/certificate.ts";
import type { DeviceIdentity } from "../conformance/certificate/identity.ts";
import type { Failure } from "../conformance/check.ts";
import type { GenerateResult, TokenEvent } from "../core/generate/generate.ts";
import type { GenerateInput } from "../prompts.ts";
import type {
  BenchAsked,
  ConformanceAsked,
  ConformanceNews,
  DiffGiven,
  EngineCalls,
  LoadedInfo,
  LoadNews,
  PartNews,
  SentBackend,
  SentOptions,
  SentPlace,
} from "./calls.ts";
import { connectCalls, type StopSignal, type WorkerLike } from "./port.ts";

export type {
  BenchAsked,
  ConformanceAsked,
  ConformanceNews,
  DiffGiven,
  EngineCalls,
  LoadedInfo,
  LoadNews,
  PartNews,
  SentBackend,
  SentOptions,
  SentPlace,
} from "./calls.ts";
export { type Calls, type CallTable, connectCalls, type ServingPort, type StopSignal, type WorkerLike } from "./port.ts";

/** What a call hears meanwhile, and what stops it. */
export interface CallOptions<News> {
  readonly onNews?: (news: News) => void;
  readonly signal?: StopSignal;
}

/** An engine in a worker. What the worker throws is thrown here, a GureumError with its code and remedy. */
export interface Engine {
  /** Loads a model in place of the one before; also after its device was lost. */
  load(place: SentPlace, options?: SentBackend & CallOptions<LoadNews>): Promise<LoadedInfo>;
  /**
   * Continues the input token by token. Of a conversation only what is new is fed, since the model remembers the last call; a model loaded
   * anew is fed all of it. Leaving the loop, or the signal, stops it.
   */
  generate(
    input: GenerateInput,
    options?: SentOptions & { readonly signal?: StopSignal },
  ): AsyncGenerator<TokenEvent, GenerateResult, undefined>;
  /** Messages as the prompt that the model's template makes of them. @throws GureumError "template", and why there is no template */
  render(messages: readonly ChatMessage[], options?: ChatOptions): Promise<string>;
  /** The ids that `generate` would feed. @throws GureumError as `render`; "usage" before a model is loaded */
  encode(input: GenerateInput): Promise<number[]>;
  /** The WebGPU device of this page. @throws GureumError "no-adapter" */
  device(): Promise<DeviceIdentity>;
  /**
   * Holds ops and kernels to their laws. Stops between two rows; the lines of its journal, given again, let the next run go on behind them.
   * @throws GureumError "aborted" where it was stopped
   */
  conformance(asked?: ConformanceAsked, options?: CallOptions<ConformanceNews>): Promise<Certificate>;
  /** The case of a replay line, also with the command around it; null where it holds. */
  replay(line: string): Promise<Failure | null>;
  /** The first step in which the GPU and the CPU differ by more than their bounds. */
  diff(place: SentPlace, text: string, options?: CallOptions<EngineCalls["diff"]["tells"]>): Promise<DiffGiven>;
  /** Limits, kernels or a model, measured on the page's device, as `gureum bench` does. @throws GureumError "no-adapter", "usage" */
  bench(asked: BenchAsked, options?: CallOptions<PartNews>): Promise<BenchResults>;
  /** Ends the worker; calls that run fail with "aborted". */
  close(): void;
}

/** The engine that a worker serves by `serveEngine`. A worker that dies fails all its calls with "worker". */
export function connectEngine(worker: WorkerLike): Engine {
  const { call, close } = connectCalls<EngineCalls>(worker);

  async function* generate(
    input: GenerateInput,
    { signal, ...options }: SentOptions & { readonly signal?: StopSignal } = {},
  ): AsyncGenerator<TokenEvent, GenerateResult, undefined> {
    const waiting: TokenEvent[] = [];
    let wake = (): void => {};
    let ended: GenerateResult | undefined;
    let failed: { error: unknown } | undefined;
    const listeners = new Set<() => void>();
    // Both the caller's signal and leaving the loop end the call.
    const stop: StopSignal & { aborted: boolean } = {
      aborted: signal?.aborted ?? false,
      addEventListener: (_, listener) => void listeners.add(listener),
      removeEventListener: (_, listener) => void listeners.delete(listener),
    };
    const onAbort = (): void => {
      stop.aborted = true;
      for (const listener of listeners) listener();
    };
    signal?.addEventListener("abort", onAbort);
    const onToken = (token: TokenEvent): void => {
      waiting.push(token);
      wake();
    };
    const whole = call("generate", { input, options }, onToken, stop).then(
      (result) => {
        ended = result;
        wake();
      },
      (error: unknown) => {
        failed = { error };
        wake();
      },
    );
    try {
      for (;;) {
        const token = waiting.shift();
        if (token) yield token;
        else if (failed) throw failed.error;
        else if (ended) return ended;
        else
          await new Promise<void>((woken) => {
            wake = woken;
          });
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      if (!ended && !failed) onAbort();
      await whole;
    }
  }

  return {
    load: (place, { onNews, signal, ...options } = {}) => call("load", { place, options }, onNews, signal),
    generate,
    render: (messages, options = {}) => call("render", { messages, options }),
    encode: (input) => call("encode", input),
    device: () => call("device", null),
    conformance: (asked = {}, { onNews, signal } = {}) => call("conformance", asked, onNews, signal),
    replay: (line) => call("replay", line),
    diff: (place, text, { onNews, signal } = {}) => call("diff", { place, text }, onNews, signal),
    bench: (asked, { onNews, signal } = {}) => call("bench", asked, onNews, signal),
    close,
  };
}
