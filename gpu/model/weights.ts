/**
 * The weights of a Llama model, streamed into GPU memory tensor by tensor (stream.ts), each laid out as place.ts says
 * or, where the plan wants it, int4 linears repacked (repack.ts).
 */
import { listRefs } from "../../core/checkpoint/weights.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import { type Memory, upload } from "../device/buffer.ts";
import { type AwqRef, sharing } from "./packing.ts";
import { placeAwq, placeDense, placeNorm, readVector } from "./place.ts";
import { makeRepacker } from "./repack.ts";
import { makeStream } from "./stream.ts";
import type { GpuLinear, GpuLlamaWeights, GpuNorm } from "./tree.ts";

type Layer = GpuLlamaWeights["layers"][number];

/**
 * @param packed repack int4 linears for the kernels that want it; `packRefusal` must find nothing against it
 * @param onProgress after each part: bytes read so far, and in all
 * @param unitOf how repacked blocks lie, by the size of groups (awq-repack.ts)
 * @throws GureumError "io", "non-finite" for a NaN or infinite scale, norm or bias, "limit", "out-of-memory",
 * "device-lost"
 */
export async function loadWeights(
  memory: Memory,
  refs: LlamaWeightRefs,
  packed: boolean,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
  unitOf: (groupSize: number) => number = () => 1,
): Promise<GpuLlamaWeights> {
  const total = listRefs(refs).reduce((sum, ref) => sum + ref.byteLength, 0);
  const stream = makeStream(memory, total, onProgress);
  const repacker = makeRepacker(stream, memory, unitOf);

  const bias = async ({ bias }: LinearRef): Promise<GPUBuffer | null> => bias && upload(memory, bias.key, await readVector(stream, bias));
  const plain = async (ref: LinearRef): Promise<GpuLinear> => ({
    weight: ref.kind === "dense" ? await placeDense(stream, memory, ref.weight) : await placeAwq(stream, memory, ref),
    bias: await bias(ref),
  });
  const shared = async (refs: readonly LinearRef[]): Promise<GpuLinear[]> => {
    const weights = await repacker.pack(refs as readonly AwqRef[]);
    return Promise.all(weights.map(async (weight, i) => ({ weight, bias: await bias(refs[i]!) })));
  };
  const layer = async (parts: LlamaWeightRefs["layers"][number]): Promise<Layer> => {
    const loaded: Record<string, GpuLinear | GpuNorm | null> = {};
    for (const [name, part] of Object.entries(parts))
      if (!part) loaded[name] = null;
      else if (!("inFeatures" in part)) loaded[name] = await placeNorm(stream, memory, part, packed);
    for (const linears of sharing(parts)) {
      const all = packed ? await shared(linears.map(({ ref }) => ref)) : [];
      for (const [i, { name, ref }] of linears.entries()) loaded[name] = all[i] ?? (await plain(ref));
    }
    return loaded as unknown as Layer;
  };

  try {
    const embedTokens = await placeDense(stream, memory, refs.embedTokens);
    const layers: Layer[] = [];
    for (const parts of refs.layers) layers.push(await layer(parts));
    const norm = await placeNorm(stream, memory, refs.norm, packed);
    const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await placeDense(stream, memory, refs.lmHead);
    await repacker.done();
    await stream.drain();
    return { embedTokens, layers, norm, lmHead };
  } finally {
    await repacker.done().catch(() => {});
    await stream.close();
  }
}
