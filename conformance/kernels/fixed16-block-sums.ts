/** The arithmetic of the fixed16 kernels by itself: no kernel of the tree gives its block sums out. */
import { type Card, makeCard } from "../../gpu/pipeline/kernel.ts";
import { packedSizes } from "../../gpu/wgsl/awq.ts";
import { blockOf, fixed16FromValues, fixed16Quantize, fixed16Rows, inPlanes } from "../../gpu/wgsl/fixed16.ts";
import { halves } from "../cases/words.ts";
import type { BlockSumsCase } from "../ops/awq-block-sums.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/**
 * The functions that every fixed16 kernel is made of, for four rows of a block: its block sums never leave those
 * kernels.
 */
type Shape = Readonly<{ K: number; N: number; groupSize: number }>;

const blockSums: Card<"x" | "weights" | "groups" | "scales" | "sums" | "products", Shape> = makeCard({
  name: "fixed16-block-sums",
  wgsl: /* wgsl */ `
override BLOCKS: u32 = 1u;
override GROUPS: u32 = 1u;
override BLOCKS_PER_GROUP: u32 = 1u;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> sums: array<i32>;
@group(0) @binding(5) var<storage, read_write> products: array<i32>;
${fixed16Quantize}${fixed16Rows}${blockOf("x")}${fixed16FromValues}
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let b = id.x;
  if (b >= BLOCKS) { return; }
  let d = digits_of(load_block(b));
  let r = load_rows(4u * id.y, b);
  let z = vec4<i32>(r.g >> vec4<u32>(16u));
  scales[b] = bitcast<u32>(d.scale);
  sums[b] = d.sum;
  let at = 4u * id.y * BLOCKS + b;
  products[at] = block_sum(r.a, z.x, d);
  products[at + BLOCKS] = block_sum(r.b, z.y, d);
  products[at + 2u * BLOCKS] = block_sum(r.c, z.z, d);
  products[at + 3u * BLOCKS] = block_sum(r.d, z.w, d);
}
`,
  call: ({ K, N, groupSize }) => ({
    overrides: { BLOCKS: K / 32, GROUPS: K / groupSize, BLOCKS_PER_GROUP: groupSize / 32 },
    workgroups: () => [Math.ceil(K / 1024), N / 4, 1],
  }),
  sizes: ({ K, N, groupSize }) => ({ x: 4 * K, ...packedSizes(K, N, groupSize), scales: K / 8, sums: K / 8, products: (N * K) / 8 }),
});

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<BlockSumsCase>(
    blockSums,
    async ({ x, weight }, out) => {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const read = await runKernel(rig, 1, 0, (io) => {
        io.run(blockSums, { K, N, groupSize }, { x: inPlanes(x), ...packed(io, [weight]) });
      });
      hand(
        out,
        Object.values(read).flatMap((words) => [...halves(inside(words))]),
        read,
      );
    },
    { op: "awq-block-sums", kernels: [] },
  ),
];
