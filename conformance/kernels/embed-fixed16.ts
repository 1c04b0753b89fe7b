import { embedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { blocksOf, inPlanes } from "../../gpu/wgsl/fixed16.ts";
import type { EmbedCase } from "../ops/embed-fixed16.ts";
import { digitErrors, fromPlanes, inTwo, paddedRows, squaresOf } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** x̂ from digits and block scales. */
function fromDigits(digits: Uint32Array, blocks: Uint32Array, K: number): Float32Array {
  const scales = asF32(blocks);
  const out = new Float32Array(K);
  for (let k = 0; k < K; k++) {
    const word = (k % 32) >> 2;
    const at = 4 * ((word >> 2) * blocksOf(K) + (k >> 5)) + (word & 3);
    const shift = 8 * (k & 3);
    const hi = ((digits[at]! >>> shift) << 24) >> 24;
    const lo = (digits[at + 8 * blocksOf(K)]! >>> shift) & 255;
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
        buffers = io.run(embedFixed16, { dtype: table.dtype, K, firstRow: from, rows: to - from }, given);
      }
    });
    const blocks = inside(read.out_blocks!);
    const approximate = fromDigits(inside(read.out_digits!), blocks, K);
    const wrong = digitErrors(fromPlanes(read.scaled!, K), inside(read.out_digits!), blocks);
    hand(out, [...fromPlanes(read.residual!, K), ...approximate, ...squaresOf(read.out_blocks!), wrong], read);
  }),
];
