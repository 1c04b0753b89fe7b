/** Every error bound of the project, by topic; derivations in docs/accuracy.md. */
export * from "./accuracy/angles.ts";
export * from "./accuracy/arithmetic.ts";
export * from "./accuracy/drawn.ts";
export * from "./accuracy/elementwise.ts";
export * from "./accuracy/fused.ts";
export * from "./accuracy/halves.ts";
export * from "./accuracy/linear.ts";
export * from "./accuracy/model.ts";
export * from "./accuracy/near-tie.ts";
export * from "./accuracy/normalized.ts";
export * from "./accuracy/sampling.ts";
export * from "./accuracy/sums.ts";
