/** x[i] = add(x[i], y[i]) in `exact`; [T, width] words each. For traces: elsewhere the linear's kernel adds. Limited by latency. */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers } from "../../wgsl/exact.ts";

/** Rows of so many words. */
export type ExactWidth = Readonly<{ width: number }>;

export const exactAdd: Card<"x" | "y", ExactWidth> = makeCard({
  name: "exact-add",
  wgsl: /* wgsl */ `
struct Params { width: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;
${exactIntegers}${exactNumbers}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = wg.x * 64u + lane;
  if (i < params.width) {
    let at = wg.y * params.width + i;
    x[at] = addf(x[at], y[at]);
  }
}
`,
  call: ({ width }) => ({ params: { width }, workgroups: (T) => [Math.ceil(width / 64), T, 1] }),
  sizes: ({ width }, T) => ({ x: 4 * T * width, y: 4 * T * width }),
});
