/**
 * exact-awq-row.ts of a row of words instead of digits, which each workgroup makes for itself (gpu/wgsl/exact-words.ts):
 * of x [K] words, or behind a norm of mul(mul(x[k], r), scale[k]), r as exact-norm.ts has it; so no dispatch for norm or
 * digits stands between two linears. The first weights are on their way meanwhile; as soon as a block's are used, the
 * same block of the next unit. K % 32 = 0, K ≤ 32,768. What sets the linears of a layer apart comes from a uniform: all
 * weights pass through a device's caches for each token, and instructions with them; what is compiled once is at hand
 * when it is wanted again. What is paired leaves the largest of each workgroup's outputs behind them, [N + workgroups]
 * words, for who makes the digits of that row (exact-handed-digits.ts). Workgroup memory: P K bytes of digits, K / 8 of
 * sums where UNIT is 4, 2.3 KiB per team. Limited by memory (N · K / 2 bytes) and the row's latency.
 */
import { type Card, makeCard, workgroupBytes } from "../../pipeline/kernel.ts";
import {
  exact96,
  exactIntegers,
  exactNumbers,
  exactPower,
  exactReciprocal,
  exactRoot,
  exactRows,
  exactRows32,
  exactSilu,
} from "../../wgsl/exact.ts";
import { exactQuadCarries, exactQuadJoin, exactQuadRows } from "../../wgsl/exact-quads.ts";
import { exactWordOf } from "../../wgsl/exact-row.ts";
import { exactWordsRow, exactWordsSizes, wordsBytes } from "../../wgsl/exact-words.ts";
import type { WorkgroupLimits } from "../../wgsl/teams.ts";
import { type ExactAwqRowShape, quadSizes } from "./exact-awq-row.ts";

/**
 * As of exact-awq-row.ts; `norm`: words of rn(1/K) and of eps, null for x as it is; `teams` of 32 lanes, each with `quads`
 * of its own, at most 8.
 */
export type ExactAwqWordsShape = Omit<ExactAwqRowShape, "split"> &
  Readonly<{ norm: Readonly<{ inverse: number; eps: number }> | null; teams: number }>;

/** One workgroup for each multiprocessor of an NVIDIA H100 or H200: what each makes of the row is made as few times as can be. */
const WORKGROUPS = 132;
/** With more a lane has too few registers there. */
const MOST_TEAMS = 8;
const FEWEST_TEAMS = 4;
/** Words behind a row of N for what its workgroups leave, however they are cut. */
export const mostLeft = (N: number): number => Math.ceil(N / 2 / FEWEST_TEAMS);

/** Teams and quads for so many rows, as a device allows them; null where the row does not fit. */
export function tuneWords(
  shape: Omit<ExactAwqWordsShape, "teams" | "quads">,
  { invocations, bytes }: WorkgroupLimits,
): ExactAwqWordsShape | null {
  const each = Math.ceil((shape.paired ? 2 * shape.N : shape.N) / 4 / WORKGROUPS);
  for (let teams = Math.min(MOST_TEAMS, Math.floor(invocations / 64) * 2); teams >= FEWEST_TEAMS; teams -= 2) {
    const tuned = { ...shape, teams, quads: Math.min(8, Math.ceil(each / teams)) };
    if (workgroupBytes(exactAwqWords, tuned) <= bytes) return tuned;
  }
  return null;
}

/** Workgroups, of which those of what is paired each leave a word. */
export const workgroupsOf = ({ N, paired, teams, quads }: Pick<ExactAwqWordsShape, "N" | "paired" | "teams" | "quads">): number =>
  Math.ceil((paired ? 2 * N : N) / 4 / (teams * quads));

/** Items of 16 neighbours that each lane holds. */
const heldOf = (K: number, teams: number): number => Math.ceil(K / 16 / (32 * teams));

const perBlock = (line: (i: number) => string): string => [0, 1, 2, 3].map((i) => `          ${line(i)}`).join("\n");

