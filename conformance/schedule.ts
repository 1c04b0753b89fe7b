/**
 * A kernel with its invocations renumbered: the same shares of work, done by other invocations. A kernel without a race
 * gives the same bits. One with a missing barrier may pass on a device that runs invocations in ascending order, as software
 * Vulkan does, and then fails here.
 */
import type { Kernel } from "../gpu/kernel.ts";

/** Workgroup size as numbers: literals, or names of `const NAME = …u;` lines. */
function workgroupSize(wgsl: string): [number, number, number] | null {
  const sizes = /@workgroup_size\(([^)]*)\)/.exec(wgsl)?.[1]?.split(",");
  if (!sizes) return null;
  const numbers = sizes.map((word) => {
    const text = word.trim();
    const value = /^\d+u?$/.test(text) ? text : new RegExp(`^const ${text}\\s*(?::\\s*u32)?\\s*=\\s*(\\d+)u?;`, "m").exec(wgsl)?.[1];
    return Number.parseInt(value ?? "", 10);
  });
  const [x = 1, y = 1, z = 1] = numbers;
  return [x, y, z].every((n) => n > 0) ? [x, y, z] : null;
}

/**
 * The kernel with its invocations renumbered: backwards, and neighbours dealt to different groups of 32 where there are that many.
 * Unchanged where subgroups tie numbers to hardware, or where neither number is used: running both then shows that a run repeats
 * itself.
 */
export function renumberInvocations(kernel: Kernel): Kernel {
  const size = workgroupSize(kernel.wgsl);
  if (!size || /\bsubgroup/i.test(kernel.wgsl)) return kernel;
  const [x, y, z] = size;
  const count = x * y * z;
  const index = /@builtin\(local_invocation_index\) (\w+)(: u32,?)/.exec(kernel.wgsl);
  const id = /@builtin\(local_invocation_id\) (\w+)(: vec3<u32>,?)/.exec(kernel.wgsl);
  if (!index && !id) return kernel;
  const dealt = count % 32 === 0 ? `(forward % 32u * ${count / 32}u + forward / 32u)` : "forward";
  const lines = [`let renumbered = ${count - 1}u - ${dealt};`];
  let { wgsl } = kernel;
  if (index) {
    wgsl = wgsl.replace(index[0], `@builtin(local_invocation_index) forward${index[2]}`);
    lines.push(`let ${index[1]} = renumbered;`);
  }
  if (id) {
    wgsl = wgsl.replace(id[0], index ? "" : `@builtin(local_invocation_index) forward: u32,`);
    lines.push(`let ${id[1]} = vec3(renumbered % ${x}u, renumbered / ${x}u % ${y}u, renumbered / ${x * y}u);`);
  }
  return { ...kernel, wgsl: wgsl.replace(/(fn main\((?:[^()]|\([^()]*\))*\) \{)/, (head) => `${head} ${lines.join(" ")}`) };
}
