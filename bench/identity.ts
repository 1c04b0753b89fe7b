/**
 * Which model results are of: by what it holds, not by where it lies, so that results of one model under two paths can
 * be compared.
 */
import { listRefs } from "../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../core/config.ts";
import type { LlamaWeightRefs } from "../core/model/weights.ts";

/** The model that results are of. */
export interface MeasuredModel {
  /** The last word of the names of its rows. */
  readonly name: string;
  /**
   * The same for every model of these sizes and, where weights were measured, of tensors of these dtypes and shapes.
   */
  readonly identity: string;
}

/** JSON with the keys of every object in order. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, v: unknown) =>
    v !== null && typeof v === "object" && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );

/** FNV-1a, 64 bits, of UTF-16 units, as 16 hexadecimal digits. */
function fingerprint(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n);
  return hash.toString(16).padStart(16, "0");
}

/** What of a config does not change the work. */
const idle = new Set(["architecture", "bosTokenId", "eosTokenIds", "maxPositionEmbeddings", "rmsNormEps", "ropeTheta", "ropeScaling"]);

/** The model of a config and, where they were read, of weights. */
export function measuredModel(name: string, config: LlamaConfig, refs?: LlamaWeightRefs): MeasuredModel {
  const tensors = refs ? [...new Set(listRefs(refs))].map(({ key, dtype, shape }) => [key, dtype, ...shape].join(" ")).sort() : [];
  return {
    name,
    identity: fingerprint(
      canonical([
        Object.entries(config)
          .filter(([key]) => !idle.has(key))
          .sort(),
        tensors,
      ]),
    ),
  };
}
