/**
 * How a row of `exact` meets the rows of a repacked matrix (awq-repack.ts) where no team waits for another: a team of 32 lanes takes four rows and
 * sixteen units of UNIT blocks at once, two lanes a unit, each two of the four rows, so that what they load side by side are whole sectors. Digit sums
 * of a unit times bytes of its scale, an integer of 40 bits, are columns of eight bits, at most 4 · 61,440 UNIT · 255 < 2^28. A lane carries them into
 * limbs of 22 bits and adds these to its rows' by atomics of workgroup memory, in any order. Sixteen lanes a row and step, 64 steps: 1,024 limbs fit
 * u32, K ≤ 32,768. One rounding per row.
 */
import { exactDots } from "./exact-quads.ts";

/** Sums of four rows: LIMBS and COPIES of each row. */
export const quadSums = (wide: boolean): number => 4 * (wide ? 5 * 4 : 3 * 8);

/** Wants K, GROUP, UNIT, WIDE (scales of a row need more than 16 bits on its least exponent). */
export const exactPairSizes = /* wgsl */ `
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override UNITS: u32 = BLOCKS / UNIT;
override STEPS: u32 = (UNITS + 15u) / 16u;
override LIMBS: u32 = select(3u, 5u, WIDE);
override COPIES: u32 = select(8u, 4u, WIDE); // of each sum, so that neighbours meet less
override TOTALS: u32 = 1536u; // quadSums of as many quads as a workgroup has room for
`;

/** Rows h and h + 2 of a quad and their products. Wants weights, groups, bases, exactPairSizes. */
export const exactPairRows: string = /* wgsl */ `
struct Rows { a: vec4<u32>, b: vec4<u32> }
struct Columns { c0: vec2<i32>, c1: vec2<i32>, c2: vec2<i32>, c3: vec2<i32>, c4: vec2<i32>, c5: vec2<i32>, c6: vec2<i32>, c7: vec2<i32> }
fn load_rows(quad: u32, slot: u32, h: u32) -> Rows {
  let i = (quad * BLOCKS + slot) * 4u + h;
  return Rows(weights[i], weights[i + 2u]);
}
fn load_group(quad: u32, unit: u32, h: u32) -> vec2<u32> {
  let i = (quad * GROUPS + unit * UNIT / BLOCKS_PER_GROUP) * 4u + h;
  return vec2<u32>(groups[i], groups[i + 2u]);
}
fn load_bases(quad: u32, h: u32) -> vec2<u32> { return vec2<u32>(bases[4u * quad + h], bases[4u * quad + h + 2u]) & vec2<u32>(255u); }
${exactDots}`;

/**
 * add_columns(c, i, h, lane): a lane's columns to the sums of rows h and h + 2 of the workgroup's quad i; total_of(i, row) after a barrier. Where 64 bits are
 * enough, each lane adds 2^63 to what it has, so that nothing is negative. All 32 lanes of a team call it, for each step.
 */
export const exactPairSums = /* wgsl */ `
var<workgroup> totals: array<atomic<u32>, TOTALS>; // [quads][4 rows][LIMBS][COPIES]
fn add_columns(c: Columns, i: u32, h: u32, lane: u32) {
  let byte = vec2<i32>(255);
  let eight = vec2<u32>(8u);
  let v1 = c.c1 + (c.c0 >> eight);
  let v2 = c.c2 + (v1 >> eight);
  let v3 = c.c3 + (v2 >> eight);
  let v4 = c.c4 + (v3 >> eight);
  let w0 = bitcast<vec2<u32>>((c.c0 & byte) | ((v1 & byte) << eight) | ((v2 & byte) << vec2<u32>(16u)) | (v3 << vec2<u32>(24u)));
  var w1 = bitcast<vec2<u32>>(v4) ^ vec2<u32>(0x80000000u);
  var w2 = vec2<u32>(0u);
  if (WIDE) {
    let v5 = c.c5 + (v4 >> eight);
    let v6 = c.c6 + (v5 >> eight);
    let v7 = c.c7 + (v6 >> eight);
    w1 = bitcast<vec2<u32>>((v4 & byte) | ((v5 & byte) << eight) | ((v6 & byte) << vec2<u32>(16u)) | (v7 << vec2<u32>(24u)));
    w2 = bitcast<vec2<u32>>(v7 >> eight);
  }
  let limb = vec2<u32>(0x3fffffu);
  let l0 = w0 & limb;
  let l1 = ((w0 >> vec2<u32>(22u)) | (w1 << vec2<u32>(10u))) & limb;
  let l2 = ((w1 >> vec2<u32>(12u)) | (w2 << vec2<u32>(20u))) & limb;
  for (var r = 0u; r < 2u; r++) {
    let at = (i * 4u + h + 2u * r) * LIMBS * COPIES + lane / 2u % COPIES;
    atomicAdd(&totals[at], l0[r]);
    atomicAdd(&totals[at + COPIES], l1[r]);
    atomicAdd(&totals[at + 2u * COPIES], l2[r]);
    if (WIDE) {
      atomicAdd(&totals[at + 3u * COPIES], (w2[r] >> 2u) & 0x3fffffu);
      atomicAdd(&totals[at + 4u * COPIES], w2[r] >> 24u);
    }
  }
}
fn limb_of(i: u32, row: u32, limb: u32) -> u32 {
  var sum = 0u;
  for (var k = 0u; k < COPIES; k++) { sum += atomicLoad(&totals[((i * 4u + row) * LIMBS + limb) * COPIES + k]); }
  return sum;
}
fn total_of(i: u32, row: u32) -> vec3<u32> {
  let middle = limb_of(i, row, 1u);
  let high = limb_of(i, row, 2u);
  var y = vec3<u32>(limb_of(i, row, 0u), 0u, select(0u - 8u * STEPS, 0u, WIDE)); // less 2^63 of each lane
  y = add96(y, vec3<u32>(middle << 22u, middle >> 10u, 0u));
  y = add96(y, vec3<u32>(0u, high << 12u, high >> 20u));
  if (WIDE) { y.z += (limb_of(i, row, 3u) << 2u) + (limb_of(i, row, 4u) << 24u); }
  return y;
}
`;