export const exactAwqWords: Card<"x" | "scale" | "weights" | "groups" | "bases" | "bias" | "out", ExactAwqWordsShape> = makeCard({
  name: "exact-awq-words",
  wgsl: /* wgsl */ `
struct Params { n: u32, first: u32, adds: u32, paired: u32, quads: u32, held: u32, norm: u32, inverse: u32, eps: u32 }
const HELD = 1u;
override K: u32 = 1024u;
override GROUP: u32 = 128u;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override WIDE: bool = true; // scales of a row need more than 16 bits on its least exponent
override TEAMS: u32 = 4u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override UNIT: u32 = 4u; // blocks of a group that a lane takes together
override UNITS: u32 = BLOCKS / UNIT;
${exactWordsSizes}override STEPS: u32 = (UNITS + 31u) / 32u;
override LANES: u32 = 32u * TEAMS;
override TOTALS: u32 = TEAMS * 160u; // of eight quads a team
override PARTIALS: u32 = TEAMS * 108u;
const TEAM = 32u;
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scale: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> bases: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;
var<workgroup> partials: array<vec4<u32>, PARTIALS>; // [teams][4 rows][3 words][32 lanes and four]
var<workgroup> totals: array<atomic<u32>, TOTALS>; // [quads][4 rows][5 sums: of halves of words, and of the last]
${exactIntegers}${exactNumbers}${exact96}${exactRows}${exactRows32}${exactPower}${exactReciprocal}${exactRoot}${exactSilu}${exactWordOf}${exactWordsRow}${exactQuadRows}
fn own_quads() -> u32 { return TEAMS * params.quads; } // of a workgroup
fn load_group(quad: u32, unit: u32) -> vec4<u32> { return groups[quad * GROUPS + unit * UNIT / BLOCKS_PER_GROUP]; }
fn digit_sums(w: Rows, i: u32, unit: u32, p: u32) -> vec4<i32> { // Σ d_p q of four rows
  let x = x_of(2u * p, i, unit);
  let y = x_of(2u * p + 1u, i, unit);
  return vec4<i32>(dots(w.a, x, y), dots(w.b, x, y), dots(w.c, x, y), dots(w.d, x, y));
}
// Row 4 i … of the workgroup's quad i: what is paired has a quad of gate_proj and that of up_proj it goes with in turns.
fn quad_of(wg: u32, i: u32) -> u32 {
  if (params.paired == 1u) { return min(wg * own_quads() / 2u + i / 2u, params.n / 4u - 1u) + (i & 1u) * (params.n / 4u) + params.first / 4u; }
  return min(wg * own_quads() + i, params.n / 4u - 1u) + params.first / 4u;
}
fn total(wg: u32, i: u32, row: u32) -> u32 { // of row 4 i + row, rounded
  let at = (i * 4u + row) * 5u;
  let low = atomicLoad(&totals[at + 1u]);
  let high = atomicLoad(&totals[at + 3u]);
  var y = vec3<u32>(atomicLoad(&totals[at]), 0u, atomicLoad(&totals[at + 4u]));
  y = add96(y, vec3<u32>(low << 16u, low >> 16u, 0u));
  y = add96(y, vec3<u32>(0u, atomicLoad(&totals[at + 2u]), 0u));
  y = add96(y, vec3<u32>(0u, high << 16u, high >> 16u));
  return rn96(y, row_scale() - 24 + i32(select(bases[quad_of(wg, i)][row], 0u, WIDE)));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let team = tid / TEAM; let lane = tid % TEAM;
  let mine = team * params.quads;
  // 1. What comes from memory first, then the row.
  let n = select(wg.x * own_quads() * 4u, wg.x * own_quads() * 2u, params.paired == 1u) + tid;
  var before = 0u;
  if (params.adds == 1u) { before = out[min(n, params.n - 1u)]; }
  var quad = quad_of(wg.x, mine);
  var unit = min(lane, UNITS - 1u);
  var ahead = load_group(quad, unit); var base_ahead = bases[quad];
${perBlock((i) => `var r${i} = load_rows(quad, ${i === 0 ? "0u" : `min(${i}u, UNIT - 1u)`} * UNITS + unit);`)}
  for (var i = tid; i < TOTALS; i += LANES) { atomicStore(&totals[i], 0u); }
  begin(tid);
  if (tid < 8u) { atomicStore(&tops[tid], 0u); } // from here on the largest outputs
  for (var q = 0u; q < params.quads; q++) {
    let base = select(base_ahead, vec4<u32>(0u), vec4<bool>(WIDE));
    var c = Columns();
    for (var s = 0u; s < STEPS; s++) {
      // 2. Digit sums of a unit, the next one's weights on their way.
      let u = lane + s * TEAM;
      let own = unit;
      let group = ahead;
      let inside = s + 1u < STEPS;
      let more = inside || q + 1u < params.quads;
      if (more) {
        quad = quad_of(wg.x, mine + q + select(1u, 0u, inside));
        unit = min(lane + select(0u, s + 1u, inside) * TEAM, UNITS - 1u);
        ahead = load_group(quad, unit);
        base_ahead = bases[quad];
      }
      var d0 = vec4<i32>(0); var d1 = vec4<i32>(0); var d2 = vec4<i32>(0); var d3 = vec4<i32>(0);
${perBlock(
  (i) => `if (${i}u < UNIT) {
        let rows = r${i};
        if (more) { r${i} = load_rows(quad, ${i}u * UNITS + unit); }
        d0 += digit_sums(rows, ${i}u, own, 0u);
        d1 += digit_sums(rows, ${i}u, own, 1u);
        d2 += digit_sums(rows, ${i}u, own, 2u);
        if (P == 4u) { d3 += digit_sums(rows, ${i}u, own, 3u); }
      }`,
)}
      if (u < UNITS) {
        // 3. Zero points and signs; scales in units of 2^−24, or of the row's least exponent: bytes of 40 bits, or of 16.
        let sum = sum_of(own);
${exactQuadJoin}      }
    }
    // 4. Carries: each column leaves a byte.
${exactQuadCarries}    let w0 = (c.c0 & byte) | ((v1 & byte) << eight) | ((v2 & byte) << vec4<u32>(16u)) | (v3 << vec4<u32>(24u));
    var w1 = v4; // all there is above, unless scales are wide
    var w2 = v4 >> vec4<u32>(31u);
    if (WIDE) {
      w1 = (v4 & byte) | ((v5 & byte) << eight) | ((v6 & byte) << vec4<u32>(16u)) | (v7 << vec4<u32>(24u));
      w2 = v7 >> eight;
    }
    // 5. Words of all lanes, added by two lanes per row and word: all, less the upper halves, are the lower.
    for (var r = 0u; r < 4u; r++) {
      let at = team * 108u + r * 27u + lane / 4u;
      let i = lane % 4u;
      partials[at][i] = bitcast<u32>(w0[r]); partials[at + 9u][i] = bitcast<u32>(w1[r]); partials[at + 18u][i] = bitcast<u32>(w2[r]);
    }
    workgroupBarrier();
    if (lane < 24u) {
      let word = lane / 2u % 3u;
      let at = team * 108u + lane / 6u * 27u + word * 9u + lane % 2u * 4u;
      var four = vec4<u32>(0u); // modulo 2^32
      var upper = vec4<u32>(0u);
      for (var i = 0u; i < 4u; i++) {
        four += partials[at + i];
        upper += partials[at + i] >> vec4<u32>(16u);
      }
      var all = four.x + four.y + four.z + four.w;
      let high = upper.x + upper.y + upper.z + upper.w;
      let to = ((mine + q) * 4u + lane / 6u) * 5u + word * 2u;
      if (word < 2u) {
        all -= high << 16u;
        atomicAdd(&totals[to + 1u], high);
      }
      atomicAdd(&totals[to], all);
    }
    workgroupBarrier();
  }
  // 6. Rows, rounded once; of gate and up first one, then the other.
  if (tid < own_quads() * select(4u, 2u, params.paired == 1u) && n < params.n) {
    var gate = 0u;
    var y = 0u;
    for (var i = 0u; i <= params.paired; i++) {
      gate = y;
      y = total(wg.x, select(tid / 4u, tid / 4u * 2u + i, params.paired == 1u), tid % 4u);
      if (HAS_BIAS) { y = addf(y, bias[i * params.n + n]); }
    }
    if (params.paired == 1u) {
      y = mulf(siluf(gate), y);
      atomicMax(&tops[tid % 8u], y & 0x7fffffffu);
    }
    if (params.adds == 1u) { y = addf(before, y); }
    out[n] = y;
  }
  if (params.paired == 1u) {
    workgroupBarrier();
    if (tid == 0u) { out[params.n + wg.x] = largest(0u); }
  }
}
`,
  emits: ["HELD"],
  workgroupBytes: ({ K, P, unit, teams }) => wordsBytes(K, P, unit) + (1728 + 640) * teams,
  call: ({ K, N, P, groupSize, unit, firstRow, hasBias, adds, paired, spread, quads, teams, norm }) => ({
    params: {
      n: N,
      first: firstRow,
      adds: Number(adds),
      paired: Number(paired),
      quads,
      held: 4 * heldOf(K, teams),
      norm: Number(norm !== null),
      inverse: norm?.inverse ?? 0,
      eps: norm?.eps ?? 0,
    },
    overrides: { K, GROUP: groupSize, P, HAS_BIAS: hasBias, WIDE: spread > 5, TEAMS: teams, UNIT: unit },
    emitted: { HELD: `${heldOf(K, teams)}u` },
    workgroups: () => [workgroupsOf({ N, paired, teams, quads }), 1, 1],
  }),
  sizes: (shape) => ({
    x: 4 * shape.K,
    scale: shape.norm ? 4 * shape.K : 0,
    ...quadSizes(shape),
    out: 4 * (shape.N + (shape.paired ? workgroupsOf(shape) : 0)),
  }),
});
