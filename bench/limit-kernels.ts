/**
 * The kernels that measure a device's ceilings: reading, copying, and arithmetic that touches no memory. Each ends in a
 * store that depends on all it did and in practice never happens, so that nothing can be left out by a compiler.
 */
import type { SubgroupMatrixConfig } from "../gpu/device/capabilities.ts";
import type { Kernel } from "../gpu/pipeline/kernel.ts";

/** vec4<u32> that one invocation of `streamRead` and `streamCopy` moves, and threads in their workgroups. */
export const STREAM_LOADS = 8;
export const STREAM_THREADS = 256;

/** Every word once, 16 bytes a load, neighbours side by side, eight loads under way in each invocation. */
export const streamRead: Kernel<"data" | "out", never> = {
  name: "stream-read",
  bindings: { data: "read", out: "readWrite" },
  params: {},
  wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(${STREAM_THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup.x * ${STREAM_LOADS * STREAM_THREADS}u + lane;
  var all = vec4(0u);
${Array.from({ length: STREAM_LOADS }, (_, i) => `  let v${i} = data[first + ${i * STREAM_THREADS}u];`).join("\n")}
${Array.from({ length: STREAM_LOADS }, (_, i) => `  all ^= v${i};`).join("\n")}
  if (all.x == 0x9e3779b9u && all.y == 0x7f4a7c15u && all.z == 0x85ebca6bu) { out[0] = all; }
}
`,
};

export const streamCopy: Kernel<"data" | "out", never> = {
  name: "stream-copy",
  bindings: { data: "read", out: "readWrite" },
  params: {},
  wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;

@compute @workgroup_size(${STREAM_THREADS})
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup.x * ${STREAM_LOADS * STREAM_THREADS}u + lane;
${Array.from({ length: STREAM_LOADS }, (_, i) => `  let v${i} = data[first + ${i * STREAM_THREADS}u];`).join("\n")}
${Array.from({ length: STREAM_LOADS }, (_, i) => `  out[first + ${i * STREAM_THREADS}u] = v${i};`).join("\n")}
}
`,
};

/** Independent chains in an invocation, steps of one loop turn, threads in a workgroup. */
const CHAINS = 8;
const UNROLL = 8;
const FMA_THREADS = 256;

const indices = Array.from({ length: CHAINS }, (_, i) => i);
const chains = (line: (i: number) => string): string => indices.map((i) => `  ${line(i)}`).join("\n");
const steps = (line: (i: number) => string): string => Array.from({ length: UNROLL }, () => chains((i) => `  ${line(i)}`)).join("\n");

function fmaKernel(name: string, type: "f32" | "f16"): Kernel<"out", "turns"> {
  return {
    name,
    bindings: { out: "readWrite" },
    params: { turns: "u32" },
    ...(type === "f16" ? { features: ["shader-f16"] } : {}),
    wgsl: /* wgsl */ `
${type === "f16" ? "enable f16;" : ""}
struct Params { turns: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(${FMA_THREADS})
fn main(@builtin(global_invocation_id) global: vec3<u32>) {
  let factor = vec4<${type}>(${type}(f32(global.x % 7u) * 0.125 - 0.5));
  let addend = vec4<${type}>(${type}(0.25));
${chains((i) => `var c${i} = vec4<${type}>(${type}(${i}));`)}
  for (var turn = 0u; turn < params.turns; turn++) {
${steps((i) => `c${i} = fma(c${i}, factor, addend);`)}
  }
  let sum = vec4<f32>(${indices.map((i) => `c${i}`).join(" + ")});
  if (dot(sum, sum) == 1234.5) { out[0] = sum.x; }
}
`,
  };
}

export const fmaF32: Kernel<"out", "turns"> = fmaKernel("fma-f32", "f32");
export const fmaF16: Kernel<"out", "turns"> = fmaKernel("fma-f16", "f16");
/** Operations of one workgroup and turn: a multiply-add is two, vec4. */
export const fmaOperations: number = FMA_THREADS * CHAINS * UNROLL * 4 * 2;

/** `dot4I8Packed` and an addition: four multiply-adds. */
export const dotI8: Kernel<"out", "turns"> = {
  name: "dot-i8",
  bindings: { out: "readWrite" },
  params: { turns: "u32" },
  wgsl: /* wgsl */ `
struct Params { turns: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(${FMA_THREADS})
fn main(@builtin(global_invocation_id) global: vec3<u32>) {
  let factor = (global.x * 0x01030507u) | 0x01010101u;
${chains((i) => `var c${i} = ${i}i;`)}
  for (var turn = 0u; turn < params.turns; turn++) {
${steps((i) => `c${i} = dot4I8Packed(bitcast<u32>(c${i}), factor) + c${i};`)}
  }
  let all = ${indices.map((i) => `c${i}`).join(" ^ ")};
  if (all == 0x1e3779b9i) { out[0] = bitcast<u32>(all); }
}
`,
};
export const dotI8Operations: number = FMA_THREADS * CHAINS * UNROLL * 4 * 2;

/** Subgroups in a workgroup, and independent accumulators in a subgroup, of the matrix kernels. */
const MATRIX_SUBGROUPS = 4;
const ACCUMULATORS = 4;

/** Accumulates the same two matrices over and over, in registers; for one of the device's own configurations. */
export function matrixKernel(config: SubgroupMatrixConfig, subgroupSize: number): { kernel: Kernel<"out", "turns">; operations: number } {
  const { componentType: type, resultComponentType: result, M, N, K } = config;
  const bytes: Readonly<Record<string, number>> = { f16: 2, i8: 1, u8: 1, f32: 4, i32: 4, u32: 4 };
  const inputStride = Math.ceil((K * bytes[type]!) / 16);
  const resultStride = Math.ceil((N * bytes[result]!) / 16);
  const right = M * inputStride;
  const space = Math.max(right + N * inputStride, M * resultStride);
  const accumulators = indices.slice(0, ACCUMULATORS);
  const wgsl = /* wgsl */ `
${type === "f16" || result === "f16" ? "enable f16;" : ""}
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Params { turns: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<vec4<u32>>;
@group(0) @binding(1) var<uniform> params: Params;
var<workgroup> space: array<vec4<u32>, ${space}>;

@compute @workgroup_size(${MATRIX_SUBGROUPS * subgroupSize})
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < ${space}u; i += ${MATRIX_SUBGROUPS * subgroupSize}u) { space[i] = vec4(((i * 0x01030507u) & 0x03ff03ffu) | ${type === "f16" ? "0x20002000u" : "0x01010101u"}); }
  workgroupBarrier();
  let a = subgroupMatrixLoad<subgroup_matrix_left<${type}, ${K}, ${M}>, row_major>(&space, 0u, ${inputStride}u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<${type}, ${N}, ${K}>, col_major>(&space, ${right}u, ${inputStride}u);
${accumulators.map((i) => `  var c${i} = subgroup_matrix_result<${result}, ${N}, ${M}>(${result}(${i}));`).join("\n")}
  for (var turn = 0u; turn < params.turns; turn++) {
${accumulators.map((i) => `    c${i} = subgroupMatrixMultiplyAccumulate(a, b, c${i});`).join("\n")}
  }
  workgroupBarrier();
${accumulators.map((i) => `  subgroupMatrixStore<row_major>(&space, 0u, c${i}, ${resultStride}u);\n  workgroupBarrier();\n  if (space[lane % ${space}u].x == 0x9e3779b9u) { out[${i}] = space[0]; }`).join("\n")}
}
`;
  return {
    kernel: {
      name: `matrix-${type}-${result}-${M}x${N}x${K}`,
      bindings: { out: "readWrite" },
      params: { turns: "u32" },
      features: ["subgroups", "chromium-experimental-subgroup-matrix", ...(type === "f16" || result === "f16" ? ["shader-f16"] : [])],
      wgsl,
    },
    operations: MATRIX_SUBGROUPS * ACCUMULATORS * 2 * M * N * K,
  };
}

/** Does nothing but write one word: what is left is the cost of being dispatched. */
export const emptyDispatch: Kernel<"out", never> = {
  name: "empty-dispatch",
  bindings: { out: "readWrite" },
  params: {},
  wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(local_invocation_index) lane: u32) { out[lane] = lane; }
`,
};
