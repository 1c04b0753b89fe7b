/** A linear in fixed16, which quantizes its own activations. */
import { awqMatmulFixed16 } from "../../core/ops/awq-matmul-fixed16.ts";
import { expectFixed16, wgsl } from "../accuracy.ts";
import { type Fixed16Case, type LinearSpec, linearBoundaries, linearReach, linearSpec, makeLinear, quantized } from "../cases/fixed16.ts";
import { refuseShort } from "../cases/shared.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<LinearSpec, Fixed16Case> = {
  name: "awq-matmul-fixed16",
  formula: "out[n] = Σ_b (Σ_{k in b} v[k] · (q[k, n] − z[g, n])) · 2^e_b · s[g, n] + bias[n], x ≈ v · 2^e",
  reference: { arithmetic: "f32", run: (c, out) => awqMatmulFixed16(out, quantized(c.x), c.weight, c.bias) },
  spec: linearSpec,
  boundaries: linearBoundaries,
  reach: linearReach,
  make: makeLinear,
  length: (c) => c.weight.outFeatures,
  // The CPU op joins its blocks in f32, so its bound is that of f32.
  expected: (c) => expectFixed16(quantized(c.x), c.weight, c.bias, wgsl),
  laws: [
    {
      name: "is exact on small integers and scales that are powers of two",
      async check(c, { run }) {
        const [K, N] = [c.x.length, c.weight.outFeatures];
        const x = c.x.map((_, i) => ((i * 29) % 17) - 8);
        const weight = { ...c.weight, scales: c.weight.scales.map((_, i) => [0x3c00, 0x3800, 0x4000][i % 3]!) };
        const none = new Float32Array(N);
        const out = await run({ x, weight, bias: none });
        const { value, bound } = expectFixed16(quantized(x), weight, none, wgsl);
        for (let n = 0; n < N; n++)
          if (K <= 4096 && (bound[n] !== 0 || out[n] !== value[n])) return `element ${n}: expected exactly ${value[n]}, got ${out[n]}`;
        return null;
      },
    },
    {
      name: "gives NaN for an x that holds an infinity or NaN",
      async check(c, { run }) {
        for (const bad of [Infinity, -Infinity, Number.NaN]) {
          const x = c.x.slice();
          x[(c.bias.length * 7) % x.length] = bad;
          const out = await run({ ...c, x, bias: new Float32Array(c.bias.length) });
          const n = out.findIndex((y) => !Number.isNaN(y));
          if (n >= 0) return `element ${n}: ${out[n]} for ${bad}`;
        }
        return null;
      },
    },
    {
      name: "gives twice the result for twice x, bit for bit",
      async check(c, { run }) {
        const x = c.x.map((v) => (Math.abs(v) < 2 ** -60 || Math.abs(v) > 2 ** 60 ? 0 : v));
        const scales = c.weight.scales.map((s) => ((s & 0x7c00) === 0 ? 0x3c00 : s));
        const one = { x, weight: { ...c.weight, scales }, bias: new Float32Array(c.weight.outFeatures) };
        const [once, twice] = [await run(one), await run({ ...one, x: x.map((v) => 2 * v) })];
        // Blocks of tiny values keep the step 2⁻¹⁰² and do not scale.
        if (quantized(x).scales.some((s) => s <= 2 ** -102)) return null;
        for (let n = 0; n < once.length; n++) if (2 * once[n]! !== twice[n]) return `element ${n}: twice ${once[n]} is not ${twice[n]}`;
        return null;
      },
    },
  ],
  refusals: [refuseShort("out", (c) => c, true), refuseShort("bias", (c) => ({ ...c, bias: c.bias.subarray(1) }))],
  dotLike: true,
};
