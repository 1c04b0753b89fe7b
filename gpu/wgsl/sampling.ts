/** Sampling options as the sampling kernels read them, for each row of logits: a uniform that is written anew when they change. */
import type { SamplingOptions } from "../../core/model/engine.ts";
import { MOST_ROWS } from "./rows.ts";

export const samplingWgsl = /* wgsl */ `struct Sampling {
  seedLow: u32, seedHigh: u32, topK: u32, inverseTemperature: f32, topP: f32, minP: f32, penaltyUp: f32, penaltyDown: f32
}`;
/** WGSL of the binding `sampling`, behind that of Sampling. */
export const samplingBindingWgsl: string = /* wgsl */ `var<uniform> sampling: array<Sampling, ${MOST_ROWS}>;`;

const EACH_BYTES = 32;
/** The least f32 that no device flushes to 0. */
const LEAST_SHARE = 2 ** -126;
export const SAMPLING_BYTES: number = MOST_ROWS * EACH_BYTES;

/** The options of each row, the rest of the uniform 0. */
export function encodeSampling(...rows: readonly SamplingOptions[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(SAMPLING_BYTES);
  for (const [row, options] of rows.entries()) all.set(encodeRow(options), row * EACH_BYTES);
  return all;
}

function encodeRow({ temperature, topK, topP, minP, repetitionPenalty, seed }: SamplingOptions): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(EACH_BYTES));
  view.setUint32(0, Number(seed & 0xffffffffn), true);
  view.setUint32(4, Number((seed >> 32n) & 0xffffffffn), true);
  view.setUint32(8, Math.min(topK, 0xffffffff), true);
  view.setFloat32(12, temperature === 0 ? 0 : 1 / temperature, true);
  // Not 0, which would leave nobody.
  view.setFloat32(16, Math.max(topP, LEAST_SHARE), true);
  view.setFloat32(20, minP, true);
  view.setFloat32(24, repetitionPenalty, true);
  view.setFloat32(28, 1 / repetitionPenalty, true);
  return new Uint8Array(view.buffer);
}

/**
 * z of docs/sampling.md for the bindings `scores` and `sampling` in this workgroup's `row`, an unsigned key of the same order (+0 and −0
 * alike), and the weight exp(z − max z), exactly 1 at the maximum.
 */
export const weightWgsl = /* wgsl */ `var<private> row: u32;
fn scaled(i: u32) -> f32 { return scores[row * params.V + i] * sampling[row].inverseTemperature; }
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

/** V logits in a row: the shape of every sampling kernel. */
export type LogitsShape = Readonly<{ V: number }>;
/** `seen`: one bit an id. */
export const seenBytes = (V: number): number => 4 * Math.ceil(V / 32);
/** Of a sampled token, id and log-probability; a batch has as many of these as tokens. */
export const RESULT_BYTES = 8;
