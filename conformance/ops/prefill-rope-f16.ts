/** The norm of heads, where there is one, and RoPE of rows of a prompt: q as f16 operands, k and v into the f16 caches. */
import * as fc from "fast-check";
import { anglesAt, type Cached, expectNoted, expectRmsNorm, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { type Rotated, rotated, type ScalingName } from "../cases/rope.ts";
import { cacheLength, cacheSlot } from "../cases/written-cache.ts";
import type { Kit } from "../kit.ts";

interface RopeSpec {
  readonly T: number;
  readonly start: number;
  readonly shape: number;
  readonly y: Recipe;
  /** Whether heads have norms; not where absent. */
  readonly norm?: boolean;
  /** Plain where absent. */
  readonly scaling?: ScalingName;
}
export interface PrefillRopeCase extends Rotated {
  readonly T: number;
  readonly start: number;
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  /** Positions of the caches and tables. */
  readonly S: number;
  /** [T, (H + 2G) · Hd] */
  readonly y: Float32Array;
  /** Weights [Hd] of the norms of q's and k's heads. */
  readonly norms: readonly [q: Float32Array, k: Float32Array] | null;
}

/** eps of the norm's pipeline. */
export const HEAD_EPS: number = Math.fround(1e-6);

const heads = [
  { H: 1, G: 1, Hd: 4 },
  { H: 6, G: 2, Hd: 64 },
  { H: 4, G: 4, Hd: 128 },
  // For cases of reach: heads of models, and a narrow one for the latest positions.
  { H: 32, G: 8, Hd: 128 },
  { H: 28, G: 4, Hd: 128 },
  { H: 6, G: 3, Hd: 16 },
  { H: 2, G: 1, Hd: 8 },
  // Heads that do not divide a workgroup.
  { H: 9, G: 3, Hd: 80 },
  // Llama 2 13B's.
  { H: 40, G: 40, Hd: 128 },
] as const;
const LAST = 131_071;

export const kit: Kit<RopeSpec, PrefillRopeCase> = {
  name: "prefill-rope-f16",
  formula: "q, k normed by head or as they are; q = f16(turned q / √Hd); turned k, and v, into the f16 caches, the first beyond them noted",
  spec: fc.record({
    T: fc.integer({ min: 1, max: 4 }),
    start: fc.nat(50),
    shape: fc.constantFrom(0, 1, 2, 7),
    norm: fc.boolean(),
    y: recipe(),
  }),
  boundaries: [0, 1, 2, 7].flatMap((shape) =>
    [0, 7].flatMap((start) =>
      [plain, { ...plain, kind: "f16Overflow" as const }].flatMap((y) =>
        [false, true].map((norm) => ({ T: start > 0 ? 1 : 3, start, shape, norm, y })),
      ),
    ),
  ),
  reach: [
    ...[3, 4].map((shape) => ({ T: 2, start: 4095, shape, y: plain, scaling: "llama3" as const })),
    ...(["none", "linear", "dynamic", "yarn"] as const).map((scaling) => ({ T: 1, start: LAST, shape: 6, y: plain, scaling })),
    // A chunk at a late position.
    { T: 16, start: 30_000, shape: 6, y: plain },
    { T: 2, start: 40, shape: 5, y: plain },
    { T: 300, start: 2048, shape: 0, y: plain },
    { T: 30, start: 2, shape: 8, y: plain },
    { T: 1, start: 40, shape: 8, norm: true, y: plain },
    // Beyond the cache, in a batch of many.
    { T: 2, start: 2, shape: 5, y: { ...plain, kind: "f16Overflow" as const } },
  ],
  make({ T, start, shape, y, norm = false, scaling = "none" }) {
    const { H, G, Hd } = heads[shape]!;
    const S = start + T + 1;
    const weight = (seed: number): Float32Array => values({ ...plain, seed }, Hd);
    const turned = rotated(Hd, 10000, scaling, start, S, LAST + 1);
    return { T, start, H, G, Hd, S, ...turned, y: values(y, T * (H + 2 * G) * Hd), norms: norm ? [weight(5), weight(6)] : null };
  },
  /** [q T·H·Hd, what was written to the cache of keys, the same of values, position of what f16 does not hold or −1]; the caches start as zeros. */
  length: (c) => c.T * c.H * c.Hd + 2 * cacheLength(c.T, c.G * c.Hd) + 1,
  expected(c) {
    const { T, start, H, G, Hd, y, norms } = c;
    const e = makeExpected(T * H * Hd + 2 * cacheLength(T, G * Hd) + 1);
    const half = Hd / 2;
    const cached: Cached[] = [];
    const scale = 1 / Math.sqrt(Hd);
    for (let t = 0; t < T; t++) {
      const angles = anglesAt(start + t, c.rotation);
      for (let head = 0; head < H + 2 * G; head++) {
        const first = (t * (H + 2 * G) + head) * Hd;
        const given = y.subarray(first, first + Hd);
        const normed = norms && head < H + G ? expectRmsNorm(given, norms[head < H ? 0 : 1], HEAD_EPS, 1, wgsl) : null;
        const part = (i: number): readonly [number, number] => (normed ? [normed.value[i]!, normed.bound[i]!] : [given[i]!, 0]);
        for (let i = 0; i < half; i++) {
          const [low, high] = [part(i), part(i + half)];
          const turn = [angles.cos[i]!, angles.sin[i]!, angles.error[i]!] as const;
          const pair = head < H + G ? rotatePair(low, high, turn, wgsl) : [low, high];
          for (const [j, [value, error]] of pair.entries()) {
            // 1/√Hd by inverseSqrt, then a product.
            const scaled = Math.abs(value * scale) * (wgsl.inverseSqrt + 2 * wgsl.u) + error * scale * (1 + 2 ** -10) + wgsl.eta;
            const stored = head < H ? storedAsF16(value * scale, scaled) : storedAsF16(value, error);
            if (head >= H) cached.push({ position: start + t, value, error });
            const cache = T * H * Hd + (head < H + G ? 0 : cacheLength(T, G * Hd));
            const slot = head < H ? (t * H + head) * Hd : cache + cacheSlot(t, G * Hd, ((head - H) % G) * Hd);
            e.value[slot + i + j * half] = stored.value;
            e.bound[slot + i + j * half] = stored.bound;
          }
        }
      }
    }
    const noted = expectNoted(cached);
    e.value[e.value.length - 1] = noted.value;
    e.bound[e.bound.length - 1] = noted.bound;
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};
