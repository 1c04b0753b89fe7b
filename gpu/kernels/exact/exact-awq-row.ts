/**
 * exact-awq.ts for one row of activations: y[n] = rn(Σ_g S_gn Σ_{k in g} v_k (q_kn − z_gn), e − 24), then + bias; out[n] = y, add(out, y), or with
 * PAIRED, whose matrix has the N rows of up_proj behind the N of gate_proj, mul(silu(y[n]), y[N + n]). digits, sums, exponents as
 * exact-digits.ts leaves them; weights [rows/4, K/32, 4] vec4<u32>, groups [rows/4, K/G, 4] (awq-repack.ts); bias [N], or [2 N]; out [N] words.
 * N % 4 = 0, K % 32 = 0, G % 32 = 0. A team of 32 lanes takes a quad of rows; a lane the UNIT blocks of a group, strided over the lanes, the next block's
 * weights on their way. Digit sums of a unit times bytes of its scale, an integer of 40 bits, add up in columns of eight bits: at most 4 · 61,440 UNIT · 255,
 * i32 for 32 / UNIT units of a lane: K ≤ 32,768. Then a lane carries its columns into limbs of 16 bits, whose sums over a team fit u32; 96 bits and one
 * rounding per row. Workgroup memory: 11 to 12 KiB. Limited by memory (N · K / 2 bytes).
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers, exactPower, exactReciprocal, exactSilu } from "../../wgsl/exact.ts";
import { exactQuadCarries, exactQuadJoin, exactQuadRows } from "../../wgsl/exact-quads.ts";
import { type Digits, digitBytes } from "./exact-digits.ts";

/**
 * Rows firstRow … of a repacked matrix, whose blocks lie by `unit` and whose scales spread so far (exact-scale-bases.ts), or less. `adds`: the result is added to `out`; `paired`: N outputs of 2 N rows. `quads`: of
 * each team; `split`: teams that share a quad, 1, 2 or 4, and at most 2 where paired.
 */
export type ExactAwqRowShape = Readonly<{
  K: number;
  N: number;
  P: Digits;
  groupSize: number;
  unit: number;
  firstRow: number;
  hasBias: boolean;
  adds: boolean;
  paired: boolean;
  spread: number;
  quads: number;
  split: number;
}>;

const TEAMS = 4;

/** How the teams are laid out for so many rows and inputs: enough workgroups for a large device, and few reductions where there are many rows. */
export function tuneRow(K: number, rows: number, unit: number): { quads: number; split: number } {
  const quads = Math.max(1, Math.min(4, Math.floor(rows / 4 / 1536)));
  const steps = Math.ceil(K / 32 / unit / 32);
  return { quads, split: rows < 8192 && steps >= 2 ? 2 : 1 };
}

