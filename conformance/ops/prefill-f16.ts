/** Kits of the row-wise steps between the matrix products of prefill: f32 in, f16 out. Widths are few: each is a pipeline of its own. */
import fc from "fast-check";
import { type RopeTables, ropeTables } from "../../core/ops/rope.ts";
import { asF16, type Expected, expectRmsNorm, expectSiluMul, makeExpected, rotatePair, storedAsF16, wgsl } from "../accuracy.ts";
import { type Recipe, recipe, values } from "../arbitraries.ts";
import { sameBits } from "../compare.ts";
import type { Kit, Law } from "../kit.ts";

interface RowsSpec {
  readonly T: number;
  readonly width: number;
  readonly x: Recipe;
  readonly y: Recipe;
}
export interface RowsCase {
  readonly T: number;
  readonly width: number;
  /** [T, width] */
  readonly x: Float32Array;
  /** [width] for the norm, [T, width] for the gate. */
  readonly y: Float32Array;
}

const plain: Recipe = { kind: "normal", exponent: 0, seed: 1 };
const widths = [32, 96, 1024, 2080] as const;
const rowsSpec: fc.Arbitrary<RowsSpec> = fc.record({
  T: fc.integer({ min: 1, max: 5 }),
  width: fc.constantFrom(...widths),
  x: recipe(),
  y: recipe(),
});
/** Every width; and squares that f16 does not hold. */
const rowsBoundaries = [
  ...widths.flatMap((width) => [1, 4].map((T) => ({ T, width, x: plain, y: { ...plain, seed: 2 } }))),
  { T: 2, width: 1024, x: { ...plain, exponent: 9 }, y: { ...plain, seed: 2 } },
];

const alone = (perRow: boolean): Law<RowsCase> => ({
  name: "computes each row alone, bit for bit",
  async check(c, { run }) {
    const at = (c.T - 1) * c.width;
    const last = await run({ ...c, T: 1, x: c.x.slice(at), y: perRow ? c.y.slice(at) : c.y });
    return sameBits(await run(c), last, at, 0, c.width);
  },
});

const rowsKit = (name: string, formula: string, expected: (c: RowsCase) => Expected, perRow: boolean): Kit<RowsSpec, RowsCase> => ({
  name,
  formula,
  spec: rowsSpec,
  boundaries: rowsBoundaries,
  make: ({ T, width, x, y }) => ({ T, width, x: values(x, T * width), y: values(y, perRow ? T * width : width) }),
  length: (c) => c.T * c.width,
  expected,
  laws: [alone(perRow)],
  refusals: [],
  dotLike: false,
});

/** eps of the norm's pipeline. */
export const PREFILL_EPS: number = Math.fround(1e-5);

export const rowsF16Kit: Kit<RowsSpec, RowsCase> = rowsKit("prefill-rows-f16", "out = f16(x)", exact, true);
export const normF16Kit: Kit<RowsSpec, RowsCase> = rowsKit(
  "prefill-norm-f16",
  "out = f16(x / √(mean x² + eps) · y)",
  (c) => asF16(expectRmsNorm(c.x, c.y, PREFILL_EPS, c.T, wgsl)),
  false,
);
export const siluMulF16Kit: Kit<RowsSpec, RowsCase> = rowsKit(
  "prefill-silu-mul-f16",
  "out = f16(silu(x) · y)",
  (c) => asF16(expectSiluMul(c.x, c.y, c.x.length, wgsl)),
  true,
);

function exact(c: RowsCase): Expected {
  const e = makeExpected(c.x.length);
  e.value.set(c.x);
  return asF16(e);
}

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

export const ropeF16Kit: Kit<RopeSpec, PrefillRopeCase> = {
  name: "prefill-rope-f16",
  formula: "q = f16(turned q / √Hd); turned k, and v, into the f16 caches at start + t",
  spec: fc.record({ T: fc.integer({ min: 1, max: 4 }), start: fc.nat(50), shape: fc.nat(heads.length - 1), y: recipe() }),
  boundaries: heads.flatMap((_, shape) => [0, 7].map((start) => ({ T: 3, start, shape, y: plain }))),
  make({ T, start, shape, y }) {
    const { H, G, Hd } = heads[shape]!;
    const S = start + T + 1;
    const tables = ropeTables({ headDim: Hd, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: S }, S);
    return { T, start, H, G, Hd, S, tables, y: values(y, T * (H + 2 * G) * Hd) };
  },
  /** [q T·H·Hd, keys S·G·Hd, values S·G·Hd]; the caches start as zeros. */
  length: (c) => c.T * c.H * c.Hd + 2 * c.S * c.G * c.Hd,
  expected(c) {
    const { T, start, H, G, Hd, S, tables, y } = c;
    const e = makeExpected(T * H * Hd + 2 * S * G * Hd);
    const half = Hd / 2;
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
            const cache = T * H * Hd + (head < H + G ? 0 : S * G * Hd);
            const slot = head < H ? (t * H + head) * Hd : cache + ((start + t) * G + ((head - H) % G)) * Hd;
            e.value[slot + i + j * half] = stored.value;
            e.bound[slot + i + j * half] = stored.bound;
          }
        }
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};
