import { cacheWrite } from "../../gpu/kernels/plain/cache-write.ts";
import type { CacheWriteCase } from "../ops/cache-write.ts";
import { asCache, fromHalves, positionNoted } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  (["f32", "f16"] as const).map((dtype) =>
    subject<CacheWriteCase>(
      cacheWrite,
      async ({ T, start, width, k, v, keys, values }, out) => {
        const given = { k, v, keys: asCache(keys, dtype), values: asCache(values, dtype), noted: new Uint32Array(1) };
        const read = await runKernel(rig, T, start, (io) => void io.run(cacheWrite, { width, dtype }, given));
        const widen = (words: Uint32Array): Float32Array => (dtype === "f32" ? asF32(inside(words)) : fromHalves(words));
        hand(out, [...widen(read.keys!), ...widen(read.values!), positionNoted(inside(read.noted!)[0]!)], read);
      },
      { variant: `cache-write-${dtype}`, arithmetic: dtype === "f16" ? "f16-cache" : "f32" },
    ),
  );