export const exactAwqRow: Card<"digits" | "sums" | "exponents" | "weights" | "groups" | "bases" | "bias" | "out", ExactAwqRowShape> =
  makeCard({
    name: "exact-awq-row",
    wgsl: /* wgsl */ `
override K: u32 = 4096u;
override N: u32 = 4096u;
override GROUP: u32 = 128u;
override FIRST_ROW: u32 = 0u;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override PAIRED: bool = false;
override WIDE: bool = true; // scales of a row need more than 16 bits on its least exponent
override QUADS: u32 = 1u; // of a team
override SPLIT: u32 = 1u; // teams that share a quad
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override UNIT: u32 = 4u; // blocks of a group that a lane takes together
override UNITS: u32 = BLOCKS / UNIT;
override STEPS: u32 = (UNITS + 31u) / 32u;
override OWN: u32 = 4u / SPLIT * QUADS; // quads of a workgroup
const TEAM = 32u;
const LIMBS = 5u;
@group(0) @binding(0) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> sums: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> bases: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> bias: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<u32>;
var<workgroup> limbs: array<u32, 2640>; // [4 teams][4 rows][5 limbs][32 lanes and one]
var<workgroup> totals: array<u32, QUADS * 80>; // [quads][4 teams][4 rows][5 limbs]
${exactIntegers}${exactNumbers}${exact96}${exactPower}${exactReciprocal}${exactSilu}
${exactQuadRows}fn digit_sums(w: Rows, slot: u32, p: u32) -> vec4<i32> { // Σ d_p q of four rows
  let x = digits[2u * p * BLOCKS + slot];
  let y = digits[(2u * p + 1u) * BLOCKS + slot];
  return vec4<i32>(dots(w.a, x, y), dots(w.b, x, y), dots(w.c, x, y), dots(w.d, x, y));
}
// Row 4 i … of the workgroup's quad i: PAIRED has a quad of gate_proj and that of up_proj it goes with in turns.
fn quad_of(wg: u32, i: u32) -> u32 {
  if (PAIRED) { return min(wg * OWN / 2u + i / 2u, N / 4u - 1u) + (i & 1u) * (N / 4u) + FIRST_ROW / 4u; }
  return min(wg * OWN + i, N / 4u - 1u) + FIRST_ROW / 4u;
}
fn total(wg: u32, i: u32, row: u32) -> u32 { // of row 4 i + row, rounded
  var y = vec3<u32>(0u);
  for (var part = 0u; part < SPLIT; part++) {
    let at = ((i * SPLIT + part) * 4u + row) * LIMBS;
    y = add96(y, vec3<u32>(totals[at], 0u, totals[at + 4u]));
    y = add96(y, vec3<u32>(totals[at + 1u] << 16u, totals[at + 1u] >> 16u, 0u));
    y = add96(y, vec3<u32>(0u, totals[at + 2u], 0u));
    y = add96(y, vec3<u32>(0u, totals[at + 3u] << 16u, totals[at + 3u] >> 16u));
  }
  return rn96(y, exponents[0] - 24 + i32(select(bases[quad_of(wg, i)][row] & 255u, 0u, WIDE)));
}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let team = tid / TEAM;
  let lane = tid % TEAM;
  let mine = team / SPLIT * QUADS;
  let part = team % SPLIT;
  var rows = load_rows(quad_of(wg.x, mine), min(lane + part * TEAM, UNITS - 1u));
  for (var q = 0u; q < QUADS; q++) {
    let quad = quad_of(wg.x, mine + q);
    let base = select(bases[quad] & vec4<u32>(255u), vec4<u32>(0u), vec4<bool>(WIDE));
    var c = Columns();
    for (var s = part; s < STEPS; s += SPLIT) {
      let u = lane + s * TEAM;
      let unit = min(u, UNITS - 1u);
      let group = groups[quad * GROUPS + unit * UNIT / BLOCKS_PER_GROUP];
      // 1. Digit sums of a unit, the next block's weights on their way.
      var d0 = vec4<i32>(0); var d1 = vec4<i32>(0); var d2 = vec4<i32>(0); var d3 = vec4<i32>(0); var sum = vec4<i32>(0);
      for (var i = 0u; i < UNIT; i++) {
        let slot = i * UNITS + unit;
        var next = rows;
        if (i + 1u < UNIT) { next = load_rows(quad, slot + UNITS); }
        else if (s + SPLIT < STEPS) { next = load_rows(quad, min(u + SPLIT * TEAM, UNITS - 1u)); }
        else if (q + 1u < QUADS) { next = load_rows(quad_of(wg.x, mine + q + 1u), min(lane + part * TEAM, UNITS - 1u)); }
        sum += sums[slot];
        d0 += digit_sums(rows, slot, 0u);
        d1 += digit_sums(rows, slot, 1u);
        d2 += digit_sums(rows, slot, 2u);
        if (P == 4u) { d3 += digit_sums(rows, slot, 3u); }
        rows = next;
      }
      if (u < UNITS) {
        // 2. Zero points and signs; scales in units of 2^−24, or of the row's least exponent: bytes of 40 bits, or of 16.
${exactQuadJoin}      }
    }
    // 4. Carries: each column leaves a byte.
${exactQuadCarries}    let l0 = bitcast<vec4<u32>>((c.c0 & byte) | ((v1 & byte) << eight));
    let l1 = bitcast<vec4<u32>>((v2 & byte) | ((v3 & byte) << eight));
    let l2 = bitcast<vec4<u32>>((v4 & byte) | ((v5 & byte) << eight));
    let l3 = bitcast<vec4<u32>>((v6 & byte) | ((v7 & byte) << eight));
    let l4 = bitcast<vec4<u32>>(v7 >> eight);
    // 5. Limbs of all lanes, added by a lane per row and limb.
    for (var r = 0u; r < 4u; r++) {
      let at = team * 660u + r * 165u + lane;
      limbs[at] = l0[r]; limbs[at + 33u] = l1[r]; limbs[at + 66u] = l2[r]; limbs[at + 99u] = l3[r]; limbs[at + 132u] = l4[r];
    }
    workgroupBarrier();
    if (lane < 4u * LIMBS) {
      var sum = 0u;
      for (var i = 0u; i < TEAM; i++) { sum += limbs[team * 660u + lane * 33u + i]; }
      totals[((mine + q) * SPLIT + part) * 4u * LIMBS + lane] = sum;
    }
    workgroupBarrier();
  }
  // 6. Rows, rounded once.
  if (PAIRED) {
    let n = wg.x * OWN * 2u + tid;
    if (tid < OWN * 2u && n < N) {
      var gate = total(wg.x, tid / 4u * 2u, tid % 4u);
      var up = total(wg.x, tid / 4u * 2u + 1u, tid % 4u);
      if (HAS_BIAS) { gate = addf(gate, bias[n]); up = addf(up, bias[N + n]); }
      out[n] = mulf(siluf(gate), up);
    }
  } else {
    let n = wg.x * OWN * 4u + tid;
    if (tid < OWN * 4u && n < N) {
      var y = total(wg.x, tid / 4u, tid % 4u);
      if (HAS_BIAS) { y = addf(y, bias[n]); }
      if (ADDS) { y = addf(out[n], y); }
      out[n] = y;
    }
  }
}
`,
    workgroupBytes: ({ quads }) => 10560 + 320 * quads,
    call: ({ K, N, P, hasBias, adds, groupSize, firstRow, paired, spread, quads, split, unit }) => ({
      overrides: {
        K,
        N,
        GROUP: groupSize,
        FIRST_ROW: firstRow,
        P,
        HAS_BIAS: hasBias,
        ADDS: adds,
        PAIRED: paired,
        WIDE: spread > 5,
        QUADS: quads,
        SPLIT: split,
        UNIT: unit,
      },
      workgroups: () => [Math.ceil((paired ? 2 * N : N) / (((4 * TEAMS) / split) * quads)), 1, 1],
    }),
    sizes: (shape) => ({ ...digitBytes(shape.K, shape.P, 1), ...quadSizes(shape) }),
  });

/** Bytes of a repacked matrix of N rows, or of 2 N where paired, of what was found in its scales, its biases and outputs. */
export const quadSizes = ({
  K,
  N,
  hasBias,
  groupSize,
  firstRow,
  paired,
}: Omit<ExactAwqRowShape, "P" | "split">): Record<"weights" | "groups" | "bases" | "bias" | "out", number> => {
  const rows = paired ? 2 * N : N;
  return {
    weights: ((firstRow + rows) * K) / 2,
    groups: 4 * (firstRow + rows) * (K / groupSize),
    bases: 4 * (firstRow + rows),
    bias: hasBias ? 4 * rows : 0,
    out: 4 * N,
  };
};
