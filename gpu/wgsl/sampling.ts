/** Sampling options as the sampling kernels read them: a uniform that is written anew when they change. */
import type { SamplingOptions } from "../../core/model/engine.ts";

export const samplingWgsl = /* wgsl */ `struct Sampling {
  seedLow: u32, seedHigh: u32, topK: u32, inverseTemperature: f32, topP: f32, minP: f32, penaltyUp: f32, penaltyDown: f32
}`;

export const SAMPLING_BYTES = 32;

export function encodeSampling({ temperature, topK, topP, minP, repetitionPenalty, seed }: SamplingOptions): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(SAMPLING_BYTES));
  view.setUint32(0, Number(seed & 0xffffffffn), true);
  view.setUint32(4, Number((seed >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Math.min(topK, 0xffffffff), true);
  view.setFloat32(12, temperature === 0 ? 0 : 1 / temperature, true);
  view.setFloat32(16, topP, true);
  view.setFloat32(20, minP, true);
  view.setFloat32(24, repetitionPenalty, true);
  view.setFloat32(28, 1 / repetitionPenalty, true);
  return new Uint8Array(view.buffer);
}

/**
 * z of docs/sampling.md for the bindings `scores` and `sampling`, an unsigned key of the same order (+0 and −0 alike),
 * and the weight exp(z − max z), exactly 1 at the maximum.
 */
export const weightWgsl = /* wgsl */ `fn scaled(i: u32) -> f32 { return scores[i] * sampling.inverseTemperature; }
fn keyOf(z: f32) -> u32 {
  let bits = select(bitcast<u32>(z), 0u, z == 0.0);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn weigh(z: f32, most: f32) -> f32 { return select(exp(max(z - most, -200.0)), 1.0, z == most); }`;

/**
 * Which ids top-k and top-p leave: those whose key is above `key`, and the lowest `allowed` of those whose key it is.
 */
export const borderWgsl = /* wgsl */ `struct Border { key: u32, allowed: u32 }`;
export const BORDER_BYTES = 8;

/** V logits: the shape of every sampling kernel. */
export type LogitsShape = Readonly<{ V: number }>;
/** `seen`: one bit an id. */
export const seenBytes = (V: number): number => 4 * Math.ceil(V / 32);
/** Of a sampled token, id and log-probability; a batch has as many of these as tokens. */
export const RESULT_BYTES = 8;
