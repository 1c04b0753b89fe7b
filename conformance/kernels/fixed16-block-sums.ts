/** The arithmetic of the fixed16 kernels by itself: no kernel of the tree gives its block sums out. */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { fixed16FromValues, fixed16Quantize, fixed16Rows, inPlanes } from "../../gpu/wgsl/fixed16.ts";
import { halves } from "../cases/words.ts";
import type { BlockSumsCase } from "../ops/awq-block-sums.ts";
import { packed } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/**
 * The functions that every fixed16 kernel is made of, for four rows of a block: its block sums never leave those
 * kernels.
 */
const blockSums: Kernel = {
  name: "fixed16-block-sums",
  bindings: { x: "read", weights: "read", groups: "read", scales: "readWrite", sums: "readWrite", products: "readWrite" },
  params: {},
  overrides: { BLOCKS: "u32", GROUPS: "u32", BLOCKS_PER_GROUP: "u32" },
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
${fixed16Quantize}${fixed16Rows}${fixed16FromValues}
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let b = id.x;
  if (b >= BLOCKS) { return; }
  let d = digits_of(Block(x[b], x[BLOCKS + b], x[2u * BLOCKS + b], x[3u * BLOCKS + b],
                          x[4u * BLOCKS + b], x[5u * BLOCKS + b], x[6u * BLOCKS + b], x[7u * BLOCKS + b]));
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
};

export const subjects = (rig: Rig): AnyGpuSubject[] => [
  subject<BlockSumsCase>(
    blockSums,
    async ({ x, weight }, out) => {
      const [K, N] = [weight.inFeatures, weight.outFeatures];
      const read = await runKernel(rig, 1, 0, (io) => {
        const outputs = {
          scales: io.output("scales", K / 32),
          sums: io.output("sums", K / 32),
          products: io.output("products", (N * K) / 32),
        };
        io.record({
          kernel: blockSums,
          buffers: { x: io.input("x", inPlanes(x)), ...packed(io, [weight]), ...outputs },
          params: {},
          overrides: { BLOCKS: K / 32, GROUPS: K / weight.groupSize, BLOCKS_PER_GROUP: weight.groupSize / 32 },
          workgroups: () => [Math.ceil(K / 1024), N / 4, 1],
        });
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
