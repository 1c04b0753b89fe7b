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

  const biasOf = async ({ bias }: LinearRef): Promise<Float32Array<ArrayBuffer> | null> => bias && (await readVector(stream, bias));
  const alone = (ref: LinearRef): Promise<GpuLinear["weight"]> =>
    ref.kind === "dense" ? placeDense(stream, memory, ref.weight) : placeAwq(stream, memory, ref);
  /** Linears of one input, with `norms` of heads behind their biases. */
  const together = async (refs: readonly LinearRef[], norms: readonly Float32Array[]): Promise<GpuLinear[]> => {
    const weights: GpuLinear["weight"][] = packed ? await repacker.pack(refs as readonly AwqRef[]) : [];
    if (!packed) for (const ref of refs) weights.push(await alone(ref));
    const biases = await Promise.all(refs.map(biasOf));
    let extras: GPUBuffer | null = null;
    if (norms.length > 0 || biases.some((bias) => bias !== null)) {
      const parts = [...refs.map(({ outFeatures }, i) => biases[i] ?? new Float32Array(outFeatures)), ...norms];
      const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
      parts.reduce((at, part) => {
        all.set(part, at);
        return at + part.length;
      }, 0);
      extras = upload(memory, "biases of one input", all);
    }
    return weights.map((weight, i) => {
      const bias = biases[i];
      return { weight, bias: bias ? upload(memory, refs[i]!.bias!.key, bias) : null, extras };
    });
  };
  const layer = async (parts: LlamaWeightRefs["layers"][number]): Promise<Layer> => {
    const loaded: Record<string, GpuLinear | GpuNorm | null> = {};
    const ofHeads: Float32Array[] = [];
    for (const [name, part] of Object.entries(parts))
      if (!part) loaded[name] = null;
      else if (!("inFeatures" in part)) {
        const values = await readVector(stream, part);
        loaded[name] = placeNorm(memory, part.key, values, packed);
        if (name === "qNorm" || name === "kNorm") ofHeads.push(values);
      }
    for (const linears of sharing(parts)) {
      const norms = linears.some(({ name }) => name === "qProj") ? ofHeads : [];
      const all = await together(
        linears.map(({ ref }) => ref),
        norms,
      );
      for (const [i, { name }] of linears.entries()) loaded[name] = all[i]!;
    }
    return loaded as unknown as Layer;
  };

  try {
    const embedTokens = await placeDense(stream, memory, refs.embedTokens);
    const layers: Layer[] = [];
    for (const parts of refs.layers) layers.push(await layer(parts));
    const norm = placeNorm(memory, refs.norm.key, await readVector(stream, refs.norm), packed);
    const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await placeDense(stream, memory, refs.lmHead);
    await repacker.done();
    await stream.drain();
    return { embedTokens, layers, norm, lmHead };
  } finally {
    await repacker.done().catch(() => {});
    await stream.close();
  }
}
