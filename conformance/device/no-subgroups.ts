/** In place of subgroups.ts in browsers, whose bundles leave the emulation out. */
import { GureumError } from "../../core/errors.ts";
import type * as inFull from "./subgroups.ts";

export const notEmulated: typeof inFull.notEmulated = [];

/** @throws GureumError "unsupported" */
export const withSubgroups: typeof inFull.withSubgroups = () => {
  throw new GureumError("unsupported", {
    where: 'backend "emulated"',
    what: "a browser's bundle does not have the emulation of subgroups",
    remedy: "run it in Node or Deno",
  });
};
