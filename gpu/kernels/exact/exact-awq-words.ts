/**
 * exact-awq-row.ts of a row of words instead of digits, which each workgroup makes for itself (gpu/wgsl/exact-words.ts):
 * of x [K] words, or behind a norm of mul(mul(x[k], r), scale[k]), r as exact-norm.ts has it; so no dispatch for norm or
 * digits stands between two linears. Teams of 32 lanes take the steps of a workgroup's quads of rows in turns
 * (gpu/wgsl/exact-pairs.ts), a step's first weights on their way before the row. Nothing in that loop makes a team wait
 * for others, so that some load while others compute. K % 32 = 0, K ≤ 32,768. What sets the linears of a layer apart
 * comes from a uniform: all weights pass through a device's caches for each token, and instructions with them; what is
 * compiled once is at hand when it is wanted again. What is paired leaves the largest of each workgroup's outputs behind
 * them, [N + workgroups] words, for who makes the digits of that row (exact-handed-digits.ts). Workgroup memory: P K bytes
 * of digits, K / 8 of sums where UNIT is 4, 1.5 KiB per team. Limited by memory (N · K / 2 bytes) and the row's latency.
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
import { exactPairRows, exactPairSizes, exactPairSums, quadSums } from "../../wgsl/exact-pairs.ts";
import { exactPairJoin } from "../../wgsl/exact-quads.ts";
import { exactWordOf } from "../../wgsl/exact-row.ts";
import { exactWordsRow, exactWordsSizes, wordsBytes } from "../../wgsl/exact-words.ts";
import type { WorkgroupLimits } from "../../wgsl/teams.ts";
import { type ExactAwqRowShape, quadSizes } from "./exact-awq-row.ts";

/**
 * As of exact-awq-row.ts; `norm`: words of rn(1/K) and of eps, null for x as it is; `teams` of 32 lanes; `quads` of a
 * workgroup, at most four a team, even where paired.
 */
export type ExactAwqWordsShape = Omit<ExactAwqRowShape, "split"> &
  Readonly<{ norm: Readonly<{ inverse: number; eps: number }> | null; teams: number }>;

/** One workgroup for each multiprocessor of an NVIDIA H100 or H200: what each makes of the row is made as few times as can be. */
const WORKGROUPS = 132;
/** With more a lane has too few registers there. */
const MOST_TEAMS = 16;
const FEWEST_TEAMS = 4;
const QUADS_A_TEAM = 4;
/** Sums that a workgroup has room for. */
const sumsOf = ({ teams, spread }: Pick<ExactAwqWordsShape, "teams" | "spread">): number => QUADS_A_TEAM * teams * quadSums(spread > 5);
/** Words behind a row of N for what its workgroups leave, however they are cut: two quads each at least. */
export const mostLeft = (N: number): number => Math.ceil(N / 4);

/** Teams and quads for so many rows, as a device allows them; null where the row does not fit. */
export function tuneWords(
  shape: Omit<ExactAwqWordsShape, "teams" | "quads">,
  { invocations, bytes }: WorkgroupLimits,
): ExactAwqWordsShape | null {
  const quads = (shape.paired ? 2 * shape.N : shape.N) / 4;
  const pairs = Math.ceil(quads / WORKGROUPS / 2);
  for (let teams = Math.min(MOST_TEAMS, Math.floor(invocations / 64) * 2); teams >= FEWEST_TEAMS; teams -= 2) {
    const tuned = { ...shape, teams, quads: Math.min(QUADS_A_TEAM * teams, 2 * pairs) };
    if (workgroupBytes(exactAwqWords, tuned) <= bytes) return tuned;
  }
  return null;
}

/** Workgroups, of which those of what is paired each leave a word. */
export const workgroupsOf = ({ N, paired, quads }: Pick<ExactAwqWordsShape, "N" | "paired" | "quads">): number =>
  Math.ceil((paired ? 2 * N : N) / 4 / quads);

/** Items of eight neighbours that each lane holds. */
const heldOf = (K: number, teams: number): number => Math.ceil(K / 8 / (32 * teams));

