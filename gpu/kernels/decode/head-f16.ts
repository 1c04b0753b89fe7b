/**
 * logits[FIRST + v] = Σ_k norm(x)[k] · W[v, k], W [V, K] f16 (a piece of the head's rows): the final norm's 1/rms and
 * lm_head, one row. scaled [K] residual ∘ norm in planes, blocks: as awq-add-fixed16.ts leaves them. f32 products and
 * sums. A workgroup of TEAM lanes owns 32 rows, four at a time, the next four on their way; lane l takes k = 8 (l +
 * TEAM i) + {0 … 7}. Rows' sums: a tree of fixed shape. K % 32 = 0. Workgroup memory at TEAM 64: 4 KiB. Limited by
 * memory (V · K · 2 bytes).
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { blockBytes, fixed16MeanSquare, fixed16Sums } from "../../wgsl/fixed16.ts";

/** A piece of the head: rows firstRow … firstRow + rows − 1 of V. */
export type HeadShape = Readonly<{ K: number; eps: number; firstRow: number; rows: number }>;

export const headF16: Card<"scaled" | "blocks" | "weights" | "logits", HeadShape> = makeCard({
  name: "head-f16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override V: u32 = 32000u;
override FIRST: u32 = 0u;
override EPS: f32 = 1e-5;
override TEAM: u32 = 64u;
override BLOCKS: u32 = K / 32u;
override OCTETS: u32 = K / 8u;
override STEPS: u32 = (K / 8u + TEAM - 1u) / TEAM;

@group(0) @binding(0) var<storage, read> scaled: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;
var<workgroup> partials: array<f32, 8 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 32 * (TEAM / 4 + 1)>;
var<workgroup> sixteenths: array<f32, 16>;
${fixed16Sums}${fixed16MeanSquare}
fn octet(w: vec4<u32>, a: vec4<f32>, b: vec4<f32>) -> f32 {
  let p = vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
  let q = vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w));
  return dot(p, a) + dot(q, b);
}
struct Rows { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32> }
fn load_rows(row: u32, o: u32) -> Rows {
  let at = min(o, OCTETS - 1u);
  return Rows(weights[min(row, V - 1u) * OCTETS + at], weights[min(row + 1u, V - 1u) * OCTETS + at],
              weights[min(row + 2u, V - 1u) * OCTETS + at], weights[min(row + 3u, V - 1u) * OCTETS + at]);
}
@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wg.x * 32u;
  var rows = load_rows(row, lane);
  put_square(lane);
  var s = vec4<f32>(0.0);
  for (var step = 0u; step < 8u * STEPS; step++) {
    let o = lane + (step % STEPS) * TEAM;
    var next = rows;
    if (step + 1u < 8u * STEPS) { next = load_rows(row + 4u * ((step + 1u) / STEPS), lane + ((step + 1u) % STEPS) * TEAM); }
    if (o < OCTETS) {
      let at = ((2u * o) & 7u) * BLOCKS + o / 4u;
      let a = scaled[at];
      let b = scaled[at + BLOCKS];
      s += vec4<f32>(octet(rows.a, a, b), octet(rows.b, a, b), octet(rows.c, a, b), octet(rows.d, a, b));
    }
    rows = next;
    if ((step + 1u) % STEPS == 0u) {
      let quad = step / STEPS;
      let base = (quad & 1u) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[(quad * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  if (lane < 32u) {
    let logit = row_total(lane) * inverseSqrt(mean_square() + EPS);
    if (row + lane < V) { logits[FIRST + row + lane] = logit; }
  }
}
`,
  workgroupBytes: 4 * (8 * (64 + 4) + 32 * (64 / 4 + 1) + 16),
  call: ({ K, eps, firstRow, rows }) => ({
    overrides: { K, V: rows, FIRST: firstRow, EPS: eps },
    workgroups: () => [Math.ceil(rows / 32), 1, 1],
  }),
  sizes: ({ K, firstRow, rows }) => ({ scaled: 4 * K, blocks: blockBytes(K), weights: 2 * rows * K, logits: 4 * (firstRow + rows) }),
});
