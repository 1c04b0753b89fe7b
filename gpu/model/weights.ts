/**
 * The weights of a Llama model, streamed into GPU memory tensor by tensor (stream.ts), each laid out as place.ts says
 * or, where the plan wants it, linears of one input in one matrix: int4 ones repacked (repack.ts), dense ones side by
 * side.
 */
import { listRefs } from "../../core/checkpoint/weights.ts";
import type { LinearRef, LlamaWeightRefs, TensorRef } from "../../core/model/weights.ts";
import { type Memory, upload } from "../device/buffer.ts";
import { denseRefusal, sharing } from "./packing.ts";
import { placeAwq, placeDense, placeDenseSideBySide, placeNorm, readVector } from "./place.ts";
import { makeRepacker } from "./repack.ts";
import { makeStream } from "./stream.ts";
import type { GpuLinear, GpuLlamaWeights, GpuNorm, SharedMatrix } from "./tree.ts";

/** Vectors one behind the other. */
function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

type Layer = GpuLlamaWeights["layers"][number];

/** Which linears of one input share a matrix: none, the int4 ones, or, for the fused kernels, those of any kind. */
export type Sharing = "none" | "int4" | "all";

/**
 * @param share `int4PackRefusal` must find nothing against sharing
 * @param onProgress after each part: bytes read so far, and in all
 * @param unitOf how repacked blocks lie, by the size of groups (awq-repack.ts)
 * @param admit what norms and biases become, as the arithmetic takes them
 * @throws GureumError "io", "non-finite" for a NaN or infinite scale, norm or bias, "limit", "out-of-memory",
 * "device-lost"
 */
export async function loadWeights(
  memory: Memory,
  refs: LlamaWeightRefs,
  share: Sharing,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
  unitOf: (groupSize: number) => number = () => 1,
  admit: (values: Float32Array<ArrayBuffer>) => Float32Array<ArrayBuffer> = (values) => values,
): Promise<GpuLlamaWeights> {
  const total = listRefs(refs).reduce((sum, ref) => sum + ref.byteLength, 0);
  const stream = makeStream(memory, total, onProgress);
  const repacker = makeRepacker(stream, memory, unitOf);
  const vectorOf = async (ref: TensorRef): Promise<Float32Array<ArrayBuffer>> => admit(await readVector(stream, ref));

  /** Linears of one input, with `norms` of heads; each has its own bias too, for the kernels that take it alone. */
  const together = async (refs: readonly LinearRef[], norms: readonly Float32Array[]): Promise<GpuLinear[]> => {
    const vectors: (Float32Array<ArrayBuffer> | null)[] = [];
    for (const { bias } of refs) vectors.push(bias && (await vectorOf(bias)));
    const biases = vectors.map((values, i) => values && upload(memory, refs[i]!.bias!.key, values));
    const hasBias = vectors.some((values) => values !== null);
    const all = joined(refs.map(({ outFeatures }, i) => vectors[i] ?? new Float32Array(outFeatures)));
    const extras = hasBias || norms.length > 0 ? upload(memory, "biases of one input", joined([all, ...norms])) : null;
    const int4 = refs.filter((ref) => ref.kind === "awq");
    const dense = refs.filter((ref) => ref.kind === "dense");
    if (share === "none" || (dense.length > 0 && (share === "int4" || denseRefusal(dense, memory.gpu.capabilities)))) {
      const apart: GpuLinear[] = [];
      for (const [i, ref] of refs.entries()) {
        const weight = ref.kind === "dense" ? await placeDense(stream, memory, ref.weight) : await placeAwq(stream, memory, ref);
        apart.push({ weight, bias: biases[i]!, extras, shared: null });
      }
      return apart;
    }
    if (int4.length > 0) {
      const packed = await repacker.pack(int4, hasBias ? all : undefined);
      const { K, groupSize: group, weights, groups } = packed[0]!;
      const shared: SharedMatrix = { kind: "int4", K, group, hasBias, weights, groups };
      return packed.map((weight, i) => ({ weight, bias: biases[i]!, extras, shared }));
    }
    const tensors = dense.map(({ weight }) => weight);
    const { buffer: weights, linears } = await placeDenseSideBySide(stream, memory, tensors);
    const { K, dtype } = linears[0]!;
    const bias = upload(memory, `${tensors[0]!.key} biases`, hasBias ? all : new Float32Array(1));
    const shared: SharedMatrix = { kind: "dense", K, dtype, hasBias, weights, bias };
    return linears.map((weight, i) => ({ weight, bias: biases[i]!, extras, shared }));
  };
  const layer = async (parts: LlamaWeightRefs["layers"][number]): Promise<Layer> => {
    const loaded: Record<string, GpuLinear | GpuNorm | null> = {};
    const ofHeads: Float32Array[] = [];
    for (const [name, part] of Object.entries(parts))
      if (!part) loaded[name] = null;
      else if (!("inFeatures" in part)) {
        const values = await vectorOf(part);
        loaded[name] = placeNorm(memory, part.key, values, share === "all");
        if (name === "qNorm" || name === "kNorm") ofHeads.push(values);
      }
    // All of a layer at once, so that the files are read without a pause; none is left under way where one fails.
    const made = await Promise.allSettled(
      sharing(parts).map(async (linears) => {
        const norms = linears.some(({ name }) => name === "qProj") ? ofHeads : [];
        const all = await together(
          linears.map(({ ref }) => ref),
          norms,
        );
        for (const [i, { name }] of linears.entries()) loaded[name] = all[i]!;
      }),
    );
    for (const one of made) if (one.status === "rejected") throw one.reason;
    return loaded as unknown as Layer;
  };

  try {
    const embedTokens = await placeDense(stream, memory, refs.embedTokens);
    const layers: Layer[] = [];
    for (const parts of refs.layers) layers.push(await layer(parts));
    const norm = placeNorm(memory, refs.norm.key, await vectorOf(refs.norm), share === "all");
    const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await placeDense(stream, memory, refs.lmHead);
    await repacker.done();
    await stream.drain();
    return { embedTokens, layers, norm, lmHead };
  } finally {
    await repacker.done().catch(() => {});
    await stream.close();
  }
}
