/**
 * x[t] = f16(y[t]) in eights (wgsl/eights.ts); y [T, K] f32: the attention's result on its way into o_proj. SPLITS > 1: y[t]
 * is Σ_z w_z y[64 z + t] / Σ_z w_z for each head of HEAD columns, w_z = Σ_z exp(m_z − max m), (m_z, Σ_z) = stats[z, t, head]:
 * what attention-prefill-matrix.ts leaves of at most 64 rows. One invocation eight values. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { eightsWgsl, eightsWords, wordWgsl } from "../../wgsl/eights.ts";
import { SPLIT_ROWS } from "./attention-prefill-matrix.ts";

/** K a multiple of 8; with several `splits` of heads of Hd, a multiple of 8; for one `stats` is bound, and not read; `panels`: x comes in panels. */
export type PrefillRowsShape = Readonly<{ K: number; splits?: number; Hd?: number; panels?: boolean }>;

export const prefillRowsF16: Card<"y" | "stats" | "x", PrefillRowsShape> = makeCard({
  name: "prefill-rows-f16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override SPLITS: u32 = 1u;
override HEAD: u32 = 128u;
override HEADS: u32 = K / HEAD;

@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<u32>>;
${eightsWgsl}
${wordWgsl}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row = wg.x * (K / 8u);
  let i = wg.y * 256u + tid;
  if (i < K / 8u) {
    let at = 2u * (row + i);
    if (SPLITS == 1u) {
      x[word_of(wg.x, i, K)] = eight(y[at], y[at + 1u]);
    } else {
      let head = wg.x * HEADS + 8u * i / HEAD;
      var most = stats[head].x;
      for (var z = 1u; z < SPLITS; z++) { most = max(most, stats[head + z * (64u * HEADS)].x); }
      var low = vec4<f32>(0.0);
      var high = vec4<f32>(0.0);
      var total = 0.0;
      for (var z = 0u; z < SPLITS; z++) {
        let s = stats[head + z * (64u * HEADS)];
        // A part that a row sees nothing of has no sum, and its rows are not read.
        if (s.y > 0.0) {
          let weight = s.y * exp(s.x - most);
          low += weight * y[at + z * (16u * K)];
          high += weight * y[at + z * (16u * K) + 1u];
          total += weight;
        }
      }
      x[word_of(wg.x, i, K)] = eight(low / total, high / total);
    }
  }
}
`,
  call: ({ K, splits = 1, Hd = K, panels = false }) => ({
    overrides: { K, SPLITS: splits, HEAD: Hd, PANELS: panels },
    workgroups: (T) => [T, Math.ceil(K / 2048), 1],
  }),
  sizes: ({ K, splits = 1, Hd = K, panels = false }, T) => ({
    y: 4 * ((splits - 1) * SPLIT_ROWS + T) * K,
    stats: splits > 1 ? 8 * ((splits - 1) * SPLIT_ROWS + T) * (K / Hd) : 0,
    x: 16 * eightsWords(T, K, panels),
  }),
});
