/**
 * `gureum/worker/serve`: the engine's side. A worker of the page's own is two lines:
 *
 *     import { serveEngine } from "gureum/worker/serve";
 *     serveEngine();
 */
import type { EngineCalls } from "./calls.ts";
import { modelWorks } from "./models.ts";
import { type ServingPort, serveCalls } from "./port.ts";
import { runWorks } from "./runs.ts";

export { type CallTable, type ServingPort, serveCalls, type Work, type Works } from "./port.ts";

/** Answers the calls of `connectEngine`. @param port where they come from; a worker's own global where absent */
export const serveEngine = (port?: ServingPort): void => serveCalls<EngineCalls>({ ...modelWorks(), ...runWorks }, port);
