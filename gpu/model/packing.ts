/**
 * Which int4 linears share a repacked matrix (gpu/kernels/layout/awq-repack.ts), and whether a device and a model allow
 * it.
 */
import { type LinearName, linearParts } from "../../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";

export type AwqRef = LinearRef & { kind: "awq" };

export interface NamedLinear {
  readonly name: LinearName;
  readonly ref: LinearRef;
}

/**
 * The linears of a layer, those that read one input together, in the order in which they share a repacked matrix; and
 * in which they are loaded.
 */
export function sharing(layer: LlamaWeightRefs["layers"][number]): NamedLinear[][] {
  const inputs = [...new Set(linearParts.map(({ input }) => input))];
  return inputs.map((input) => linearParts.filter((part) => part.input === input).map(({ name }) => ({ name, ref: layer[name] })));
}

function refusalOf(linears: readonly LinearRef[], { limits }: Capabilities): Refusal | undefined {
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  const first = linears[0]!;
  if (first.kind !== "awq") return unsupported("not every linear is int4");
  const { inFeatures: K, groupSize } = first;
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const bytes = linears.reduce((sum, { outFeatures }) => sum + (outFeatures * K) / 2, 0);
  if (!linears.every((ref) => ref.kind === "awq" && ref.inFeatures === K && ref.groupSize === groupSize))
    return unsupported("linears of one input differ in kind or group size");
  if (K % 32 !== 0 || groupSize % 32 !== 0) return unsupported(`input size ${K} and group size ${groupSize} are not both multiples of 32`);
  if (bytes > most) return { code: "limit", reason: `a repacked matrix has ${bytes} bytes, a binding at most ${most}` };
  return undefined;
}

/** Why the model's linears cannot all be repacked on this device; undefined where they can. */
export function packRefusal(capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined {
  for (const layer of refs.layers)
    for (const linears of sharing(layer)) {
      const refusal = refusalOf(
        linears.map(({ ref }) => ref),
        capabilities,
      );
      if (refusal) return refusal;
    }
  return undefined;
}
