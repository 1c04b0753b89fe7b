/** Steps between the linears: what they move stays in the caches, what they cost is mostly their dispatch. */
import { add } from "../../gpu/kernels/plain/add.ts";
import { cacheWrite } from "../../gpu/kernels/plain/cache-write.ts";
import { embedding } from "../../gpu/kernels/plain/embedding.ts";
import { rmsNorm } from "../../gpu/kernels/plain/rms-norm.ts";
import { rope } from "../../gpu/kernels/plain/rope.ts";
import { siluMul } from "../../gpu/kernels/plain/silu-mul.ts";
import { cacheBytes } from "../../gpu/wgsl/cache.ts";
import { startOf, type Work, work } from "../measured.ts";

/** Counts of a kernel that moves `moved` words and does `operations` an element. */
const counts = (elements: number, moved: number, operations: number) =>
  ({ bytes: 4 * moved * elements, operations: operations * elements, arithmetic: "f32" }) as const;

export const works: readonly Work[] = [
  work(rmsNorm, (config, T) => {
    const { hiddenSize: D, rmsNormEps: eps } = config;
    return [{ step: "hidden", start: startOf(config, T), shape: { D, eps }, ...counts(T * D, 2, 4) }];
  }),
  work(add, (config, T) => {
    const { hiddenSize: width } = config;
    return [{ step: "hidden", start: startOf(config, T), shape: { width }, holds: { x: "f32", y: "blank" }, ...counts(T * width, 3, 1) }];
  }),
  work(siluMul, (config, T) => {
    const { intermediateSize: width } = config;
    return [{ step: "ffn", start: startOf(config, T), shape: { width }, holds: { gate: "f32" }, ...counts(T * width, 3, 5) }];
  }),
  work(rope, (config, T) => {
    const { numAttentionHeads: heads, headDim } = config;
    const shape = { heads, halfDim: headDim / 2 };
    return [{ step: "q", start: startOf(config, T), shape, holds: { x: "f32" }, ...counts(T * heads * headDim, 2, 3) }];
  }),
  work(cacheWrite, (config, T) => {
    const width = config.numKeyValueHeads * config.headDim;
    return (["f32", "f16"] as const).map((dtype) => ({
      step: "kv",
      variant: `cache-${dtype}`,
      start: startOf(config, T),
      shape: { width, dtype },
      holds: { keys: { own: "blank" }, values: { own: "blank" } },
      bytes: 2 * T * width * (4 + cacheBytes[dtype]),
    }));
  }),
  work(embedding, ({ vocabSize: rows, hiddenSize: D }, T) => {
    const ids = Uint32Array.from({ length: T }, (_, i) => (i * 2654435761) % rows);
    const shape = { dtype: "F16", D, firstRow: 0, rows } as const;
    return [{ step: "embedTokens", shape, holds: { table: "f16", ids }, bytes: T * (4 + D * 6) }];
  }),
];
