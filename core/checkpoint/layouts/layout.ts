/**
 * What a file of this folder is: one way in which checkpoints store an int4 linear W [K, N], and how it becomes the one
 * form in memory, AWQ's words (AwqMatrix in core/tensor.ts), while it is read. q, z and s are the same numbers in every
 * layout; only their places differ.
 */
import type { Quantization } from "../../config.ts";
import type { DType } from "../../dtype.ts";
import { GureumError } from "../../errors.ts";
import { jsonKind, quote } from "../../json.ts";
import type { Fields } from "../fields.ts";

/** An int4 linear: N outputs, K inputs, K / groups inputs to each scale. */
export interface Int4Shape {
  readonly N: number;
  readonly K: number;
  readonly groups: number;
}

/** One stored tensor of a linear. */
export interface StoredTensor {
  /** Behind the linear's key: ".qweight". */
  readonly suffix: string;
  readonly dtypes: readonly DType[];
  readonly shape: (shape: Int4Shape) => readonly number[];
}

/** Stored words to AWQ's and back; "as stored" where they are AWQ's already. */
export interface StoredWords extends StoredTensor {
  readonly toAwq: "as stored" | ((words: Int32Array, shape: Int4Shape) => Int32Array);
  /** @throws GureumError "unsupported" for a value that the layout cannot store */
  readonly fromAwq: "as stored" | ((words: Int32Array, shape: Int4Shape) => Int32Array);
}

/** Scales [groups, N], or [N, groups]. */
export interface StoredScales extends StoredTensor {
  readonly transposed: boolean;
}

/** A tensor that says something about the others. */
export interface StoredCheck extends StoredTensor {
  /** @throws GureumError "unsupported" or "shape" for a content that the layout's reading does not cover */
  readonly check: (bytes: Uint8Array, shape: Int4Shape) => void;
  /** What is written; without it the tensor is left out. */
  readonly content?: (shape: Int4Shape) => BigInt64Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

/** What a written `quantization_config` has to say. */
export interface WrittenSettings {
  readonly groupSize: number | "whole";
  /** All zero points are 8. */
  readonly symmetric: boolean;
  /** Linears that are not int4, by their keys. */
  readonly unconverted: readonly string[];
}

export interface Layout {
  readonly name: Quantization["layout"];
  /**
   * The settings, where a `quantization_config` of this method, in lower case, says that the checkpoint is stored in
   * this layout; null where it says another.
   * @throws GureumError "unsupported" for a setting of this layout that is not read
   */
  readonly detect: (method: string, fields: Fields) => Quantization | null;
  /** Its presence says that a linear is int4. */
  readonly qweight: StoredWords;
  /** May be absent where `omitsZeros` and Quantization.symmetric. */
  readonly qzeros: StoredWords;
  readonly scales: StoredScales;
  /** Further tensors of a linear, each read where it is present. */
  readonly checks: readonly StoredCheck[];
  /** Whether zero points are left out where all are 8. */
  readonly omitsZeros: boolean;
  /**
   * The `quantization_config` that says so.
   * @throws GureumError "unsupported" for settings that the layout cannot say
   */
  readonly config: (settings: WrittenSettings) => Readonly<Record<string, unknown>>;
}

export const unsupported = (where: string, what: string, expected: string, got: string): GureumError =>
  new GureumError("unsupported", { where, what, expected, got, remedy: "take another int4 release of the model, or the unquantized one" });

/** The place of a member, for messages. */
export const placeOf = ({ where }: Fields, key: string): string => (where ? `${where}.${key}` : key);

/** The first of `keys` that is there. */
export const presentKey = (fields: Fields, ...keys: readonly string[]): string => keys.find((key) => fields.has(key)) ?? keys[0]!;

/** `bits` must be 4. @throws GureumError "unsupported" */
export function checkBits(fields: Fields, key: string): void {
  const bits = fields.count(key, 4);
  if (bits !== 4) throw unsupported(placeOf(fields, key), "width of the weights", "4 bits", `${bits}`);
}

/** A group size; -1: one group over all of K. */
export function groupSizeOf(fields: Fields, key: string, otherwise?: number): number | "whole" {
  if (fields.get(key) === -1) return "whole";
  return fields.count(key, otherwise);
}

/** A name among those known. @throws GureumError "unsupported" */
export function checkName(fields: Fields, key: string, what: string, known: readonly string[]): void {
  const name = fields.string(key, known[0]).toLowerCase();
  if (!known.includes(name)) throw unsupported(placeOf(fields, key), what, known.map(quote).join(" or "), quote(name));
}

/** A setting that must be off: absent, null, false, or empty. @throws GureumError "unsupported" */
export function checkOff(fields: Fields, key: string, what: string): void {
  const value = fields.get(key);
  const off =
    value === null || value === false || (value instanceof Map && value.size === 0) || (Array.isArray(value) && value.length === 0);
  if (!off) throw unsupported(placeOf(fields, key), what, "none", jsonKind(value));
}

/** Nibble i, counted from the lowest bits, of a word. */
export const nibbleAt = (word: number, i: number): number => (word >>> (4 * i)) & 15;
