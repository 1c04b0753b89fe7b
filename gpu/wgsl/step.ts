/**
 * The part of a token's state that changes from one replay to the next. It lies in a buffer on the GPU, so that
 * prepared dispatches need no new bind groups: the host writes it before a chunk of a prompt, the sampling kernel after
 * each token.
 */

/** Rows fed now, position of the first of them, tokens sampled since the ring of results was last emptied. */
export interface Step {
  readonly T: number;
  readonly start: number;
  readonly sampled: number;
}

/** WGSL of the struct; a kernel binds it as `step: Step`, uniform. `slot`: see wgsl/rows.ts. */
export const stepWgsl = /* wgsl */ `struct Step { T: u32, start: u32, sampled: u32, slot: u32 }`;

export const STEP_BYTES = 16;

export const encodeStep = ({ T, start, sampled }: Step): Uint32Array<ArrayBuffer> => new Uint32Array([T, start, sampled, 0]);
