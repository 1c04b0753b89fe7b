/**
 * HTTP for model files, in browsers, Node and Deno: a refusal is named, a busy server and a cut connection are asked again, and one that says
 * nothing is given up.
 */
import { GureumError } from "../errors.ts";

/** How long a bad connection is borne. */
export interface Patience {
  /** Failures in a row before giving up. */
  readonly tries: number;
  /** Wait after the first failure, in milliseconds; it doubles with each. */
  readonly waitMs: number;
  /** A connection that brings nothing for so long is taken for cut. */
  readonly stallMs: number;
}

export const usualPatience: Patience = { tries: 5, waitMs: 1000, stallMs: 30_000 };

/** How files are asked for. */
export interface Asking {
  /** Headers of every request: an authorization, say. */
  readonly headers: Readonly<Record<string, string>>;
  readonly patience: Patience;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What a failed connection says of itself: Node's fetch hides it one or two causes down. */
export function connectionTrouble(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  const { code, message } = inner as { code?: unknown; message?: unknown };
  return `${message || code || inner}`;
}

/** Connections that no second try brings about: no such host, nobody there, no network. */
export const isOff = (trouble: string | undefined): boolean =>
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|dns error|connection refused|unreachable/i.test(trouble ?? "");

/** A page's own origin; undefined outside of browsers. */
const ownOrigin = (): string | undefined => (globalThis as { location?: { origin: string } }).location?.origin;

/** What an answer that is no success means. */
function refusal(where: string, status: number): GureumError {
  const got = `HTTP ${status}`;
  if (status === 404 || status === 410)
    return new GureumError("not-found", { where, what: "the server has no such file", got, remedy: "look at the address" });
  if (status === 401 || status === 403)
    return new GureumError("access", {
      where,
      what: status === 401 ? "the server wants to know who asks" : "the server refuses",
      got,
      remedy: "give the headers that it asks for (an authorization), or take a folder that is public",
    });
  return new GureumError("network", { where, what: "an answer that was not expected", got });
}

/**
 * Why a request got no answer at all. A browser does not say whether a server is away or merely lets no page of another origin read it: a
 * request whose answer stays hidden tells.
 */
async function noAnswer(address: string, error: unknown): Promise<GureumError> {
  const own = ownOrigin();
  const { origin, host } = new URL(address);
  const got = connectionTrouble(error);
  if (own !== undefined && origin !== own) {
    const isThere = await fetch(address, { method: "HEAD", mode: "no-cors" }).then(
      () => true,
      () => false,
    );
    if (isThere)
      return new GureumError(
        "access",
        {
          where: address,
          what: `the server answers, but lets no page of ${own} read it (CORS)`,
          remedy: "serve the files with Access-Control-Allow-Origin, or from the page's own server",
        },
        error,
      );
  }
  const policy = own === undefined ? "" : ", and whether the page's policy (connect-src) allows the address";
  return new GureumError(
    "network",
    { where: address, what: `no answer from ${host}`, got, remedy: `look at the connection${policy}` },
    error,
  );
}

/** What is said of a request. */
export interface Init {
  readonly method?: "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Past the browser's cache. */
  readonly cache?: "no-store";
}

/** As much of the web's Response as is needed. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
}

/** An answer whose body ends with an error where it stalls. */
export interface Answer {
  readonly response: AnswerHead;
  /** Pieces of the body. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the transfer. */
  cancel(): Promise<void>;
}

/** One request, given up where nothing comes for `stallMs`. */
async function request(address: string, init: Init, stallMs: number): Promise<Answer> {
  const control = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(new Error(`nothing came for ${stallMs / 1000} s`)), stallMs);
  };
  watch();
  let response: Response;
  try {
    response = await fetch(address, { ...init, signal: control.signal });
  } catch (error) {
    clearTimeout(timer);
    throw control.signal.aborted ? control.signal.reason : error;
  }
  const reader = response.body?.getReader();
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        watch();
        const part = await reader?.read();
        if (!part || part.done) return;
        yield part.value;
      }
    } catch (error) {
      throw control.signal.aborted ? control.signal.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }
  return {
    response,
    body: pieces(),
    async cancel() {
      clearTimeout(timer);
      await reader?.cancel().catch(() => {});
      control.abort();
    },
  };
}

/**
 * An answer with status 200, 206 or 416.
 * @throws GureumError "not-found", "access", "network"
 */
export async function ask(address: string, init: Init, { headers, patience }: Asking): Promise<Answer> {
  const { tries, waitMs, stallMs } = patience;
  for (let failures = 1; ; failures++) {
    let trouble: GureumError;
    let wait = waitMs * 2 ** (failures - 1);
    try {
      const answer = await request(address, { ...init, headers: { ...headers, ...init.headers } }, stallMs);
      const { status, headers: told } = answer.response;
      if (status === 200 || status === 206 || status === 416) return answer;
      await answer.cancel();
      trouble = refusal(address, status);
      if (status !== 429 && status < 500) throw trouble;
      const asked = Number(told.get("retry-after"));
      if (asked > 0) wait = Math.min(asked * 1000, 60_000);
    } catch (error) {
      if (error instanceof GureumError) throw error;
      trouble = await noAnswer(address, error);
    }
    if (failures >= tries || trouble.code === "access" || isOff(trouble.details.got)) throw trouble;
    await pause(wait);
  }
}
