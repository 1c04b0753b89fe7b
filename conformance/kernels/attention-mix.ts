import { attentionMix } from "../../gpu/kernels/plain/attention-mix.ts";
import type { AttentionMixCase } from "../ops/attention-mix.ts";
import { asCache, roundToF16 } from "../subjects/layouts.ts";
import { type AnyGpuSubject, oneCall, type Rig } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  (["f32", "f16"] as const).map((dtype) =>
    oneCall(
      rig,
      attentionMix,
      ({ T, start, shape, weights, v }: AttentionMixCase) => ({
        T,
        start,
        shape: { ...shape, dtype },
        given: { weights, values: asCache(v, dtype) },
      }),
      {
        variant: `attention-mix-${dtype}-cache`,
        ...(dtype === "f16" ? { adapt: (c: AttentionMixCase) => ({ ...c, v: roundToF16(c.v) }) } : {}),
      },
    ),
  );
