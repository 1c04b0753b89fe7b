/**
 * out[t, h] = Σ_s softmax_s(q[t, h] · k[s]) v[s], causal, T queries from step.start on, by subgroup matrices: f16
 * operands, f32 sums. q [T, H · HEAD] f16, already · 1/√HEAD; k_cache, v_cache [S, G, HEAD] f16; out [T, H · HEAD] f32.
 * HEAD 32 to 128 in steps of 16; q and out have room for T rounded up to 64 rows, the caches for start plus that, rounded up to 64
 * again; finite f16 wherever they were never written. Two passes over the keys: the first finds each row's largest
 * score and Σ exp, the second recomputes the scores and sums P · V, so the accumulators, whose elements WGSL cannot
 * reach, never need rescaling: half as many products again for no traffic. The tiles are those of HEAD = 128: for less,
 * the columns beyond it are zero in keys and values, and what q has there counts for nothing. Work: a workgroup of four
 * subgroups 64 queries of one head, a subgroup 16 of them; keys by 64, staged. Workgroup memory 44 KB. Limit: loads of
 * the matrices' operands from workgroup memory, each used once.
 */
import { f16Matrix } from "../../device/capabilities.ts";
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { stepWgsl } from "../../wgsl/step.ts";

/** Rows of a workgroup, and of a split. */
export const SPLIT_ROWS = 64;

/** Hd 32 to 128 in steps of 16; the keys in so many `splits`, of at most 64 rows; `stats` is bound, and not reached, for one. */
export type PrefillAttentionShape = Readonly<{ H: number; G: number; Hd: number; window: number | null; splits?: number }>;

