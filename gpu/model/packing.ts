/**
 * Which linears share a matrix, since they read one input: int4 ones a repacked matrix (gpu/kernels/layout/awq-repack.ts),
 * dense ones their rows one behind the other; and whether a device and a model allow it.
 */
import type { FloatDType } from "../../core/dtype.ts";
import { type LinearName, linearParts } from "../../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { packedSizes } from "../wgsl/awq.ts";
import { rowWords } from "../wgsl/dense.ts";

export type AwqRef = LinearRef & { kind: "awq" };
export type DenseRef = LinearRef & { kind: "dense" };

export interface NamedLinear {
  readonly name: LinearName;
  readonly ref: LinearRef;
}

/**
 * The linears of a layer, those that read one input together, in the order in which they share a matrix; and in which
 * they are loaded.
 */
export function sharing(layer: LlamaWeightRefs["layers"][number]): NamedLinear[][] {
  const inputs = [...new Set(linearParts.map(({ input }) => input))];
  return inputs.map((input) => linearParts.filter((part) => part.input === input).map(({ name }) => ({ name, ref: layer[name] })));
}

const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
const areInt4 = (linears: readonly LinearRef[]): linears is AwqRef[] => linears.every(({ kind }) => kind === "awq");
const areDense = (linears: readonly LinearRef[]): linears is DenseRef[] => linears.every(({ kind }) => kind === "dense");
const rowsOf = (linears: readonly LinearRef[]): number => linears.reduce((sum, { outFeatures }) => sum + outFeatures, 0);

/** What a matrix of so many bytes exceeds. */
function tooLarge(bytes: number, what: string, { limits }: Capabilities): Refusal | undefined {
  const most = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  return bytes > most ? { code: "limit", reason: `a ${what} matrix has ${bytes} bytes, a binding at most ${most}` } : undefined;
}

/** @param whole whether one group may be a whole column of any length */
function int4Refusal(linears: readonly AwqRef[], capabilities: Capabilities, whole: boolean): Refusal | undefined {
  const { inFeatures: K, groupSize } = linears[0]!;
  if (!linears.every((ref) => ref.groupSize === groupSize)) return unsupported("linears of one input differ in kind or group size");
  const fits = (K % 32 === 0 && groupSize % 32 === 0) || (whole && groupSize === K);
  if (!fits) return unsupported(`input size ${K} and group size ${groupSize} are not both multiples of 32`);
  return tooLarge(packedSizes(K, rowsOf(linears), groupSize).weights, "repacked", capabilities);
}

/** Bytes of a row as it lies in GPU memory, and of rows between which a binding may begin on every device. */
const strideOf = ({ inFeatures: K, weight }: DenseRef): number => 4 * rowWords(weight.dtype as FloatDType, K);
const BINDING_ALIGNMENT = 256;

/** Why dense linears cannot lie side by side. */
export function denseRefusal(linears: readonly DenseRef[], capabilities: Capabilities): Refusal | undefined {
  const [first] = linears;
  const { inFeatures: K, weight } = first!;
  if (!linears.every((ref) => ref.weight.dtype === weight.dtype)) return unsupported("dense linears of one input differ in dtype");
  if (K % 8 !== 0) return unsupported(`input size ${K} of dense linears is not a multiple of 8`);
  const odd = linears.find((ref) => ref.outFeatures % 4 !== 0 || (ref.outFeatures * strideOf(ref)) % BINDING_ALIGNMENT !== 0);
  if (odd)
    return unsupported(
      `output size ${odd.outFeatures} of a dense linear is not a multiple of 4 whose rows end at ${BINDING_ALIGNMENT} bytes`,
    );
  return tooLarge(rowsOf(linears) * strideOf(first!), "shared", capabilities);
}

/** Why linears of one input cannot share a matrix. */
function sharedRefusal(linears: readonly LinearRef[], capabilities: Capabilities): Refusal | undefined {
  if (areInt4(linears)) return int4Refusal(linears, capabilities, true);
  return areDense(linears) ? denseRefusal(linears, capabilities) : unsupported("linears of one input differ in kind or group size");
}

/** The first refusal of a layer's linears of one input. */
function firstRefusal(refs: LlamaWeightRefs, refusal: (linears: readonly LinearRef[]) => Refusal | undefined): Refusal | undefined {
  for (const layer of refs.layers)
    for (const linears of sharing(layer)) {
      const found = refusal(linears.map(({ ref }) => ref));
      if (found) return found;
    }
  return undefined;
}

/** Why the model's linears cannot all be int4 and repacked in whole blocks on this device; undefined where they can. */
export const packRefusal = (capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined =>
  firstRefusal(refs, (linears) => (areInt4(linears) ? int4Refusal(linears, capabilities, false) : unsupported("not every linear is int4")));

/** Why the int4 ones among the model's linears cannot all be repacked. */
export const int4PackRefusal = (capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined =>
  firstRefusal(refs, (linears) => (areDense(linears) ? undefined : sharedRefusal(linears, capabilities)));

/** The same for kernels that read whole blocks of 32. */
export const wholeBlocksRefusal = (capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined =>
  int4PackRefusal(capabilities, refs) ??
  firstRefusal(refs, (linears) => (areInt4(linears) ? int4Refusal(linears, capabilities, false) : undefined));

/** Why the model's linears of one input, int4 or dense, cannot all share a matrix. */
export const shareRefusal = (capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined =>
  firstRefusal(refs, (linears) => sharedRefusal(linears, capabilities));
