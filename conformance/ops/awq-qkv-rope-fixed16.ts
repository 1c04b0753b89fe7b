/** Norm, q, k and v in fixed16, RoPE and the cache. */
import fc from "fast-check";
import type { AwqMatrix } from "../../core/tensor.ts";
import { anglesAt, type Cached, expectNoted, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { makeRow, type NormedRow, type NormedSpec, normed, normedBoundaries, normedReach, normedSpec, shapeOf } from "../cases/fixed16.ts";
import { awqMatrix } from "../cases/matrices.ts";
import { type Rotated, rotated, type ScalingName } from "../cases/rope.ts";
import { cacheLength, cacheSlot } from "../cases/written-cache.ts";
import type { Kit } from "../kit.ts";

export interface QkvRopeCase extends NormedRow, Rotated {
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly position: number;
  /** Rows q, k, v. */
  readonly weight: AwqMatrix;
  /** Positions of the caches, more than `position`. */
  readonly S: number;
}

/** [q H·Hd, what was written to the cache of keys, the same of values, position of what f16 does not hold or −1]: the caches start as zeros. */
export const qkvLength = ({ H, G, Hd }: QkvRopeCase): number => H * Hd + 2 * cacheLength(1, G * Hd) + 1;

const LAST = 131_071;

/** Heads of each shape. */
const heads = [
  { G: 1, perGroup: 1, Hd: 32 },
  { G: 2, perGroup: 2, Hd: 64 },
  { G: 1, perGroup: 3, Hd: 96 },
  { G: 2, perGroup: 1, Hd: 128 },
  // Of models: SOLAR's, Qwen 2.5 7B's; and three groups of three.
  { G: 8, perGroup: 4, Hd: 128 },
  { G: 4, perGroup: 7, Hd: 128 },
  { G: 3, perGroup: 3, Hd: 32 },
] as const;

interface Spec extends NormedSpec {
  readonly position: number;
  /** Which of `heads`; that of the shape where absent. */
  readonly heads?: number;
  /** Plain where absent. */
  readonly scaling?: ScalingName;
}

export const kit: Kit<Spec, QkvRopeCase> = {
  name: "awq-qkv-rope-fixed16",
  formula: "q, k, v = x̂ · W / rms; q and k turned by RoPE; k and v at `position` of the f16 caches, noted where beyond them",
  spec: fc.record({ ...normedSpec, position: fc.nat(40) }),
  boundaries: normedBoundaries.flatMap((spec) => [0, 1, 9].map((position) => ({ ...spec, position }))),
  reach: [
    ...normedReach.map((spec) => ({ ...spec, position: 100, heads: 0 })),
    ...[4, 5, 6].map((at) => ({ ...normedBoundaries[0]!, position: 4095, heads: at, scaling: "llama3" as const })),
    ...(["none", "linear", "dynamic", "yarn"] as const).map((scaling) => ({ ...normedBoundaries[0]!, position: LAST, heads: 0, scaling })),
  ],
  make(spec) {
    const { position, scaling = "none" } = spec;
    const { blocks, groupBlocks } = shapeOf(spec.shape);
    const { G, perGroup, Hd } = heads[spec.heads ?? spec.shape]!;
    const [K, H] = [blocks * 32, G * perGroup];
    return {
      ...makeRow(spec.residual, spec.norm, K),
      H,
      G,
      Hd,
      position,
      S: position + 2,
      ...rotated(Hd, 10000, scaling, position, position + 2, LAST + 1),
      weight: awqMatrix(spec.weight, K, (H + 2 * G) * Hd, groupBlocks * 32),
    };
  },
  length: qkvLength,
  expected(c) {
    const { H, G, Hd, position } = c;
    const angles = anglesAt(position, c.rotation);
    const rows = normed(c, c.weight);
    const e = makeExpected(qkvLength(c));
    const half = Hd / 2;
    const cached: Cached[] = [];
    for (let head = 0; head < H + 2 * G; head++)
      for (let i = 0; i < half; i++) {
        const at = head * Hd + i;
        const low = [rows.value[at]!, rows.bound[at]!] as const;
        const high = [rows.value[at + half]!, rows.bound[at + half]!] as const;
        const turn = [angles.cos[i]!, angles.sin[i]!, angles.error[i]!] as const;
        const pair = head < H + G ? rotatePair(low, high, turn, wgsl) : [low, high];
        for (const [j, [value, error]] of pair.entries()) {
          if (head < H) {
            e.value[at + j * half] = value;
            e.bound[at + j * half] = error;
            continue;
          }
          const cache = head < H + G ? 0 : cacheLength(1, G * Hd);
          const slot = H * Hd + cache + cacheSlot(0, G * Hd, ((head - H) % G) * Hd + i + j * half);
          cached.push({ position, value, error });
          const stored = storedAsF16(value, error);
          e.value[slot] = stored.value;
          e.bound[slot] = stored.bound;
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
