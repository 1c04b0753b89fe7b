/** What the page asks of an engine's worker (worker/port.ts): what each call takes, tells meanwhile, and gives. */
import type { BenchResults } from "../../bench/results.ts";
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import type { DeviceIdentity } from "../../conformance/certificate/identity.ts";
import type { Failure, Row } from "../../conformance/check/row.ts";
import type { SamplingOptions } from "../../core/model/engine.ts";
import type { DiffGiven, BenchAsked as EngineBenchAsked, EngineCalls, LoadNews, PartNews } from "../../worker/calls.ts";
import type { Work as PortWork } from "../../worker/port.ts";

/** Where a model's files are. Nothing of them leaves the browser. */
export type Place =
  | { readonly kind: "embedded" }
  | { readonly kind: "directory"; readonly name: string; readonly handle: FileSystemDirectoryHandle }
  | { readonly kind: "files"; readonly name: string; readonly files: readonly File[] }
  /** A folder on the page's own server, by its address. */
  | { readonly kind: "address"; readonly name: string; readonly address: string; readonly keep: boolean }
  /** Kept in this browser, as it came from such a folder. */
  | { readonly kind: "kept"; readonly name: string };

export type Backend = "auto" | "cpu" | "webgpu";

/** Bytes of a model that have come so far, and what is done with them. */
export type Loading = LoadNews;

/** What the page shows of a model that is ready. */
export interface Loaded {
  readonly backend: "cpu" | "webgpu";
  /** Which device, and why it was taken. */
  readonly reason: string;
  readonly loadMs: number;
  readonly notes: readonly string[];
  readonly weightBytes: number;
  readonly context: number;
  readonly sampling: SamplingOptions;
  /** Why conversations cannot be rendered, where they cannot. */
  readonly noChat: string | null;
  /** The system prompt that the template takes where none is given; null where it takes none, or it cannot be told. */
  readonly system: string | null;
}

export type Message = {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
};

/** A piece of an answer, and how fast it comes. */
export interface Piece {
  readonly text: string;
  readonly tokens: number;
  /** From the first token on; 0 before the second. */
  readonly tokensPerSecond: number;
  /** Of the first token, since the question. */
  readonly firstMs: number;
}

export interface Answered extends Omit<Piece, "text"> {
  readonly finish: "stop" | "length" | "context" | "aborted";
  readonly promptTokens: number;
}

/** Of a run of the suite. */
export interface SuiteAsked {
  readonly backend: "cpu" | "webgpu" | "both";
  readonly filter: string;
  readonly timeMs: number | null;
  readonly seed: number;
  /** Forget the rows of an interrupted run. */
  readonly afresh: boolean;
}
export type SuiteTold =
  | { readonly kind: "start"; readonly devices: readonly DeviceIdentity[]; readonly total: number; readonly finished: readonly Row[] }
  | { readonly kind: "row"; readonly row: Row }
  | { readonly kind: "progress"; readonly done: number; readonly total: number; readonly what: string };

export type DiffTold = EngineCalls["diff"]["tells"];

/** The library's, on a place of the page's. */
export type BenchAsked =
  | Exclude<EngineBenchAsked, { what: "model" }>
  | (Omit<Extract<EngineBenchAsked, { what: "model" }>, "place"> & { readonly place: Place });

/** Every call: what it takes, what is told meanwhile, what it gives. */
export type Calls = {
  readonly load: { takes: { readonly place: Place; readonly backend: Backend }; tells: Loading; gives: Loaded };
  readonly answer: {
    takes: { readonly messages: readonly Message[]; readonly maxNewTokens: number; readonly sampling: Partial<SamplingOptions> };
    tells: Piece;
    gives: Answered;
  };
  /** The prompt that the template makes of a conversation. */
  readonly render: { takes: readonly Message[]; tells: never; gives: string };
  /** The models that are kept in this browser, and what they take. */
  readonly kept: { takes: null; tells: never; gives: readonly { readonly name: string; readonly byteLength: number }[] };
  readonly forget: { takes: string; tells: never; gives: null };
  readonly suite: { takes: SuiteAsked; tells: SuiteTold; gives: Certificate };
  readonly replay: { takes: string; tells: never; gives: Failure | null };
  readonly diff: { takes: { readonly place: Place; readonly text: string }; tells: DiffTold; gives: DiffGiven };
  readonly bench: { takes: BenchAsked; tells: PartNews; gives: BenchResults };
};

export type CallName = keyof Calls;

/** How a call is carried out in the worker. */
export type Work<K extends CallName> = PortWork<Calls[K]>;
