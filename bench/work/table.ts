/**
 * The work of every kernel in gpu/kernels, one entry a kernel; conformance/test/bench/kernels.test.ts fails where a file has neither an
 * entry nor a reason in `unmeasured`.
 */
import { attentionWorks } from "./attention.ts";
import { elementwiseWorks } from "./elementwise.ts";
import { fusedWorks } from "./fused.ts";
import { linearWorks } from "./linears.ts";
import { prefillWorks } from "./prefill.ts";
import { samplingWorks } from "./sampling.ts";
import type { Work } from "./work.ts";

export const works: readonly Work[] = [
  ...linearWorks,
  ...attentionWorks,
  ...fusedWorks,
  ...prefillWorks,
  ...elementwiseWorks,
  ...samplingWorks,
];

/** Kernel files without an entry, each with the reason. */
export const unmeasured: Readonly<Record<string, string>> = {};