const perBlock = (line: (i: number) => string): string => [0, 1, 2, 3].map((i) => `    ${line(i)}`).join("\n");

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
override UNIT: u32 = 4u; // blocks of a group that a lane takes together
${exactPairSizes}${exactWordsSizes}override LANES: u32 = 32u * TEAMS;
const TEAM = 32u;
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scale: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<u32>;
@group(0) @binding(4) var<storage, read> bases: array<u32>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;
${exactIntegers}${exactNumbers}${exact96}${exactRows}${exactRows32}${exactPower}${exactReciprocal}${exactRoot}${exactSilu}${exactWordOf}${exactWordsRow}${exactPairRows}${exactPairSums}
fn digit_sums(w: Rows, i: u32, unit: u32, p: u32) -> vec2<i32> { // Σ d_p q of two rows
  let x = x_of(2u * p, i, unit);
  let y = x_of(2u * p + 1u, i, unit);
  return vec2<i32>(dots(w.a, x, y), dots(w.b, x, y));
}
// Row 4 i … of the workgroup's quad i: what is paired has a quad of gate_proj and that of up_proj it goes with in turns.
fn quad_of(wg: u32, i: u32) -> u32 {
  if (params.paired == 1u) { return min(wg * params.quads / 2u + i / 2u, params.n / 4u - 1u) + (i & 1u) * (params.n / 4u) + params.first / 4u; }
  return min(wg * params.quads + i, params.n / 4u - 1u) + params.first / 4u;
}
fn total(wg: u32, i: u32, row: u32) -> u32 { // of row 4 i + row, rounded
  return rn96(total_of(i, row), row_scale() - 24 + i32(select(bases[4u * quad_of(wg, i) + row] & 255u, 0u, WIDE)));
}
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % TEAM;
  let h = lane & 1u;
  let items = params.quads * STEPS;
  // 1. What comes from memory first, then the row.
  let n = select(wg.x * params.quads * 4u, wg.x * params.quads * 2u, params.paired == 1u) + tid;
  var before = 0u;
  if (params.adds == 1u) { before = out[min(n, params.n - 1u)]; }
  var item = min(tid / TEAM, items - 1u);
  var quad = quad_of(wg.x, item / STEPS);
  var unit = min(lane / 2u + item % STEPS * 16u, UNITS - 1u);
  var ahead = load_group(quad, unit, h); var base_ahead = load_bases(quad, h);
${perBlock((i) => `var r${i} = load_rows(quad, min(${i}u, UNIT - 1u) * UNITS + unit, h);`)}
  for (var i = tid; i < TOTALS; i += LANES) { atomicStore(&totals[i], 0u); }
  begin(tid);
  if (tid < 8u) { atomicStore(&tops[tid], 0u); } // from here on the largest outputs
  for (item = tid / TEAM; item < items; item += TEAMS) {
    // 2. Digit sums of a unit, the next step's weights on their way.
    let base = select(base_ahead, vec2<u32>(0u), vec2<bool>(WIDE));
    let group = ahead;
    let own = unit;
    let u = lane / 2u + item % STEPS * 16u;
    let next = item + TEAMS;
    let more = next < items;
    if (more) {
      quad = quad_of(wg.x, next / STEPS);
      unit = min(lane / 2u + next % STEPS * 16u, UNITS - 1u);
      ahead = load_group(quad, unit, h);
      base_ahead = load_bases(quad, h);
    }
    var d0 = vec2<i32>(0); var d1 = vec2<i32>(0); var d2 = vec2<i32>(0); var d3 = vec2<i32>(0);
${perBlock(
  (i) => `if (${i}u < UNIT) {
      let rows = r${i};
      if (more) { r${i} = load_rows(quad, ${i}u * UNITS + unit, h); }
      d0 += digit_sums(rows, ${i}u, own, 0u);
      d1 += digit_sums(rows, ${i}u, own, 1u);
      d2 += digit_sums(rows, ${i}u, own, 2u);
      if (P == 4u) { d3 += digit_sums(rows, ${i}u, own, 3u); }
    }`,
)}
    // 3. Zero points and signs; scales in units of 2^−24, or of the row's least exponent: bytes of 40 bits, or of 16.
    var c = Columns();
    if (u < UNITS) {
      let sum = sum_of(own);
${exactPairJoin}    }
    add_columns(c, item / STEPS, h, lane);
  }
  workgroupBarrier();
  // 4. Rows, rounded once; of gate and up first one, then the other.
  if (tid < params.quads * select(4u, 2u, params.paired == 1u) && n < params.n) {
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
  workgroupBytes: ({ K, P, unit, ...how }) => wordsBytes(K, P, unit) + 4 * sumsOf(how),
  call: ({ K, N, P, groupSize, unit, firstRow, hasBias, adds, paired, spread, quads, teams, norm }) => ({
    params: {
      n: N,
      first: firstRow,
      adds: Number(adds),
      paired: Number(paired),
      quads,
      held: 2 * heldOf(K, teams),
      norm: Number(norm !== null),
      inverse: norm?.inverse ?? 0,
      eps: norm?.eps ?? 0,
    },
    overrides: { K, GROUP: groupSize, P, HAS_BIAS: hasBias, WIDE: spread > 5, TEAMS: teams, UNIT: unit, TOTALS: sumsOf({ teams, spread }) },
    emitted: { HELD: `${heldOf(K, teams)}u` },
    workgroups: () => [workgroupsOf({ N, paired, quads }), 1, 1],
  }),
  sizes: (shape) => ({
    x: 4 * shape.K,
    scale: shape.norm ? 4 * shape.K : 0,
    ...quadSizes(shape),
    out: 4 * (shape.N + (shape.paired ? workgroupsOf(shape) : 0)),
  }),
});
