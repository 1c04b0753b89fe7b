/** RoPE of rows of a prompt: q as f16 operands, k and v into the f16 caches. */
import fc from "fast-check";
import { type RopeTables, ropeTables } from "../../core/ops/rope.ts";
import { type Cached, expectNoted, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Kit } from "../kit.ts";

interface RopeSpec {
  readonly T: number;
  readonly start: number;
  readonly shape: number;
  readonly y: Recipe;
}
export interface PrefillRopeCase {
  readonly T: number;
  readonly start: number;
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  /** Positions of the caches and tables. */
  readonly S: number;
  readonly tables: RopeTables;
  /** [T, (H + 2G) · Hd] */
  readonly y: Float32Array;
}

const heads = [
  { H: 1, G: 1, Hd: 4 },
  { H: 6, G: 2, Hd: 64 },
  { H: 4, G: 4, Hd: 128 },
] as const;

export const kit: Kit<RopeSpec, PrefillRopeCase> = {
  name: "prefill-rope-f16",
  formula: "q = f16(turned q / √Hd); turned k, and v, into the f16 caches at start + t, the first beyond them noted",
  spec: fc.record({ T: fc.integer({ min: 1, max: 4 }), start: fc.nat(50), shape: fc.nat(heads.length - 1), y: recipe() }),
  boundaries: heads.flatMap((_, shape) =>
    [0, 7].flatMap((start) => [plain, { ...plain, kind: "f16Overflow" as const }].map((y) => ({ T: 3, start, shape, y }))),
  ),
  make({ T, start, shape, y }) {
    const { H, G, Hd } = heads[shape]!;
    const S = start + T + 1;
    const tables = ropeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: S }, S);
    return { T, start, H, G, Hd, S, tables, y: values(y, T * (H + 2 * G) * Hd) };
  },
  /** [q T·H·Hd, keys S·G·Hd, values S·G·Hd, position of what f16 does not hold or −1]; the caches start as zeros. */
  length: (c) => c.T * c.H * c.Hd + 2 * c.S * c.G * c.Hd + 1,
  expected(c) {
    const { T, start, H, G, Hd, S, tables, y } = c;
    const e = makeExpected(T * H * Hd + 2 * S * G * Hd + 1);
    const half = Hd / 2;
    const cached: Cached[] = [];
    const scale = 1 / Math.sqrt(Hd);
    for (let t = 0; t < T; t++)
      for (let head = 0; head < H + 2 * G; head++)
        for (let i = 0; i < half; i++) {
          const at = (t * (H + 2 * G) + head) * Hd + i;
          const [low, high] = [[y[at]!, 0] as const, [y[at + half]!, 0] as const];
          const table = (start + t) * half + i;
          const pair = head < H + G ? rotatePair(low, high, tables.cos[table]!, tables.sin[table]!, wgsl) : [low, high];
          for (const [j, [value, error]] of pair.entries()) {
            // 1/√Hd by inverseSqrt, then a product.
            const scaled = Math.abs(value * scale) * (wgsl.inverseSqrt + 2 * wgsl.u) + error * scale * (1 + 2 ** -10) + wgsl.eta;
            const stored = head < H ? storedAsF16(value * scale, scaled) : storedAsF16(value, error);
            if (head >= H) cached.push({ position: start + t, value, error });
            const cache = T * H * Hd + (head < H + G ? 0 : S * G * Hd);
            const slot = head < H ? (t * H + head) * Hd : cache + ((start + t) * G + ((head - H) % G)) * Hd;
            e.value[slot + i + j * half] = stored.value;
            e.bound[slot + i + j * half] = stored.bound;
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
