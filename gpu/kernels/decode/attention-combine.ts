/**
 * Joins the splits of attention-decode.ts: x[h] = Σ_i e^(m_i − m) acc_i[h] / Σ_i e^(m_i − m) l_i, for o_proj
 * (awq-add-fixed16.ts). partial_ [splits, H · HEAD] in planes, stats [splits, H] (m, l); joined [H · HEAD] f32 in
 * planes. SPLITS: at most so many. One workgroup per head; HEAD / 4 threads per split, PARTS splits at a time, summed
 * in fixed order. HEAD a multiple of 8 up to 256. Workgroup memory 8 KiB + 4 SPLITS bytes. Limited by latency; splits
 * · H · HEAD · 4 bytes from the cache.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { planeBytes } from "../../wgsl/fixed16.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { splitsAt } from "./attention-decode.ts";

/** `splits`: the most there can be, `keys` and `atOnce` as attention-decode cuts them. */
export type CombineShape = Readonly<{ H: number; Hd: number; keys: number; splits: number; atOnce: number }>;

export const attentionCombine: Card<"partial_" | "stats" | "joined" | "step", CombineShape> = makeCard({
  name: "attention-combine",
  wgsl: /* wgsl */ `
${stepWgsl}
override H: u32 = 32u;
override HEAD: u32 = 128u;
override KEYS: u32 = 64u;
override AT_ONCE: u32 = 16u;
override SPLITS: u32 = 32u;
override WIDTH: u32 = HEAD / 4u;
override PARTS: u32 = 256u / WIDTH;
override BLOCKS: u32 = (H * HEAD + 31u) / 32u;

@group(0) @binding(0) var<storage, read> partial_: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> joined: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> step: Step;
var<workgroup> maxima: array<f32, 256>;
var<workgroup> factor: array<f32, SPLITS + 4 * PARTS>;
var<workgroup> mass: array<f32, 256>;
var<workgroup> sixteenths: array<f32, 16>;
var<workgroup> sums: array<vec4<f32>, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let splits = step.start / (KEYS * (step.start / (KEYS * AT_ONCE) + 1u)) + 1u;
  var m = -3e38;
  for (var i = tid; i < splits; i += 256u) { m = max(m, stats[i * H + wg.x].x); }
  maxima[tid] = m;
  workgroupBarrier();
  if (tid < 16u) {
    for (var i = tid; i < 256u; i += 16u) { m = max(m, maxima[i]); }
    sixteenths[tid] = m;
  }
  workgroupBarrier();
  for (var i = 0u; i < 16u; i++) { m = max(m, sixteenths[i]); }
  var l = 0.0;
  for (var i = tid; i < splits; i += 256u) {
    let s = stats[i * H + wg.x];
    let f = exp(s.x - m);
    factor[i] = f;
    l += f * s.y;
  }
  mass[tid] = l;
  // Heads of 8 have 512 of them.
  for (var i = tid; i < 4u * PARTS; i += 256u) { factor[splits + i] = 0.0; }
  workgroupBarrier();
  let part = tid / WIDTH;
  let lane = tid % WIDTH;
  let quad = wg.x * WIDTH + lane;
  let at = (quad & 7u) * BLOCKS + (quad >> 3u);
  var x = vec4<f32>(0.0);
  // What is left of 256 threads idles.
  for (var i = select(part, splits, part >= PARTS); i < splits; i += 4u * PARTS) {
    let a = partial_[i * (8u * BLOCKS) + at];
    let b = partial_[min(i + PARTS, splits - 1u) * (8u * BLOCKS) + at];
    let c = partial_[min(i + 2u * PARTS, splits - 1u) * (8u * BLOCKS) + at];
    let d = partial_[min(i + 3u * PARTS, splits - 1u) * (8u * BLOCKS) + at];
    x += (factor[i] * a + factor[i + PARTS] * b) + (factor[i + 2u * PARTS] * c + factor[i + 3u * PARTS] * d);
  }
  sums[tid] = x;
  if (tid < 16u) {
    var t = 0.0;
    for (var i = tid; i < 256u; i += 16u) { t += mass[i]; }
    sixteenths[tid] = t;
  }
  workgroupBarrier();
  if (tid < WIDTH) {
    for (var p = 1u; p < PARTS; p++) { x += sums[p * WIDTH + tid]; }
    var total = 0.0;
    for (var i = 0u; i < 16u; i++) { total += sixteenths[i]; }
    joined[at] = x / total;
  }
}
`,
  workgroupBytes({ Hd, splits }) {
    const parts = Math.floor(256 / (Hd / 4));
    return 4 * (256 + splits + 4 * parts + 256 + 16) + 16 * 256;
  },
  call: ({ H, Hd, keys, splits, atOnce }) => ({
    overrides: { H, HEAD: Hd, KEYS: keys, SPLITS: splits, AT_ONCE: atOnce },
    workgroups: () => [H, 1, 1],
  }),
  sizes({ H, Hd, keys, atOnce }, _T, start) {
    const splits = splitsAt(start, keys, atOnce);
    return { partial_: splits * planeBytes(H * Hd), stats: 8 * splits * H, joined: planeBytes(H * Hd) };
  },
});
