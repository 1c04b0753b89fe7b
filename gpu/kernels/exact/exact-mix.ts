/**
 * out[t, h, i] = mul(rn(Σ_s p̂_s v̂_si, e), 1/Z) over the positions that row FIRST + r of T sees: scores [rows, H, STRIDE] and stats as
 * exact-softmax.ts leaves them, values [S, G, 3 W]; out [T, H, Hd] words. One workgroup of 256 per head and row: W' lanes (W rounded up to a power
 * of two) take four components each, 256 / W' teams share the positions. Halves of p̂ times digits in columns of eight bits, then limbs of 16 that
 * all teams share. Workgroup memory: 64 W' bytes. Limited by integer instructions and values' memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { exactHeads, exactMixing, exactSeen } from "../../wgsl/exact-attention.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { columnOf, exactCacheBytes } from "./exact-rope.ts";
import { attentionOverrides, type ExactAttentionPart, rowsOf } from "./exact-scores.ts";

export const exactMix: Card<"step" | "scores" | "stats" | "values" | "out", ExactAttentionPart> = makeCard({
  name: "exact-mix",
  wgsl: /* wgsl */ `
${stepWgsl}
${exactHeads}
override WORDS: u32 = (HD + 3u) / 4u;
override COLUMN: u32 = 32u; // WORDS rounded up to a power of two
${exactSeen}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> scores: array<i32>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> values: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<u32>;
${exactIntegers}${exactNumbers}${exact96}${exactMixing}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let h = wg.x;
  let g = h * G / H;
  let t = min(FIRST + wg.y, step.T - 1u);
  let row = (wg.y * H + h) * STRIDE;
  let last = step.start + t;
  let first = select(0u, last + 1u - min(last + 1u, WINDOW), WINDOW <= last);
  let j = tid % COLUMN;
  let teams = 256u / COLUMN;
  clear_mixed(tid);
  workgroupBarrier();
  if (j < WORDS) {
    var s = first + tid / COLUMN;
    while (s <= last) {
      var c = Mixed();
      for (var i = 0u; i < MIXED_AT_ONCE && s <= last; i++) {
        let p = scores[row + s];
        let at = (s * G + g) * 3u * WORDS + j;
        if (p != 0) { c = mixed(c, p, vec3<u32>(values[at], values[at + WORDS], values[at + 2u * WORDS])); }
        s += teams;
      }
      put_mixed(c, j);
    }
  }
  workgroupBarrier();
  if (tid < HD && FIRST + wg.y < step.T) {
    let stat = stats[wg.y * H + h];
    out[(t * H + h) * HD + tid] = mulf(rn96(mixed_total(tid), bitcast<i32>(stat.x)), stat.y);
  }
}
`,
  workgroupBytes: ({ Hd }) => 64 * columnOf(Hd),
  call: (part) => ({
    overrides: { ...attentionOverrides(part), COLUMN: columnOf(part.Hd) },
    workgroups: (T) => [part.H, rowsOf(part, T), 1],
  }),
  sizes: (part, T, start) => ({
    scores: 4 * rowsOf(part, T) * part.H * part.stride,
    stats: 8 * rowsOf(part, T) * part.H,
    values: exactCacheBytes(part, start + T).values,
    out: 4 * T * part.H * part.Hd,
  }),
});
