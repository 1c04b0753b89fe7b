/** Checks that every op makes once, on entry. Tensors themselves are typed arrays with their shape in the signature. */
import { GureumError } from "./errors.ts";

/**
 * Checks that an array holds at least `length` elements: buffers are allocated once for the largest T and used in part.
 * @throws GureumError "shape"
 */
export function checkLength(where: string, what: string, array: ArrayLike<number>, length: number): void {
  if (array.length < length)
    throw new GureumError("shape", { where, what, expected: `at least ${length} elements`, got: `${array.length}` });
}
