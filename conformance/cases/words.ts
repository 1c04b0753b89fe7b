/** Words as numbers that f32 holds, to compare them. */
import type { AwqMatrix } from "../../core/tensor.ts";

/** The words of qweight, qzeros and scales, in this order. */
export function awqWords({ qweight, qzeros, scales }: AwqMatrix): Uint32Array {
  const parts = [qweight, qzeros, scales].map((a) => new Uint32Array(a.slice().buffer));
  const words = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    words.set(part, at);
    at += part.length;
  }
  return words;
}

/** Each word as its low and its high half, numbers that f32 holds. */
export const halves = (words: Uint32Array): Float32Array =>
  Float32Array.from({ length: 2 * words.length }, (_, i) => (words[i >> 1]! >>> (16 * (i & 1))) & 0xffff);
