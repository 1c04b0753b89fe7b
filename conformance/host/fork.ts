/** Processes that run a module of this room, as source or as built. */
import { type ChildProcess, fork } from "node:child_process";

/** Runs the module at `path` (without extension, from conformance/); all that it says comes as messages. */
export function forkModule(path: string, args: string[]): ChildProcess {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  return fork(new URL(`../${path}${extension}`, import.meta.url), args, {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
}
