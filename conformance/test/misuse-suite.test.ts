/** Options and records that are none, given to the doors for the suite and for benches. */
import { describe, expect, it } from "vitest";
import { benchKernel, benchKernels } from "../../bench/own.ts";
import { benchOwnKernel } from "../../bench/own-bench.ts";
import { runConformance } from "../certificate/checked-run.ts";
import { checkKernel } from "../check.ts";
import { laws } from "../laws.ts";
import { checkOwnKernel } from "../own/check.ts";

// biome-ignore lint/suspicious/noExplicitAny: what types forbid is what is tried.
type Any = any;

describe("gureum/conformance and gureum/bench", () => {
  it("refuse options and records that are none before anything is run", async () => {
    const usage = expect.objectContaining({ code: "usage" });
    const kit = laws["silu-mul"];
    const own = { name: "a", op: "silu-mul", wgsl: "fn main() {}", workgroups: () => [1] } as Any;
    const calls: readonly (() => Promise<unknown>)[] = [
      ...[5, null, "a", { filters: "a" }, { filter: 5 }, { variant: 5 }, { runs: "1" }, { runs: -1 }, { seed: -1 }, { jobs: 0.5 }].map(
        (options: Any) => () => runConformance(options),
      ),
      ...[{ timeMs: Number.NaN }, { backend: "gpu" }, { robustness: 1 }, { own: {} }, { subjects: 5 }, { onRow: 5 }, { journal: 5 }].map(
        (options: Any) => () => runConformance(options),
      ),
      () => checkKernel(kit, { op: "silu-mul", backend: "a", variant: "b", arithmetic: "f32", run: () => {} } as Any, undefined as Any),
      () => checkOwnKernel(own, undefined as Any),
      () => benchOwnKernel(own, undefined as Any),
      () => benchKernels(5 as Any),
      ...[5, null, {}, { name: "a" }, { name: "a", run: 5 }, { name: "a", wgsl: "a", buffers: 5 }].map(
        (bench: Any) => () => benchKernel(bench),
      ),
      () => benchKernel({ name: "a", wgsl: "a", buffers: {}, workgroups: 3 } as Any),
      () => benchKernel({ name: "a", run: () => 1 }, { plans: 1 } as Any),
    ];
    for (const call of calls) await expect(call(), `${call}`).rejects.toEqual(usage);
  });
});
