/** What an engine in a worker can be asked: everything here can be cloned. */
import type { BackendOptions } from "../backend.ts";
import type { BenchResults } from "../bench/results.ts";
import type { ChatMessage, ChatOptions } from "../chat.ts";
import type { Certificate } from "../conformance/certificate/certificate.ts";
import type { DeviceIdentity } from "../conformance/certificate/identity.ts";
import type { ConformanceOptions } from "../conformance/certificate/run.ts";
import type { Failure, Row } from "../conformance/check.ts";
import type { Diff } from "../conformance/watch/diff.ts";
import type { GenerateResult, TokenEvent } from "../core/generate/generate.ts";
import type { DirectoryHandleLike, FileLike } from "../core/host/file-store.ts";
import type { UrlOptions } from "../core/host/url-store.ts";
import type { SamplingOptions } from "../core/model/engine.ts";
import type { GenerateInput, GenerateOptions } from "../prompts.ts";

/**
 * Where a model is: a text as `loadModel` takes it, an address with how to read it, the name of a kept one, a picked folder's handle, or
 * files.
 */
export type SentPlace =
  | string
  | ({ readonly address: string } & Omit<UrlOptions, "onNote" | "onDownload">)
  | { readonly kept: string }
  | DirectoryHandleLike
  | readonly FileLike[];

/** How it computes. */
export type SentBackend = Pick<
  BackendOptions,
  "backend" | "adapter" | "arithmetic" | "cache" | "kernels" | "ops" | "threads" | "robustness"
>;
/** How an answer is drawn. */
export type SentOptions = Omit<GenerateOptions, "signal" | "onPrefill" | "processLogits" | "speculate" | "session">;

/** Bytes that came so far, of files that are fetched whole or of weights. */
export interface LoadNews {
  readonly step: "download" | "weights";
  readonly done: number;
  readonly total: number;
}

/** A model that is ready. */
export interface LoadedInfo {
  readonly backend: "cpu" | "webgpu";
  /** Which device, how it computes, and why. */
  readonly backendReason: string;
  readonly loadMs: number;
  readonly notes: readonly string[];
  /** Positions that the model holds. */
  readonly context: number;
  readonly vocabSize: number;
  readonly samplingDefaults: SamplingOptions;
  /** Why conversations cannot be rendered; null where they can. */
  readonly noChat: string | null;
}

/** Of a run of the suite, as it goes. */
export type ConformanceNews =
  | { readonly kind: "start"; readonly devices: readonly DeviceIdentity[]; readonly total: number; readonly finished: readonly Row[] }
  | { readonly kind: "row"; readonly row: Row }
  | { readonly kind: "progress"; readonly done: number; readonly total: number; readonly what: string; readonly violated: number }
  /** The next line of the journal, to be kept by whoever wants to go on with this run later. */
  | { readonly kind: "journal"; readonly line: string };

/** What to run; `journal`: lines of an interrupted run, whose rows are taken as they are. */
export interface ConformanceAsked
  extends Pick<ConformanceOptions, "backend" | "adapter" | "filter" | "variant" | "runs" | "seed" | "timeMs"> {
  readonly journal?: string;
}

/** What is measured. */
export type BenchAsked =
  | { readonly what: "device" }
  | { readonly what: "kernels"; readonly shape: string; readonly rows: readonly number[]; readonly filter?: string }
  | {
      readonly what: "model";
      readonly place: SentPlace;
      readonly backend: "cpu" | "webgpu";
      readonly prompt: number;
      readonly newTokens: number;
      readonly depth?: number;
    };

/** Parts of a whole. */
export interface PartNews {
  readonly done: number;
  readonly total: number;
}

/** A text on the CPU and on the GPU, step by step. */
export interface DiffGiven extends Diff {
  readonly ids: readonly number[];
  /** The GPU's name, and how the CPU computed. */
  readonly device: string;
  readonly cpu: string;
}

/** Every call. */
export type EngineCalls = {
  readonly load: { takes: { readonly place: SentPlace; readonly options: SentBackend }; tells: LoadNews; gives: LoadedInfo };
  readonly generate: {
    takes: { readonly input: GenerateInput; readonly options: SentOptions };
    tells: TokenEvent;
    gives: GenerateResult;
  };
  readonly render: { takes: { readonly messages: readonly ChatMessage[]; readonly options: ChatOptions }; tells: never; gives: string };
  readonly encode: { takes: GenerateInput; tells: never; gives: number[] };
  readonly device: { takes: null; tells: never; gives: DeviceIdentity };
  readonly conformance: { takes: ConformanceAsked; tells: ConformanceNews; gives: Certificate };
  readonly replay: { takes: string; tells: never; gives: Failure | null };
  readonly diff: {
    takes: { readonly place: SentPlace; readonly text: string };
    tells: LoadNews | ({ step: "judging" } & PartNews);
    gives: DiffGiven;
  };
  readonly bench: { takes: BenchAsked; tells: PartNews; gives: BenchResults };
};
