/** The kit of norm, q, k and v, RoPE and the cache of one row, by any product; and what norms of heads change of it. */
import * as fc from "fast-check";
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import type { CacheDType } from "../../gpu/wgsl/cache.ts";
import { anglesAt, type Cached, type Expected, expectNoted, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import type { Kit } from "../kit.ts";
import { makeRow, type NormedRow, type NormedSpec, normedBoundaries, normedReach, normedSpec, rowKinds, shapeOf } from "./fixed16.ts";
import { normed, type ProductCases } from "./products.ts";
import { type Rotated, rotated, type ScalingName } from "./rope.ts";
import { cacheLength, cacheSlot } from "./written-cache.ts";

/** Heads at a position, and the caches that keys and values go to. */
export interface HeadsCase extends Rotated {
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly position: number;
  /** Positions of the caches, more than `position`. */
  readonly S: number;
  readonly cache: CacheDType;
  /** A position noted by a step before; none where absent. */
  readonly noted?: number;
}
export interface QkvRopeCase<W> extends NormedRow, HeadsCase {
  /** Rows q, k, v. */
  readonly weight: W;
  readonly bias: Float32Array | null;
  /** All rows as they are: their heads have norms. */
  readonly raw: boolean;
}

/** [q H·Hd, what was written to the cache of keys, the same of values, position of what f16 does not hold or −1]: the caches start as zeros. */
export const headsLength = ({ H, G, Hd }: HeadsCase): number => H * Hd + 2 * cacheLength(1, G * Hd) + 1;

/** Rows q, k, v with errors, q and k rotated, at their places. */
export function turned(rows: Expected, c: HeadsCase): Expected {
  const { H, G, Hd, position, cache } = c;
  const angles = anglesAt(position, c.rotation);
  const e = makeExpected(headsLength(c));
  const cached: Cached[] = c.noted === undefined ? [] : [{ position: c.noted, value: Infinity, error: 0 }];
  const half = Hd / 2;
  for (let head = 0; head < H + 2 * G; head++)
    for (let i = 0; i < half; i++) {
      const at = head * Hd + i;
      const low = [rows.value[at]!, rows.bound[at]!] as const;
      const high = [rows.value[at + half]!, rows.bound[at + half]!] as const;
      const turn = [angles.cos[i]!, angles.sin[i]!, angles.error[i]!] as const;
      const pair = head < H + G ? rotatePair(low, high, turn, wgsl) : [low, high];
      for (const [j, [value, error]] of pair.entries()) {
        const first = head < H + G ? 0 : cacheLength(1, G * Hd);
        const slot = head < H ? at + j * half : H * Hd + first + cacheSlot(0, G * Hd, ((head - H) % G) * Hd + i + j * half);
        if (head >= H && cache === "f16") cached.push({ position, value, error });
        const stored = head < H || cache === "f32" ? { value, bound: error } : storedAsF16(value, error);
        e.value[slot] = stored.value;
        e.bound[slot] = stored.bound;
      }
    }
  const noted = expectNoted(cached);
  e.value[e.value.length - 1] = noted.value;
  e.bound[e.bound.length - 1] = noted.bound;
  return e;
}

/** Heads of each shape, their halves in eights or in fours, and the ways to go on: each is a pipeline of its own. */
const heads = [
  { G: 1, perGroup: 1, Hd: 40, hasBias: true, cache: "f16", raw: false },
  { G: 2, perGroup: 2, Hd: 64, hasBias: false, cache: "f32", raw: false },
  { G: 1, perGroup: 3, Hd: 80, hasBias: true, cache: "f16", raw: true },
  { G: 2, perGroup: 1, Hd: 128, hasBias: false, cache: "f16", raw: false },
  // Of models: SOLAR's, Qwen 2.5 7B's; three groups of three; Llama 2 13B's.
  { G: 8, perGroup: 4, Hd: 128, hasBias: false, cache: "f16", raw: false },
  { G: 4, perGroup: 7, Hd: 128, hasBias: true, cache: "f16", raw: false },
  { G: 3, perGroup: 3, Hd: 32, hasBias: false, cache: "f16", raw: false },
  { G: 40, perGroup: 1, Hd: 128, hasBias: true, cache: "f16", raw: false },
] as const;

const LAST = 131_071;

type QkvRopeSpec<S> = NormedSpec & {
  readonly weight: S;
  readonly position: number;
  readonly bias: Recipe;
  /** Which of `heads`; that of the shape where absent. */
  readonly heads?: number;
  /** Plain where absent. */
  readonly scaling?: ScalingName;
  readonly noted?: number;
};

export type QkvRopeKit<S, W> = Kit<QkvRopeSpec<S>, QkvRopeCase<W>>;

export const qkvRopeKit = <S extends { readonly seed: number }, W extends AwqMatrix | DenseMatrix>(
  name: string,
  product: ProductCases<S, W>,
): QkvRopeKit<S, W> => ({
  name,
  formula: "q, k, v = x · W / rms + bias; q and k turned by RoPE; k and v at `position` of the caches, noted where beyond them",
  spec: fc.record({
    ...normedSpec,
    weight: product.spec,
    position: fc.nat(40),
    bias: recipe(rowKinds),
  }),
  boundaries: product.usual.flatMap((weight) =>
    normedBoundaries.flatMap((spec) => [0, 1, 9].map((position) => ({ ...spec, weight, position, bias: { ...plain, seed: 6 } }))),
  ),
  reach: normedReach.flatMap((far) => {
    const [weight, bias] = [product.usual[0]!, { ...plain, seed: 6 }];
    const near = { ...normedBoundaries[0]!, weight, bias };
    return [
      ...product.usual.map((other) => ({ ...far, weight: other, bias, position: 100, heads: 0 })),
      ...[4, 5, 6, 7].map((at) => ({ ...near, position: 4095, heads: at, scaling: "llama3" as const })),
      // Beyond what f16 holds, as an earlier position was or not.
      ...[{}, { noted: 3 }].map((earlier) => ({ ...near, position: 9, heads: 7, norm: { ...plain, exponent: 18, seed: 2 }, ...earlier })),
      // One value alone, of either half of its head, below what f16 holds.
      ...[3, 10].map((seed) => ({ ...near, position: 9, heads: 0, bias: { kind: "oneHot" as const, exponent: 18, seed } })),
      ...(["none", "linear", "dynamic", "yarn"] as const).map((scaling) => ({ ...near, position: LAST, heads: 0, scaling })),
    ];
  }),
  make({ shape, residual, norm, weight, position, bias, heads: at = shape, scaling = "none", noted }) {
    const { K, group } = shapeOf(shape);
    const { G, perGroup, Hd, hasBias, cache, raw } = heads[at]!;
    const H = G * perGroup;
    const rows = (H + 2 * G) * Hd;
    return {
      ...makeRow(residual, norm, K),
      ...{ H, G, Hd, position, S: position + 2, cache, raw, ...(noted === undefined ? {} : { noted }) },
      ...rotated(Hd, 10000, scaling, position, position + 2, LAST + 1),
      weight: product.make(weight, K, rows, group),
      bias: hasBias ? values(bias, rows) : null,
    };
  },
  length: (c) => (c.raw ? c.weight.outFeatures : headsLength(c)),
  expected(c) {
    const rows = normed(product, c, c.weight, c.bias);
    return c.raw ? rows : turned(rows, c);
  },
  laws: [],
  refusals: [],
  dotLike: false,
});
