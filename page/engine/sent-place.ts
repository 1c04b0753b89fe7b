/** The page's places in the words of the library's worker. */
import type { DirectoryHandleLike } from "../../core/host/file-store.ts";
import { embedded } from "../../host/embedded-files.ts";
import type { SentPlace } from "../../worker/calls.ts";
import type { Place } from "./protocol.ts";

/** What is to be kept was, when it was loaded. */
export function sentPlace(place: Place): SentPlace {
  switch (place.kind) {
    case "embedded":
      return embedded;
    case "directory":
      return place.handle as unknown as DirectoryHandleLike;
    case "files":
      return place.files;
    case "kept":
      return { kept: place.name };
    case "address":
      return place.keep ? { kept: place.name } : { address: place.address };
  }
}
