/**
 * HTTP as the hub wants it: the token goes to the hub's own address and nowhere else, a refusal is named, a busy server and a failed
 * connection are asked again.
 */
import { GureumError } from "../core/errors.ts";
import { connectionTrouble, isOff, pause } from "../core/host/web-ask.ts";
import { VERSION } from "../core/version.ts";
import type { Settings } from "./settings.ts";

/** `fetch`, for a model of the hub. @throws GureumError "network", "access", "not-found" */
export type Ask = typeof fetch;

const offer = (token: string | null): string =>
  token === null
    ? "set HF_TOKEN, or log in with `hf auth login`"
    : "look whether the token (HF_TOKEN, or that of `hf auth login`) is of an account that may";

/** What an answer that is no success means. */
function refusal(where: string, { status, headers, url }: Response, { token, endpoint }: Settings): GureumError {
  const code = headers.get("x-error-code");
  const said = headers.get("x-error-message");
  const got = `HTTP ${status}${said ? ` (${said})` : ""}`;
  if (code === "GatedRepo")
    return new GureumError("access", {
      where,
      what: "the model is gated: its owners give access on its page",
      got,
      remedy: `ask for it at ${endpoint}/${where.split("@")[0]}, then ${offer(token)}`,
    });
  if (code === "RevisionNotFound") return new GureumError("not-found", { where, what: "the model has no such revision", got });
  if (code === "EntryNotFound") return new GureumError("not-found", { where, what: "no such file on the hub", got: `${got} for ${url}` });
  // The hub says 401 of what it does not have, too, so as not to tell private names.
  if (code === "RepoNotFound" || status === 404)
    return new GureumError("not-found", {
      where,
      what: `no folder on this disk, and no public model at ${endpoint}`,
      got,
      remedy: `look at the spelling; for a private model ${offer(token)}`,
    });
  if (status === 401 || status === 403)
    return new GureumError("access", {
      where,
      what: status === 401 && token ? "the hub does not take the token" : "the hub refuses",
      got,
      remedy: offer(token),
    });
  return new GureumError("network", { where, what: `an answer that was not expected from ${new URL(url || endpoint).host}`, got });
}

/** @param where the model's name */
export function makeAsk(where: string, settings: Settings): Ask {
  const { endpoint, token, patience } = settings;
  const home = new URL(endpoint).origin;
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    headers.set("user-agent", `gureum/${VERSION}`);
    if (token !== null && url.origin === home) headers.set("authorization", `Bearer ${token}`);
    for (let failures = 1; ; failures++) {
      let trouble: GureumError;
      let wait = patience.waitMs * 2 ** (failures - 1);
      try {
        const response = await answered(url, { ...init, headers }, patience.stallMs);
        if (response.ok || response.status === 416) return response;
        trouble = refusal(where, response, settings);
        await response.body?.cancel();
        if (response.status !== 429 && response.status < 500) throw trouble;
        const asked = Number(response.headers.get("retry-after"));
        if (asked > 0) wait = Math.min(asked * 1000, 60_000);
      } catch (error) {
        if (error instanceof GureumError) throw error;
        trouble = new GureumError(
          "network",
          {
            where,
            what: `no answer from ${url.host}`,
            got: connectionTrouble(error),
            remedy: "look at the connection and at HF_ENDPOINT; HF_HUB_OFFLINE=1 takes what is on this disk",
          },
          error,
        );
      }
      if (failures >= patience.tries || isOff(trouble.details.got)) throw trouble;
      await pause(wait);
    }
  };
}

/** The answer's head, or an error where it is late; the body may take longer. */
async function answered(url: URL, init: RequestInit, limitMs: number): Promise<Response> {
  const control = new AbortController();
  init.signal?.addEventListener("abort", () => control.abort(init.signal!.reason), { once: true });
  const timer = setTimeout(() => control.abort(new Error(`nothing within ${limitMs / 1000} s`)), limitMs);
  try {
    return await fetch(url, { ...init, signal: control.signal });
  } finally {
    clearTimeout(timer);
  }
}
