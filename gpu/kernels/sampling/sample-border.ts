/**
 * Top-k and top-p (steps 4 and 5 of docs/sampling.md) on each row of `scores` [T, V]: the border between the ids that stay and those
 * that go. Twin of the first half of `candidates` in core/sample/sampler.ts, with weights and sums in f32;
 * sample-random.ts follows. One workgroup of 256 per row. Nothing is sorted: z is compared through an unsigned key of the same
 * order, and the border of top-k (a count) and of top-p (a sum of weights) is found bit by bit, 32 passes each; of
 * equal z at a border the lowest ids stay. Workgroup memory 1 KiB. Limited by these passes over V scores, by one
 * workgroup.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS, partialStructWgsl } from "../../wgsl/partial.ts";
import { BORDER_BYTES, borderWgsl, type LogitsShape, samplingBindingWgsl, samplingWgsl, weightWgsl } from "../../wgsl/sampling.ts";

export const sampleBorder: Card<"scores" | "partials" | "sampling" | "border", LogitsShape> = makeCard({
  name: "sample-border",
  wgsl: /* wgsl */ `
${samplingWgsl}
${partialStructWgsl}
${borderWgsl}
struct Params { V: u32 }
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> partials: array<Partial>;
@group(0) @binding(2) ${samplingBindingWgsl}
@group(0) @binding(3) var<storage, read_write> border: array<Border>;
@group(0) @binding(4) var<uniform> params: Params;
${weightWgsl}
fn zOf(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }

const LANES = 256u;
var<workgroup> sums: array<f32, LANES>;
var<workgroup> count: atomic<u32>;

fn countFrom(lane: u32, key: u32) -> u32 { // ids with a key of at least this
  atomicStore(&count, 0u);
  workgroupBarrier();
  var mine = 0u;
  for (var i = lane; i < params.V; i += LANES) { mine += u32(keyOf(scaled(i)) >= key); }
  atomicAdd(&count, mine);
  workgroupBarrier();
  let all = atomicLoad(&count);
  workgroupBarrier();
  return all;
}
fn weightFrom(lane: u32, key: u32, most: f32) -> f32 { // their weights
  var mine = 0.0;
  for (var i = lane; i < params.V; i += LANES) {
    let z = scaled(i);
    if (keyOf(z) >= key) { mine += weigh(z, most); }
  }
  sums[lane] = mine;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { sums[lane] += sums[lane + width]; }
  }
  workgroupBarrier();
  let all = sums[0];
  workgroupBarrier();
  return all;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  row = workgroup.x;
  let options = sampling[workgroup.x];
  let first = row * ${PARTIALS}u;
  var largest = partials[first].score;
  for (var i = 1u; i < ${PARTIALS}u; i++) { largest = max(largest, partials[first + i].score); }
  let most = largest * options.inverseTemperature;
  var edge = 0u;
  var allowed = 0u;
  if (options.topK > 0u && options.topK < params.V) {
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
      if (countFrom(lane, edge | bit) >= options.topK) { edge |= bit; }
    }
    allowed = options.topK - countFrom(lane, edge + 1u);
  }
  if (options.topP < 1.0) {
    var tied = 0.0; // weights of equal z that top-k leaves; without top-k there is no such z
    if (allowed > 0u) { tied = f32(allowed) * weigh(zOf(edge), most); }
    let enough = options.topP * (weightFrom(lane, edge + 1u, most) + tied);
    var key = 0u;
    for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
      let candidate = key | bit;
      let weight = weightFrom(lane, max(candidate, edge + 1u), most) + select(0.0, tied, candidate <= edge);
      if (weight >= enough) { key = candidate; }
    }
    if (key > edge) { edge = key; allowed = 0xffffffffu; }
    let missing = enough - weightFrom(lane, edge + 1u, most);
    allowed = min(allowed, u32(min(ceil(missing / weigh(zOf(edge), most)), 4294967040.0)));
  }
  if (lane == 0u) { border[row] = Border(edge, allowed); }
}
`,
  workgroupBytes: 4 * 256 + 16,
  call: ({ V }) => ({ params: { V }, workgroups: (T) => [T, 1, 1] }),
  sizes: ({ V }, T) => ({ scores: 4 * T * V, partials: T * PARTIALS * PARTIAL_BYTES, border: T * BORDER_BYTES }),
});
