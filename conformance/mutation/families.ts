/** Every mutant of a kernel, family by family. */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { editsOf } from "./edits.ts";
import { fromOnMutants } from "./from-on.ts";
import { publishedMutants } from "./published.ts";
import { type Family, families, type Mutant } from "./text.ts";

const makers: Readonly<Record<Family, (kernel: Kernel) => Mutant[]>> = {
  edits: editsOf,
  "from n on": fromOnMutants,
  published: publishedMutants,
};

/** The mutants of a kernel in the families named, all where none is; one that two families make is in both. */
export const mutantsOf = (kernel: Kernel, wanted: readonly Family[] = families): Mutant[] =>
  wanted.flatMap((family) => makers[family](kernel));
