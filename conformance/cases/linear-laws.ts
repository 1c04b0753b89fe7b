import { sameBits } from "../compare.ts";
import type { Law } from "../kit.ts";

/** Laws that every linear layer has, whatever holds its weights. `least`: the smallest |weight| but zero. */
export function linearLaws<C extends { T: number; x: Float32Array; weight: { inFeatures: number; outFeatures: number } }>(
  least: (c: C) => number,
): Law<C>[] {
  return [
    {
      name: "gives twice the result for twice x, bit for bit",
      async check(c, { run }) {
        // Terms of at least 2⁻¹⁰² are multiples of the smallest normal number, and so are their sums: nothing
        // underflows.
        const from = Math.max(2 ** -60, 2 ** -102 / least(c));
        const x = c.x.map((v) => (Math.abs(v) < from || Math.abs(v) > 2 ** 60 ? 0 : v));
        const none = { ...c, bias: null };
        const [once, twice] = [await run({ ...none, x }), await run({ ...none, x: x.map((v) => 2 * v) })];
        for (let i = 0; i < once.length; i++) {
          const same = 2 * once[i]! === twice[i] || (Number.isNaN(once[i]) && Number.isNaN(twice[i]));
          if (!same && Number.isFinite(twice[i]!)) return `element ${i}: twice ${once[i]} is not ${twice[i]}`;
        }
        return null;
      },
    },
    {
      name: "keeps a row's infinities and NaN to itself",
      async check(c, { run }) {
        if (c.T < 2) return null;
        const { inFeatures: K, outFeatures: N } = c.weight;
        const x = c.x.slice();
        for (let k = 0; k < K; k++) x[(c.T - 1) * K + k] = k % 2 ? Number.NaN : Infinity;
        return sameBits(await run({ ...c, x }), await run(c), 0, 0, (c.T - 1) * N);
      },
    },
    {
      name: "computes each row of x as the bound allows, alone or with others",
      async check(c, { run, expected }) {
        const { inFeatures: K, outFeatures: N } = c.weight;
        const { bound } = expected(c);
        const whole = await run(c);
        const alone = await run({ ...c, T: 1, x: c.x.slice((c.T - 1) * K) });
        for (let n = 0; n < N; n++) {
          const at = (c.T - 1) * N + n;
          if (bound[at] !== Infinity && !(Math.abs(whole[at]! - alone[n]!) <= 2 * bound[at]!))
            return `element ${at}: ${whole[at]} with the other rows, ${alone[n]} alone, bound ${bound[at]}`;
        }
        return null;
      },
    },
  ];
}
