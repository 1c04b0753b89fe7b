/**
 * A kernel with its invocations renumbered: the same shares of work, done by other invocations. A kernel without a race
 * gives the same bits. One with a missing barrier may pass on a device that runs invocations in ascending order, as
 * software Vulkan does, and then fails here.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";

/** Workgroup size as WGSL expressions, 1 where it is not given. */
function workgroupSize(wgsl: string): readonly [string, string, string] | null {
  const sizes = /@workgroup_size\(([^)]*)\)/
    .exec(wgsl)?.[1]
    ?.split(",")
    .map((word) => word.trim());
  return sizes ? [`u32(${sizes[0]!})`, `u32(${sizes[1] || 1})`, `u32(${sizes[2] || 1})`] : null;
}

const main = /(fn main\s*\((?:[^()]|\([^()]*\))*\)\s*\{)/;
const builtin = (name: string, type: string): RegExp => new RegExp(`@builtin\\(${name}\\)\\s*(\\w+)(\\s*:\\s*${type}\\s*,?)`);
const vector = "vec3(?:<u32>|u)";
const numbers = {
  index: builtin("local_invocation_index", "u32"),
  id: builtin("local_invocation_id", vector),
  group: builtin("workgroup_id", vector),
  groups: builtin("num_workgroups", vector),
  subgroup: builtin("subgroup_\\w+", "u32"),
} as const;
/** Names that the renumbered text brings along. */
const brought = /\b(?:forward|forward_group|all_groups|renumbered|idle|late)\b/;

/** Whether every number of an invocation is one that `main` declares in a form that is renumbered here. */
function isRenumberable(wgsl: string): boolean {
  const head = main.exec(wgsl)?.[1];
  if (head === undefined || brought.test(wgsl)) return false;
  const known = Object.values(numbers).reduce((sum, pattern) => sum + [...head.matchAll(new RegExp(pattern, "g"))].length, 0);
  return known === [...wgsl.matchAll(/@builtin\s*\(/g)].length;
}

/**
 * The kernel with its invocations renumbered: neighbours dealt to different groups of 32 where there are that many,
 * from the first or from the last; from the last, the workgroups are too. Where subgroups tie numbers to hardware,
 * every other 32 of them are late after each barrier instead. Unchanged where no number is used, or one in a form that
 * is not known here: running both then shows that a run repeats itself.
 */
export function renumberInvocations(kernel: Kernel, backwards: boolean): Kernel {
  const size = workgroupSize(kernel.wgsl);
  if (!size || !isRenumberable(kernel.wgsl)) return kernel;
  const index = numbers.index.exec(kernel.wgsl);
  const id = numbers.id.exec(kernel.wgsl);
  if (!index && !id) return kernel;
  if (/\bsubgroup/i.test(kernel.wgsl)) {
    if (!index) return kernel;
    const late = `late(${index[1]});`;
    const wgsl = kernel.wgsl
      .replace(main, (head) => `${head} ${late}`)
      .replace(/workgroupBarrier\(\);/g, (barrier) => `${barrier} ${late}`)
      .replace(
        /^@compute/m,
        `var<workgroup> idle: atomic<u32>;\nfn late(i: u32) { for (var n = 0u; n < ((i / 32u + ${backwards ? 1 : 0}u) % 2u) * 200u; n++) { atomicAdd(&idle, 1u); } }\n@compute`,
      );
    return { ...kernel, wgsl };
  }
  const [x, y, z] = size;
  const count = `(${x} * ${y} * ${z})`;
  const dealt = `select(forward, forward % 32u * (${count} / 32u) + forward / 32u, ${count} % 32u == 0u)`;
  const lines = [`let renumbered = ${backwards ? `${count} - 1u - ` : ""}${dealt};`];
  let { wgsl } = kernel;
  if (index) {
    wgsl = wgsl.replace(index[0], `@builtin(local_invocation_index) forward${index[2]}`);
    lines.push(`let ${index[1]} = renumbered;`);
  }
  if (id) {
    wgsl = wgsl.replace(id[0], index ? "" : `@builtin(local_invocation_index) forward: u32,`);
    lines.push(`let ${id[1]} = vec3<u32>(renumbered % ${x}, renumbered / ${x} % ${y}, renumbered / (${x} * ${y}));`);
  }
  const group = numbers.group.exec(wgsl);
  if (backwards && group) {
    const size = numbers.groups.exec(wgsl)?.[1];
    wgsl = wgsl.replace(
      group[0],
      `@builtin(workgroup_id) forward_group${group[2]}${size ? "" : " @builtin(num_workgroups) all_groups: vec3<u32>,"}`,
    );
    lines.push(`let ${group[1]} = vec3<u32>(${size ?? "all_groups"}.x - 1u - forward_group.x, forward_group.yz);`);
  }
  return { ...kernel, wgsl: wgsl.replace(main, (head) => `${head} ${lines.join(" ")}`) };
}
