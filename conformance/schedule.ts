/**
 * A kernel with its invocations numbered backwards: the same shares of work, done by other invocations. A kernel without a race
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
 * The kernel with local_invocation_index and local_invocation_id reversed. Unchanged where subgroups tie numbers to hardware, or
 * where neither is used: then running both only shows that a run repeats itself.
 */
export function reverseInvocations(kernel: Kernel): Kernel {
  const size = workgroupSize(kernel.wgsl);
  if (!size || /\bsubgroup/i.test(kernel.wgsl)) return kernel;
  const [x, y, z] = size;
  const lines: string[] = [];
  let wgsl = kernel.wgsl.replace(/@builtin\(local_invocation_index\) (\w+)/, (_all, name: string) => {
    lines.push(`let ${name} = ${x * y * z - 1}u - ${name}Forward;`);
    return `@builtin(local_invocation_index) ${name}Forward`;
  });
  wgsl = wgsl.replace(/@builtin\(local_invocation_id\) (\w+)/, (_all, name: string) => {
    lines.push(`let ${name} = vec3(${x - 1}u, ${y - 1}u, ${z - 1}u) - ${name}Forward;`);
    return `@builtin(local_invocation_id) ${name}Forward`;
  });
  return { ...kernel, wgsl: wgsl.replace(/(fn main\((?:[^()]|\([^()]*\))*\) \{)/, (head) => `${head} ${lines.join(" ")}`) };
}
