import { attentionWeights } from "../../gpu/kernels/plain/attention-weights.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";
import { cacheOf, perCache } from "./attention.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  perCache((dtype, more) => {
    const callOf = (c: AttentionCase) => {
      const { shape, keys } = cacheOf(c, dtype);
      return { T: c.T, start: c.start, shape, given: { q: c.q, keys } };
    };
    return oneCall(rig, attentionWeights, callOf, more);
  }, attentionWeights.name);
