/** Rows of a prompt as digits of fixed16, in blocks of 128. */
import * as fc from "fast-check";
import { type Fixed16, quantizeFixed16, signedFixed16Digits } from "../../core/quant/fixed16.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import { makeExpected } from "../accuracy.ts";
import { dataKinds, plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { halves } from "../cases/words.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

const B = DIGITS_BLOCK;

interface DigitsSpec {
  readonly T: number;
  readonly blocks: number;
  readonly x: Recipe;
}
export interface DigitsCase {
  readonly T: number;
  readonly K: number;
  /** [T, K] */
  readonly x: Float32Array;
}

/** One block, several, as many as a workgroup takes, and two workgroups and one more. Each is a pipeline of its own. */
const digitBlocks = [1, 3, 32, 65] as const;

const digitWords = (a: Fixed16): Uint32Array => new Uint32Array(signedFixed16Digits(a).buffer);

export const kit: Kit<DigitsSpec, DigitsCase> = {
  name: "prefill-digits",
  formula: "v = rne(x / 2^e) in digits v = 256 hi + lo, both signed, one e for 128 along K, exact",
  spec: fc.record({ T: fc.integer({ min: 1, max: 4 }), blocks: fc.constantFrom(...digitBlocks), x: recipe(dataKinds, 60) }),
  boundaries: digitBlocks.flatMap((blocks) => dataKinds.map((kind) => ({ T: 2, blocks, x: { ...plain, kind } }))),
  reach: [
    { T: 2, blocks: 112, x: plain },
    { T: 1, blocks: 224, x: plain },
    { T: 300, blocks: 1, x: plain },
    { T: 40, blocks: 112, x: plain },
  ],
  make: ({ T, blocks, x }) => ({ T, K: blocks * B, x: values(x, T * blocks * B) }),
  /** As 16-bit numbers: the digits [T, K/128, 256] of bytes, the scales [T, K/128]. */
  length: ({ x }) => x.length + (2 * x.length) / B,
  expected({ T, K, x }) {
    const a = quantizeFixed16(x, T, K, B);
    const numbers = [...halves(digitWords(a)), ...halves(new Uint32Array(a.scales.buffer))];
    const e = makeExpected(numbers.length);
    e.value.set(numbers);
    return e;
  },
  laws: [
    {
      name: "gives NaN as the scale of a block that holds an infinity or NaN, and of no other",
      async check(c, { run }) {
        const blocks = c.x.length / B;
        const from = c.x.length;
        const before = await run(c);
        for (const bad of [Infinity, -Infinity, Number.NaN]) {
          const x = c.x.slice();
          const at = ((c.x.length * 5) % 7) % blocks;
          x[at * B + ((c.T * 37) % B)] = bad;
          const out = await run({ ...c, x });
          for (let b = 0; b < blocks; b++) {
            const [low, high] = [out[from + 2 * b]!, out[from + 2 * b + 1]!];
            if (b === at && ((high & 0x7f80) !== 0x7f80 || ((high & 0x7f) === 0 && low === 0))) return `block ${b} with ${bad}: no NaN`;
            const others =
              b === at ? null : (sameBits(before, out, b * B, b * B, B) ?? sameBits(before, out, from + 2 * b, from + 2 * b, 2));
            if (others) return others;
          }
        }
        return null;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};
