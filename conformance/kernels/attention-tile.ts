import { attentionTile, takesHeads } from "../../gpu/kernels/plain/attention-tile.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";
import { cacheOf, perCache } from "./attention.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  perCache((dtype, more) => {
    const callOf = (c: AttentionCase) => {
      const { shape, ...caches } = cacheOf(c, dtype);
      return { T: c.T, start: c.start, shape, given: { q: c.q, ...caches } };
    };
    return oneCall(rig, attentionTile, callOf, { ...more, op: "attention", accepts: ({ shape }) => takesHeads(shape) && shape.Hd <= 256 });
  }, attentionTile.name);
