/**
 * What the page asks of an engine's worker. A call is `{ id, name, takes }`; the worker answers with any number of `{ id, tells }` and
 * then one `{ id, gives }` or `{ id, error }`. `{ id, stop: true }` asks a call to end early, where it can.
 */
import type { BenchResults } from "../../bench/results.ts";
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import type { DeviceIdentity } from "../../conformance/certificate/identity.ts";
import type { Failure, Row } from "../../conformance/check/row.ts";
import type { Diff } from "../../conformance/watch/diff.ts";
import type { SamplingOptions } from "../../core/model/engine.ts";

/** Where a model's files are. Nothing of them leaves the browser. */
export type Place =
  | { readonly kind: "embedded" }
  | { readonly kind: "directory"; readonly name: string; readonly handle: FileSystemDirectoryHandle }
  | { readonly kind: "files"; readonly name: string; readonly files: readonly File[] }
  /** A folder on the page's own server, by its address. */
  | { readonly kind: "address"; readonly name: string; readonly address: string };

export type Backend = "auto" | "cpu" | "webgpu";

/** Bytes of a model that have come so far, and what is done with them. */
export interface Loading {
  readonly step: "download" | "weights";
  readonly done: number;
  readonly total: number;
}

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

/** What the page can find out about a device. */
export interface DeviceFound {
  readonly device: DeviceIdentity;
  readonly software: boolean;
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

export interface DiffAsked {
  readonly place: Place;
  readonly text: string;
}
export type DiffTold = Loading | { readonly step: "judging"; readonly done: number; readonly total: number };
export interface DiffGiven extends Diff {
  readonly ids: readonly number[];
  readonly device: string;
  readonly cpu: string;
}

export type BenchAsked =
  | { readonly what: "device" }
  | { readonly what: "kernels"; readonly shape: string; readonly rows: readonly number[]; readonly filter: string }
  | {
      readonly what: "model";
      readonly place: Place;
      readonly backend: "cpu" | "webgpu";
      readonly prompt: number;
      readonly newTokens: number;
    };
export interface BenchTold {
  readonly done: number;
  readonly total: number;
}

/** Every call: what it takes, what is told meanwhile, what it gives. */
export interface Calls {
  readonly load: { takes: { readonly place: Place; readonly backend: Backend }; tells: Loading; gives: Loaded };
  readonly answer: {
    takes: { readonly messages: readonly Message[]; readonly maxNewTokens: number; readonly sampling: Partial<SamplingOptions> };
    tells: Piece;
    gives: Answered;
  };
  /** The prompt that the template makes of a conversation. */
  readonly render: { takes: readonly Message[]; tells: never; gives: string };
  readonly device: { takes: null; tells: never; gives: DeviceFound };
  readonly suite: { takes: SuiteAsked; tells: SuiteTold; gives: Certificate };
  readonly replay: { takes: string; tells: never; gives: Failure | null };
  readonly diff: { takes: DiffAsked; tells: DiffTold; gives: DiffGiven };
  readonly bench: { takes: BenchAsked; tells: BenchTold; gives: BenchResults };
}

export type CallName = keyof Calls;

/** How a call is carried out in the worker. `signal` fires where the page asks it to stop. */
export type Work<K extends CallName> = (
  takes: Calls[K]["takes"],
  tell: (news: Calls[K]["tells"]) => void,
  signal: AbortSignal,
) => Promise<Calls[K]["gives"]>;

/** An error as it crosses from the worker: `code` of a GureumError, "internal" of any other. */
export interface CallError {
  readonly code: string;
  readonly message: string;
}

export type ToWorker =
  | { readonly id: number; readonly name: CallName; readonly takes: unknown }
  | { readonly id: number; readonly stop: true };
export type FromWorker =
  | { readonly id: number; readonly tells: unknown }
  | { readonly id: number; readonly gives: unknown }
  | { readonly id: number; readonly error: CallError };
