import { embedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import type { EmbedCase } from "../ops/embed-fixed16.ts";
import { fromPlanes, inTwo, paddedRows, squaresOf } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** x̂ from digits and block scales. */
function fromDigits(digits: Uint32Array, blocks: Uint32Array, K: number): Float32Array {
  const scales = asF32(blocks);
  const out = new Float32Array(K);
  for (let k = 0; k < K; k++) {
    const word = (k % 32) >> 2;
    const at = 4 * ((word >> 2) * (K / 32) + (k >> 5)) + (word & 3);
    const shift = 8 * (k & 3);
    const hi = ((digits[at]! >>> shift) << 24) >> 24;
    const lo = (digits[at + K / 4]! >>> shift) & 255;
    out[k] = (256 * hi + lo) * scales[4 * (k >> 5)]!;
  }
  return out;
}

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<EmbedCase>(embedFixed16, async ({ table, id, norm }, out) => {
    const K = norm.length;
    const read = await runKernel(rig, 1, 0, (io) => {
      let buffers = {};
      for (const { from, to } of inTwo(table)) {
        const given = { ids: Uint32Array.of(id), norm: inPlanes(norm), ...buffers, embedding: paddedRows(table, from, to) };
        buffers = io.run(embedFixed16, { K, firstRow: from, rows: to - from }, given);
      }
    });
    const blocks = inside(read.out_blocks!);
    const approximate = fromDigits(inside(read.out_digits!), blocks, K);
    let wrong = 0;
    for (let block = 0; block < K / 32; block++) {
      // Σ v of the digits that are there, in steps of the scale that is there.
      const step = asF32(blocks)[4 * block]!;
      let sum = 0;
      for (let k = 32 * block; k < 32 * (block + 1); k++) sum += approximate[k]! / step;
      if ((blocks[4 * block + 1]! | 0) !== sum || blocks[4 * block + 3] !== 0) wrong++;
    }
    hand(out, [...fromPlanes(read.residual!), ...approximate, ...squaresOf(read.out_blocks!), wrong], read);
  }),
];
