/** Mutants that compute the same as their kernel for every input, with the proof; by `mutantName`. */

const firstIsZero = "where last + 1 equals the window, the taken branch gives first = 0, which it already is";

export const equivalents: Readonly<Record<string, string>> = {
  "attention-mix: if (params.window > 0u && last + 1u > params.window) { first = last + 1u - params.window; } → if (params.window > 0u && last + 1u >= params.window) { first = last + 1u - params.window; }":
    firstIsZero,
};
