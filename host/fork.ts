/** Processes that run a module of this package, as source or as built. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { HostProcess } from "./host.ts";

/** Runs the module at `path` (without extension, from the package's root); all that it says comes as messages. */
export function forkModule(path: string, args: readonly string[]): ChildProcess {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  return fork(new URL(`../${path}${extension}`, import.meta.url), args, {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
}

/** A module that sends one message for each that it gets. */
export function forkProcess(path: string, args: readonly string[]): HostProcess {
  const child = forkModule(path, args);
  const ended = once(child, "exit").then(([code, signal]): never => {
    throw signal ?? `exit ${code}`;
  });
  ended.catch(() => {}); // reported to whoever waits for an answer
  return {
    async ask(question) {
      const answer = once(child, "message");
      child.send(question as object);
      return (await Promise.race([answer, ended]))[0];
    },
    kill: () => void child.kill(),
  };
}
