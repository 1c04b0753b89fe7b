/**
 * How the linears of one row sum: a workgroup has TEAMS teams of TEAM lanes, a team QUADS quads of rows; a lane takes
 * units lane, lane + TEAM, … of K (products.ts) of a quad at a time, the next unit's loads on their way, and what it
 * has summed of a quad goes to workgroup memory.
 */

/**
 * sum_rows(workgroup, tid), then row_total(r) of row r of the workgroup's 4 · TEAMS · QUADS: a tree of fixed shape, so
 * a row's bits depend on TEAM alone. TEAM lanes' partial sums of a quad become TEAM / 4 sums of four a row (`quarters`,
 * one row apart TEAM / 4 + 1 words), and these eight, by all lanes at once: where a compiler keeps the loop, as naga's
 * text makes it, a lane that adds a whole row waits for each word. Partials alternate between two halves: one barrier a
 * quad of rows. Wants the functions of a product, TEAMS, QUADS (every override before this text: naga 29 panics at one
 * behind an array whose size is one), row_of(workgroup, team, quad), the first row of a quad, and meanwhile(tid), what is
 * done while the first loads are on their way.
 */
export const teamSums = /* wgsl */ `override TEAM: u32 = 128u;
override STEPS: u32 = (UNITS + TEAM - 1u) / TEAM;
var<workgroup> partials: array<f32, 8 * TEAMS * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 4 * TEAMS * QUADS * (TEAM / 4 + 1)>;
fn put_partials(at: u32, s: vec4<f32>) {
  partials[at] = s.x; partials[at + (TEAM + 4u)] = s.y; partials[at + 2u * (TEAM + 4u)] = s.z; partials[at + 3u * (TEAM + 4u)] = s.w;
}
fn sum_of_four(base: u32, lane: u32) -> f32 {
  let at = base + (lane & 3u) * (TEAM + 4u) + (lane >> 2u);
  return (partials[at] + partials[at + TEAM / 4u]) + (partials[at + TEAM / 2u] + partials[at + 3u * (TEAM / 4u)]);
}
fn sum_rows(wg: u32, tid: u32) {
  let team = tid / TEAM;
  let lane = tid % TEAM;
  var rows = load_rows(row_of(wg, team, 0u), min(lane, UNITS - 1u));
  var x = load_x(min(lane, UNITS - 1u));
  meanwhile(tid);
  var s = vec4<f32>(0.0);
  for (var turn = 0u; turn < QUADS * STEPS; turn++) {
    let u = lane + (turn % STEPS) * TEAM;
    var next = rows;
    if (turn + 1u < QUADS * STEPS) {
      next = load_rows(row_of(wg, team, (turn + 1u) / STEPS), min(lane + ((turn + 1u) % STEPS) * TEAM, UNITS - 1u));
    }
    if (STEPS > 1u && turn > 0u) { x = load_x(min(u, UNITS - 1u)); }
    let t = join(rows, x);
    if (u < UNITS) { s += t; }
    rows = next;
    if ((turn + 1u) % STEPS == 0u) {
      let quad = turn / STEPS;
      let base = ((quad & 1u) * TEAMS + team) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[((team * QUADS + quad) * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  for (var item = tid; item < 32u * TEAMS * QUADS; item += TEAM * TEAMS) {
    let at = (item >> 3u) * (TEAM / 4u + 1u) + (item & 7u);
    var t = 0.0;
    for (var i = 0u; i < TEAM / 4u; i += 8u) { t += quarters[at + i]; }
    quarters[at] = t;
  }
  workgroupBarrier();
}
fn row_total(row: u32) -> f32 {
  let i = row * (TEAM / 4u + 1u);
  return ((quarters[i] + quarters[i + 1u]) + (quarters[i + 2u] + quarters[i + 3u])) + ((quarters[i + 4u] + quarters[i + 5u]) + (quarters[i + 6u] + quarters[i + 7u]));
}
fn four_totals(row: u32) -> vec4<f32> { return vec4<f32>(row_total(row), row_total(row + 1u), row_total(row + 2u), row_total(row + 3u)); }
`;

/** Bytes of workgroup memory that the sums of `teams` teams take, of `quads` quads of rows each. */
export const teamBytes = (team: number, teams: number, quads: number): number =>
  4 * (8 * teams * (team + 4) + 4 * teams * quads * (team / 4 + 1));
