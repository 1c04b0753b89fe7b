/** An engine in a worker of its own, as the page sees it: started with the first call, ended by `end`. */
import { GureumError } from "../../core/errors.ts";
import { type Calls as Connected, connectCalls, type WorkerLike } from "../../worker/port.ts";
import type { CallName, Calls } from "./protocol.ts";

/** Of a call that runs. */
export interface Running<T> {
  /** @throws GureumError, "worker" where the worker died, "aborted" where it was ended */
  readonly result: Promise<T>;
  /** Asks it to end early, where it can; `result` comes nevertheless. */
  stop(): void;
}

export interface Engine {
  call<K extends CallName>(name: K, takes: Calls[K]["takes"], onNews?: (news: Calls[K]["tells"]) => void): Running<Calls[K]["gives"]>;
  /** Ends the worker and all that it holds. The next call starts another. */
  end(): void;
}

/** The DOM's Worker has more than a port needs, and of stricter types. */
const start = (): WorkerLike => new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "gureum" });

export function makeEngine(): Engine {
  let connected: Connected<Calls> | undefined;
  return {
    call(name, takes, onNews) {
      connected ??= connectCalls<Calls>(start());
      const mine = connected;
      const abort = new AbortController();
      const result = mine.call(name, takes, onNews, abort.signal).catch((error: unknown) => {
        if (error instanceof GureumError && error.code === "worker" && connected === mine) connected = undefined;
        throw error;
      });
      return { result, stop: () => abort.abort() };
    },
    end() {
      connected?.close();
      connected = undefined;
    },
  };
}