export const attentionPrefillMatrix: Card<"q" | "k_cache" | "v_cache" | "out" | "stats" | "step", PrefillAttentionShape> = makeCard({
  name: "attention-prefill-matrix",
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [f16Matrix],
  limits: { maxComputeWorkgroupStorageSize: 45056 },
  wgsl: /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override WINDOW: u32 = 0xffffffffu;
override HEAD: u32 = 128u;
override SPLITS: u32 = 1u;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

@group(0) @binding(0) var<storage, read> q: array<f16>;
@group(0) @binding(1) var<storage, read> k_cache: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> v_cache: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> step: Step;
var<workgroup> staged: array<vec4<u32>, 64 * 17>;
var<workgroup> scores: array<vec4<f32>, 4 * 16 * 18>;
var<workgroup> p: array<vec4<u32>, 4 * 16 * 9>;

fn octet(cache: ptr<storage, array<vec4<u32>>, read>, position: u32, kv: u32, i: u32) -> vec4<u32> {
  if (8u * i >= HEAD) { return vec4<u32>(0u); }
  return cache[(position * G + kv) * (HEAD / 8u) + i];
}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let head = wg.y;
  let kv = head / (H / G);
  let t0 = wg.x * 64u + sg * 16u;
  let row = lane >> 1u;
  let half = lane & 1u;
  let position = step.start + t0 + row;
  let tiles = (step.start + wg.x * 64u + 63u) / 64u + 1u;
  let part = (tiles + SPLITS - 1u) / SPLITS;
  let base = sg * 16u * 18u;
  let a0 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 0u % HEAD, H * HEAD);
  let a1 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 16u % HEAD, H * HEAD);
  let a2 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 32u % HEAD, H * HEAD);
  let a3 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 48u % HEAD, H * HEAD);
  let a4 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 64u % HEAD, H * HEAD);
  let a5 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 80u % HEAD, H * HEAD);
  let a6 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 96u % HEAD, H * HEAD);
  let a7 = subgroupMatrixLoad<Left, row_major>(&q, (t0 * H + head) * HEAD + 112u % HEAD, H * HEAD);
  var m = -3e38;
  var l = 0.0;
  var o0 = Sum(0.0); var o1 = Sum(0.0); var o2 = Sum(0.0); var o3 = Sum(0.0); var o4 = Sum(0.0); var o5 = Sum(0.0); var o6 = Sum(0.0); var o7 = Sum(0.0);
  for (var pass_ = 0u; pass_ < 2u; pass_++) {
    for (var tile = wg.z * part; tile < min((wg.z + 1u) * part, tiles); tile++) {
      for (var i = tid; i < 1024u; i += 128u) { staged[(i >> 4u) * 17u + (i & 15u)] = octet(&k_cache, 64u * tile + (i >> 4u), kv, i & 15u); }
      workgroupBarrier();
      for (var j = 0u; j < 4u; j++) {
        let from_ = 16u * j * 17u;
        var c = Sum(0.0);
        c = subgroupMatrixMultiplyAccumulate(a0, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 0u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a1, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 2u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a2, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 4u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a3, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 6u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a4, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 8u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a5, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 10u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a6, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 12u, 17u), c);
        c = subgroupMatrixMultiplyAccumulate(a7, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 14u, 17u), c);
        subgroupMatrixStore<row_major>(&scores, base + 4u * j, c, 18u);
      }
      workgroupBarrier();
      var s: array<vec4<f32>, 8>;
      // Eight keys at a time, the fours of which two neighbours read in opposite orders: no two of eight rows meet one bank.
      for (var i = 0u; i < 8u; i++) {
        let four = 4u * (i >> 1u) + 2u * half + ((half + i) & 1u);
        let key = vec4<u32>(64u * tile + 4u * four) + vec4<u32>(0u, 1u, 2u, 3u);
        let alive = (key <= vec4<u32>(position)) & (vec4<u32>(position) - key < vec4<u32>(WINDOW));
        s[i] = select(vec4<f32>(-3e38), scores[base + row * 18u + four], alive);
      }
      if (pass_ == 0u) {
        var big = s[0];
        for (var i = 1u; i < 8u; i++) { big = max(big, s[i]); }
        let next = max(m, max(max(big.x, big.y), max(big.z, big.w)));
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < 8u; i++) { sum += select(vec4<f32>(0.0), exp(s[i] - next), s[i] > vec4<f32>(-3e38)); }
        l = l * exp(m - next) + ((sum.x + sum.y) + (sum.z + sum.w));
        m = next;
      } else {
        for (var i = 0u; i < 4u; i++) {
          let e = select(vec4<f32>(0.0), exp(s[2u * i] - m) * l, s[2u * i] > vec4<f32>(-3e38));
          let f = select(vec4<f32>(0.0), exp(s[2u * i + 1u] - m) * l, s[2u * i + 1u] > vec4<f32>(-3e38));
          let read = vec4<u32>(pack2x16float(e.xy), pack2x16float(e.zw), pack2x16float(f.xy), pack2x16float(f.zw));
          p[(sg * 16u + row) * 9u + 2u * i + half] = select(read, read.zwxy, half == 1u);
        }
        for (var i = tid; i < 1024u; i += 128u) { staged[(i >> 4u) * 17u + (i & 15u)] = octet(&v_cache, 64u * tile + (i >> 4u), kv, i & 15u); }
        workgroupBarrier();
        for (var j = 0u; j < 4u; j++) {
          let b = subgroupMatrixLoad<Left, row_major>(&p, sg * 16u * 9u + 2u * j, 9u);
          let from_ = 16u * j * 17u;
          o0 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 0u, 17u), o0);
          o1 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 2u, 17u), o1);
          o2 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 4u, 17u), o2);
          o3 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 6u, 17u), o3);
          o4 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 8u, 17u), o4);
          o5 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 10u, 17u), o5);
          o6 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 12u, 17u), o6);
          o7 = subgroupMatrixMultiplyAccumulate(b, subgroupMatrixLoad<Right, row_major>(&staged, from_ + 14u, 17u), o7);
        }
        workgroupBarrier();
      }
    }
    if (pass_ == 0u) {
      let other_m = subgroupShuffleXor(m, 1u);
      let other_l = subgroupShuffleXor(l, 1u);
      let big = max(m, other_m);
      let total = l * exp(m - big) + other_l * exp(other_m - big);
      if (SPLITS > 1u && half == 0u) { stats[(wg.z * 64u + t0 + row) * H + head] = vec2<f32>(big, total); }
      l = 1.0 / total;
      m = big;
    }
  }
  let at = ((wg.z * 64u + t0) * H + head) * HEAD;
  subgroupMatrixStore<row_major>(&out, at + 0u, o0, H * HEAD);
  subgroupMatrixStore<row_major>(&out, at + 16u, o1, H * HEAD);
  if (HEAD > 32u) { subgroupMatrixStore<row_major>(&out, at + 32u, o2, H * HEAD); }
  if (HEAD > 48u) { subgroupMatrixStore<row_major>(&out, at + 48u, o3, H * HEAD); }
  if (HEAD > 64u) { subgroupMatrixStore<row_major>(&out, at + 64u, o4, H * HEAD); }
  if (HEAD > 80u) { subgroupMatrixStore<row_major>(&out, at + 80u, o5, H * HEAD); }
  if (HEAD > 96u) { subgroupMatrixStore<row_major>(&out, at + 96u, o6, H * HEAD); }
  if (HEAD > 112u) { subgroupMatrixStore<row_major>(&out, at + 112u, o7, H * HEAD); }
}
`,
  workgroupBytes: 16 * 64 * (17 + 18 + 9),
  call: ({ H, G, Hd, window, splits = 1 }) => ({
    overrides: { H, G, HEAD: Hd, WINDOW: window ?? 0xffffffff, SPLITS: splits },
    workgroups: (T) => [Math.ceil(T / SPLIT_ROWS), H, splits],
  }),
  sizes({ H, G, Hd, splits = 1 }, T, start) {
    const rows = SPLIT_ROWS * Math.ceil(T / SPLIT_ROWS);
    const cache = 2 * 64 * Math.ceil((start + rows) / 64) * G * Hd;
    const stats = splits > 1 ? 8 * splits * rows * H : 0;
    return { q: 2 * rows * H * Hd, k_cache: cache, v_cache: cache, out: 4 * splits * rows * H * Hd, stats };
  },
});
