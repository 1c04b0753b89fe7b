/**
 * The one error class of the project. Grammar of a message, always one line:
 * `where: what, expected x, got y — remedy` (the parts that do not apply are left out).
 */

/** What went wrong, for programs. The message says it for people. */
export type ErrorCode =
  | "usage" // the caller's words or arguments are off
  | "not-found" // a file or folder is missing
  | "io" // the host refused to read or write
  | "disk-full"
  | "network" // a server was not reached, broke off, or sent what it should not
  | "access" // a server refused: a token or a permission is missing
  | "format" // bytes break their format
  | "unsupported" // well-formed, but not something this engine runs
  | "missing-tensor"
  | "shape" // a shape disagrees with what was declared
  | "dtype" // a dtype disagrees with what was declared
  | "non-finite" // NaN or infinity where a number must be
  | "range" // an id, index or number outside its range
  | "context" // the context length is used up
  | "template" // a chat template raised
  | "aborted"
  | "no-adapter"
  | "missing-feature"
  | "limit" // beyond what a device, the engine or an arithmetic's definition can hold
  | "out-of-memory"
  | "device-lost"
  | "worker" // a thread of the CPU backend failed or died
  | "pipeline" // a shader or pipeline did not compile
  | "no-output" // a kernel wrote nothing
  | "divergence"; // two computations differ by more than their bound

/** The parts of a message; `where` grows by a prefix each time `within` wraps it. */
export interface ErrorParts {
  /** Place, from the outside in. */
  where?: string;
  /** What is wrong. */
  what: string;
  /** What would be right. */
  expected?: string;
  /** What is there instead. */
  got?: string;
  /** What to do about it. */
  remedy?: string;
}

/** Characters of a place, and of what was wrong or got, that a message shows: a file may hold megabytes where a name is due. */
const MOST = 600;
const short = (s: string): string => (s.length <= MOST ? s : `${s.slice(0, MOST / 2)}… (${s.length} characters)`);

/** Without line ends, control characters, and those that turn the direction of what follows. */
const oneLine = (s: string): string => s.replace(/[\s\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, " ").trim();

/** What every part of the package throws, one line long. */
export class GureumError extends Error {
  /** The class's. */
  override readonly name = "GureumError";
  /** The kind of fault, for programs. */
  readonly code: ErrorCode;
  /** The parts of the message. */
  readonly details: ErrorParts;

  /** An error from its code and the parts of its message. */
  constructor(code: ErrorCode, details: ErrorParts, cause?: unknown) {
    const { where, what, expected, got, remedy } = details;
    let text = where ? `${short(where)}: ${short(what)}` : short(what);
    if (expected !== undefined) text += `, expected ${expected}`;
    if (got !== undefined) text += `, got ${short(got)}`;
    if (remedy !== undefined) text += ` — ${remedy}`;
    super(oneLine(text), cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

const prefixed = (where: string, error: unknown): unknown => {
  if (!(error instanceof GureumError)) return error;
  const inner = error.details.where;
  return new GureumError(error.code, { ...error.details, where: inner ? `${where} > ${inner}` : where }, error.cause);
};

/** Runs `body`; a GureumError that leaves it gets `where > ` put before its place. Other errors pass unchanged. */
export function within<T>(where: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw prefixed(where, error);
  }
}

/** `within` for asynchronous bodies. */
export async function withinAsync<T>(where: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw prefixed(where, error);
  }
}
