/** Norm, q, k and v in fixed16, RoPE and the cache. */
import fc from "fast-check";
import { type RopeTables, ropeTables } from "../../core/ops/rope.ts";
import type { AwqMatrix } from "../../core/tensor.ts";
import { type Cached, expectNoted, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { makeRow, type NormedRow, type NormedSpec, normed, normedBoundaries, normedSpec, shapes } from "../cases/fixed16.ts";
import { awqMatrix } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";

export interface QkvRopeCase extends NormedRow {
  readonly H: number;
  readonly G: number;
  readonly Hd: number;
  readonly position: number;
  readonly tables: RopeTables;
  /** Rows q, k, v. */
  readonly weight: AwqMatrix;
  /** Positions of the caches, more than `position`. */
  readonly S: number;
}

/** [q H·Hd, keys S·G·Hd, values S·G·Hd, position of what f16 does not hold or −1]: the caches start as zeros. */
export const qkvLength = ({ H, G, Hd, S }: QkvRopeCase): number => H * Hd + 2 * S * G * Hd + 1;

/** Heads of each shape. */
const heads = [
  { G: 1, perGroup: 1, Hd: 32 },
  { G: 2, perGroup: 2, Hd: 64 },
  { G: 1, perGroup: 3, Hd: 96 },
  { G: 2, perGroup: 1, Hd: 128 },
] as const;

export const kit: Kit<NormedSpec & { readonly position: number }, QkvRopeCase> = {
  name: "awq-qkv-rope-fixed16",
  formula: "q, k, v = x̂ · W / rms; q and k turned by RoPE; k and v at `position` of the f16 caches, noted where beyond them",
  spec: fc.record({ ...normedSpec, position: fc.nat(40) }),
  boundaries: normedBoundaries.flatMap((spec) => [0, 1, 9].map((position) => ({ ...spec, position }))),
  make(spec) {
    const { position } = spec;
    const { blocks, groupBlocks } = shapes[spec.shape]!;
    const { G, perGroup, Hd } = heads[spec.shape]!;
    const [K, H] = [blocks * 32, G * perGroup];
    return {
      ...makeRow(spec.residual, spec.norm, K),
      H,
      G,
      Hd,
      position,
      S: position + 2,
      tables: ropeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: 64 }, position + 2),
      weight: awqMatrix(spec.weight, K, (H + 2 * G) * Hd, groupBlocks * 32),
    };
  },
  length: qkvLength,
  expected(c) {
    const { H, G, Hd, S, position, tables } = c;
    const rows = normed(c, c.weight);
    const e = makeExpected(qkvLength(c));
    const half = Hd / 2;
    const cached: Cached[] = [];
    for (let head = 0; head < H + 2 * G; head++)
      for (let i = 0; i < half; i++) {
        const at = head * Hd + i;
        const low = [rows.value[at]!, rows.bound[at]!] as const;
        const high = [rows.value[at + half]!, rows.bound[at + half]!] as const;
        const [cos, sin] = [tables.cos[position * half + i]!, tables.sin[position * half + i]!];
        const pair = head < H + G ? rotatePair(low, high, cos, sin, wgsl) : [low, high];
        for (const [j, [value, error]] of pair.entries()) {
          if (head < H) {
            e.value[at + j * half] = value;
            e.bound[at + j * half] = error;
            continue;
          }
          const cache = head < H + G ? 0 : S * G * Hd;
          const slot = H * Hd + cache + (position * G + ((head - H) % G)) * Hd + i + j * half;
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
