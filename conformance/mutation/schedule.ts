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
  return sizes ? [sizes[0]!, sizes[1] ?? "1u", sizes[2] ?? "1u"] : null;
}

/**
 * The kernel with its invocations renumbered: neighbours dealt to different groups of 32 where there are that many,
 * from the first or from the last; from the last, the workgroups are too. Where subgroups tie numbers to hardware,
 * every other 32 of them are late after each barrier instead. Unchanged where no number is used: running both then
 * shows that a run repeats itself.
 */
export function renumberInvocations(kernel: Kernel, backwards: boolean): Kernel {
  const size = workgroupSize(kernel.wgsl);
  if (!size) return kernel;
  const index = /@builtin\(local_invocation_index\) (\w+)(: u32,?)/.exec(kernel.wgsl);
  const id = /@builtin\(local_invocation_id\) (\w+)(: vec3<u32>,?)/.exec(kernel.wgsl);
  if (!index && !id) return kernel;
  const main = /(fn main\((?:[^()]|\([^()]*\))*\) \{)/;
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
  const group = /@builtin\(workgroup_id\) (\w+)(: vec3<u32>,?)/.exec(wgsl);
  if (backwards && group) {
    const size = /@builtin\(num_workgroups\) (\w+): vec3<u32>/.exec(wgsl)?.[1];
    wgsl = wgsl.replace(
      group[0],
      `@builtin(workgroup_id) forward_group${group[2]}${size ? "" : " @builtin(num_workgroups) all_groups: vec3<u32>,"}`,
    );
    lines.push(`let ${group[1]} = vec3<u32>(${size ?? "all_groups"}.x - 1u - forward_group.x, forward_group.yz);`);
  }
  return { ...kernel, wgsl: wgsl.replace(main, (head) => `${head} ${lines.join(" ")}`) };
}
