/**
 * What the ops compute with: the two kinds of matrix, and the check that every op makes once, on entry. Vectors and
 * activations are typed arrays with their shape in the signature. Axes: K inner, N output rows, G group size
 * (docs/notation.md).
 */
import { checkIdList, shown } from "./arguments.ts";
import type { FloatDType } from "./dtype.ts";
import { GureumError } from "./errors.ts";

/** Bits of `data`: F32 in a Float32Array, F16 and BF16 in a Uint16Array. Row-major [N, K]: y = x Wᵀ. */
export interface DenseMatrix {
  /** Which of the two it is. */
  readonly kind: "dense";
  /** As stored. */
  readonly dtype: FloatDType;
  /** N: outputs. */
  readonly outFeatures: number;
  /** K: inputs. */
  readonly inFeatures: number;
  /** [N, K]; 16-bit floats by their bits. */
  readonly data: Float32Array | Uint16Array;
}

/** An AWQ GEMM matrix: W[k, n] = (q[k, n] − z[k/G, n]) · s[k/G, n] (docs/formats.md). */
export interface AwqMatrix {
  /** Which of the two it is. */
  readonly kind: "awq";
  /** N: outputs. */
  readonly outFeatures: number;
  /** K: inputs. */
  readonly inFeatures: number;
  /** G: inputs that share a scale. */
  readonly groupSize: number;
  /** [K, N/8] */
  readonly qweight: Int32Array;
  /** [K/G, N/8] */
  readonly qzeros: Int32Array;
  /** [K/G, N], bits of F16 */
  readonly scales: Uint16Array;
}

/** Dense or int4. */
export type Matrix = DenseMatrix | AwqMatrix;

/** y = x W + bias. */
export interface Linear {
  /** W. */
  readonly weight: Matrix;
  /** [N] */
  readonly bias: Float32Array | null;
}

/**
 * Checks that an array holds at least `length` elements: buffers are allocated once for the largest T and used in part.
 * @throws GureumError "shape"
 */
export function checkLength(where: string, what: string, array: ArrayLike<number>, length: number): void {
  if (array.length < length)
    throw new GureumError("shape", { where, what, expected: `at least ${length} elements`, got: `${array.length}` });
}

/**
 * Checks that token ids are rows of an embedding of `vocabSize` rows.
 * @throws GureumError "range"
 */
export function checkIds(ids: ArrayLike<number>, vocabSize: number): void {
  checkIdList("ids", "the list", ids);
  for (let t = 0; t < ids.length; t++) {
    const id = ids[t]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw new GureumError("range", {
        where: `ids[${t}]`,
        what: "token id",
        expected: `an integer from 0 to ${vocabSize - 1}`,
        got: shown(id),
        remedy: "give ids of this model's tokenizer",
      });
  }
}
