/** What stands before the calls of a session and of a batch: one at a time, and none after `dispose`. */
import { GureumError } from "../errors.ts";

export interface Guard {
  /** @throws GureumError "usage" while a call runs, and after `dispose` */
  enter(what: string): void;
  /** Runs `body` as the only call. @throws as `enter`, what `body` throws, and "usage" where `dispose` came meanwhile */
  alone<T>(what: string, body: () => Promise<T>): Promise<T>;
  /** Calls `close` the first time, and `free` then or, as a call that runs works on what it holds, when that ends. */
  dispose(): void;
}

export function makeGuard(noun: "session" | "batch", close: () => void, free: () => void): Guard {
  let running: string | null = null;
  let disposed = false;
  const enter = (what: string): void => {
    if (disposed) throw new GureumError("usage", { where: what, what: `the ${noun} was disposed`, remedy: "create another" });
    if (running !== null)
      throw new GureumError("usage", {
        where: what,
        what: `${running} is still running on this ${noun}`,
        remedy: `await it first, or use another ${noun}`,
      });
  };
  return {
    enter,
    async alone(what, body) {
      enter(what);
      running = what;
      let failure: unknown;
      try {
        const result = await body();
        if (!disposed) return result;
      } catch (error) {
        if (!disposed) throw error;
        failure = error;
      } finally {
        running = null;
        if (disposed) free();
      }
      // What it gave may have been computed from memory that is somebody else's by now.
      throw new GureumError("usage", { where: what, what: `the ${noun} was disposed meanwhile`, remedy: "create another" }, failure);
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      close();
      if (running === null) free();
    },
  };
}
