/** The worker's longer runs of the library, for the page's places; results say which build measured them. */
import { runWorks } from "../../worker/runs.ts";
import { BUILD } from "./build.ts";
import type { Work } from "./protocol.ts";
import { sentPlace } from "./sent-place.ts";

export const replay: Work<"replay"> = (...call) => runWorks.replay(...call);

export const diff: Work<"diff"> = ({ place, text }, ...rest) => runWorks.diff({ place: sentPlace(place), text }, ...rest);

export const bench: Work<"bench"> = async (asked, ...rest) => {
  const results = await runWorks.bench(asked.what === "model" ? { ...asked, place: sentPlace(asked.place) } : asked, ...rest);
  return { ...results, commit: BUILD };
};
