/**
 * Hold a kernel of your own to gureum's laws. `run` may be anything that fills `out`: here an RMS norm in plain f32,
 * and the same with a typical fault, the sum taken over all elements but the last. The bound is derived from the data
 * of each case; there is no tolerance to choose.
 *
 *     node dist/docs/examples/one-law.js
 */
import { checkKernel, laws } from "gureum/conformance";

interface Case {
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly eps: number;
  readonly T: number;
}

/** out[t] = x[t] / √(mean x[t]² + eps) ∘ weight; `skipped` elements are left out of the mean's sum. */
const norm =
  (skipped: number) =>
  async ({ x, weight, eps, T }: Case, out: Float32Array): Promise<void> => {
    const D = weight.length;
    for (let t = 0; t < T; t++) {
      let sum = 0;
      for (let d = 0; d < D - skipped; d++) sum = Math.fround(sum + Math.fround(x[t * D + d]! ** 2));
      const scale = Math.fround(1 / Math.sqrt(sum / D + eps));
      for (let d = 0; d < D; d++) out[t * D + d] = Math.fround(x[t * D + d]! * scale) * weight[d]!;
    }
  };

const law = "stays within its bound, writes every output and nothing else, leaves its inputs alone";
for (const [variant, skipped] of [
  ["right", 0],
  ["one element short", 1],
] as const) {
  const subject = { op: "rms-norm", backend: "mine", variant, arithmetic: "f32", run: norm(skipped) } as const;
  const row = await checkKernel(laws["rms-norm"]!, subject, { runs: 200, seed: 1, laws: [law] });
  console.log(`${variant}: ${row.failures.length === 0 ? "holds" : "violated"}`);
  for (const { law: broken, replay } of row.failures) console.log(`  ${broken}\n  ${replay}`);
}
