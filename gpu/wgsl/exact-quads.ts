/**
 * How a row of `exact` meets the rows of a repacked matrix (awq-repack.ts), four at a time: a team of 32 lanes takes a
 * quad of rows, a lane the UNIT blocks of a group, strided over the lanes. Digit sums of a unit times bytes of its
 * scale, an integer of 40 bits, add up in columns of eight bits: at most 4 · 61,440 UNIT · 255, i32 for 32 / UNIT units
 * of a lane: K ≤ 32,768. Then a lane carries its columns into 96 bits, whose halves of words, added over a team, fit
 * u32; one rounding per row.
 */

/** Inputs up to which a lane's columns hold. */
export const MOST_ROW_INPUTS = 32768;

/** Σ of 32 nibbles of a block times a digit. */
export const exactDots = /* wgsl */ `fn dots(w: vec4<u32>, x: vec4<u32>, y: vec4<u32>) -> i32 {
  let e = w & vec4<u32>(0x0f0f0f0fu);
  let o = (w >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
  return dot4I8Packed(e.x, x.x) + dot4I8Packed(o.x, x.y) + dot4I8Packed(e.y, x.z) + dot4I8Packed(o.y, x.w)
       + dot4I8Packed(e.z, y.x) + dot4I8Packed(o.z, y.y) + dot4I8Packed(e.w, y.z) + dot4I8Packed(o.w, y.w);
}
`;

/** Blocks of four rows and their products. Wants weights, BLOCKS. */
export const exactQuadRows: string = /* wgsl */ `
struct Rows { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }
struct Columns { c0: vec4<i32>, c1: vec4<i32>, c2: vec4<i32>, c3: vec4<i32>, c4: vec4<i32>, c5: vec4<i32>, c6: vec4<i32>, c7: vec4<i32> }
fn load_rows(quad: u32, slot: u32) -> Rows {
  let i = (quad * BLOCKS + slot) * 4u;
  return Rows(weights[i], weights[i + 1u], weights[i + 2u], weights[i + 3u]);
}
${exactDots}`;

/**
 * From digit sums d0 … d3 of a unit, `sum` of its row's digits, its `group` and the rows' `base` to columns `c`: vectors `v` of so many rows, added (`put`
 * is +=) or, where c is zero, put there. Wants P, WIDE.
 */
const joinOf = (v: "vec2" | "vec4", put: "=" | "+=", note = ""): string => /* wgsl */ `
        let zero = ${v}<i32>(group >> ${v}<u32>(16u));
        let E = (group >> ${v}<u32>(10u)) & ${v}<u32>(31u);
        let m = (group & ${v}<u32>(1023u)) | select(${v}<u32>(0u), ${v}<u32>(1024u), E > ${v}<u32>(0u));
        let sign = select(${v}<i32>(1), ${v}<i32>(-1), (group & ${v}<u32>(0x8000u)) != ${v}<u32>(0u));
        let shift = max(E, ${v}<u32>(1u)) - ${v}<u32>(1u) - base;
        let low = m << shift;
        let byte = ${v}<u32>(255u);
        let s0 = ${v}<i32>(low & byte) * sign;
        let s1 = ${v}<i32>((low >> ${v}<u32>(8u)) & byte) * sign;
        d0 -= zero * sum.x; d1 -= zero * sum.y; d2 -= zero * sum.z;
${note}        c.c0 ${put} d0 * s0;
        c.c1 ${put} d0 * s1 + d1 * s0;
        c.c2 ${put} d1 * s1 + d2 * s0;
        c.c3 ${put} d2 * s1;
        if (P == 4u) {
          d3 -= zero * sum.w;
          c.c3 += d3 * s0;
          c.c4 ${put} d3 * s1;
        }
        if (WIDE) {
          let s2 = ${v}<i32>((low >> ${v}<u32>(16u)) & byte) * sign;
          let s3 = ${v}<i32>(low >> ${v}<u32>(24u)) * sign;
          let s4 = ${v}<i32>((m >> ${v}<u32>(1u)) >> (${v}<u32>(31u) - shift)) * sign;
          c.c2 += d0 * s2;
          c.c3 += d0 * s3 + d1 * s2;
          c.c4 += d0 * s4 + d1 * s3 + d2 * s2;
          c.c5 ${put} d1 * s4 + d2 * s3;
          c.c6 ${put} d2 * s4;
          if (P == 4u) {
            c.c5 += d3 * s2;
            c.c6 += d3 * s3;
            c.c7 ${put} d3 * s4;
          }
        }
`;
/** Of four rows, unit after unit. */
export const exactQuadJoin: string = joinOf("vec4", "+=", "        // 3. Digit sums times bytes, by columns.\n");
/** Of two rows, each unit by itself (exact-pairs.ts). */
export const exactPairJoin: string = joinOf("vec2", "=");

/** Columns `c` as bytes and what is above them, v7. */
export const exactQuadCarries = /* wgsl */ `
    let byte = vec4<i32>(255);
    let eight = vec4<u32>(8u);
    let v1 = c.c1 + (c.c0 >> eight);
    let v2 = c.c2 + (v1 >> eight);
    let v3 = c.c3 + (v2 >> eight);
    let v4 = c.c4 + (v3 >> eight);
    let v5 = c.c5 + (v4 >> eight);
    let v6 = c.c6 + (v5 >> eight);
    let v7 = c.c7 + (v6 >> eight);
`;
