/** Processes of this room's own modules, as source or as built. */
import { type ChildProcess, fork } from "node:child_process";

/** Runs the module `name` of this folder; all that it says comes as messages. */
export function forkModule(name: string, args: string[]): ChildProcess {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf("."));
  return fork(new URL(`./${name}${extension}`, import.meta.url), args, {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
}
