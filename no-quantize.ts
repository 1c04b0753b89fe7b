/** In place of quantize.ts where no folder can be written: browsers, whose bundles then hold neither the quantizer nor its training. */
import { GureumError } from "./core/errors.ts";
import type { quantize as ofFolders } from "./quantize.ts";

/** @throws GureumError "unsupported" */
export const quantize: typeof ofFolders = async () => {
  throw new GureumError("unsupported", {
    where: "quantize",
    what: "a browser has no folder to write the model to",
    remedy: "run it in Node or Deno",
  });
};
