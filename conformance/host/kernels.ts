/** Every kernel of the tree. */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { modulesIn } from "./tree.ts";

const isKernel = (value: unknown): value is Kernel =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Kernel).wgsl === "string" &&
  typeof (value as Kernel).bindings === "object";

/** The kernels by their names, which are those of their files; one per file of gpu/kernels. */
export async function allKernels(): Promise<ReadonlyMap<string, Kernel>> {
  const found = new Map<string, Kernel>();
  for (const module of (await modulesIn(new URL("../../gpu/kernels/", import.meta.url))).values())
    for (const value of Object.values(module)) if (isKernel(value)) found.set(value.name, value);
  return found;
}
