/** The engine's side of protocol.ts. Each kind of work is loaded when it is first asked for. */
import { serveCalls, type Works } from "../../worker/port.ts";
import type { Calls } from "./protocol.ts";

const works: Works<Calls> = {
  load: async (...call) => (await import("./chat.ts")).load(...call),
  answer: async (...call) => (await import("./chat.ts")).answer(...call),
  render: async (...call) => (await import("./chat.ts")).render(...call),
  kept: async (...call) => (await import("./stores.ts")).kept(...call),
  forget: async (...call) => (await import("./stores.ts")).forget(...call),
  suite: async (...call) => (await import("./suite.ts")).suite(...call),
  replay: async (...call) => (await import("./runs.ts")).replay(...call),
  diff: async (...call) => (await import("./runs.ts")).diff(...call),
  bench: async (...call) => (await import("./runs.ts")).bench(...call),
};

serveCalls(works);
