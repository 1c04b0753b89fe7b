/**
 * Which ids top-k and top-p leave (steps 4 and 5 of docs/sampling.md): those of the specification, unless the cut is a
 * near tie.
 */
import { candidates } from "../../core/sample/sampler.ts";
import { isNearBorder, left, makeExpected } from "../accuracy.ts";
import {
  type CandidatesCase,
  type CandidatesSpec,
  candidatesBoundaries,
  candidatesReach,
  candidatesSpec,
  makeCandidates,
} from "../cases/candidates.ts";
import { arithmeticOf } from "../cases/shared.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<CandidatesSpec, CandidatesCase> = {
  name: "candidates",
  formula: "out[i] = 1 where top-k and top-p leave id i, else 0",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      out.fill(0);
      for (const id of candidates(c.logits, c.options).ids) out[id] = 1;
    },
  },
  spec: candidatesSpec,
  boundaries: candidatesBoundaries,
  reach: candidatesReach,
  make: makeCandidates,
  length: ({ logits }) => logits.length,
  expected({ logits, options }, arithmetic) {
    const e = makeExpected(logits.length);
    for (const id of left(logits, options).ids) e.value[id] = 1;
    if (isNearBorder(logits, options, arithmeticOf(arithmetic))) e.bound.fill(Infinity);
    return e;
  },
  laws: [
    {
      name: "leaves the shortest prefix of equal logits, exactly",
      async check({ logits, options }, { run }) {
        const V = logits.length;
        const topP = Math.max(1, Math.round(options.topP * 64)) / 64;
        const out = await run({ logits: logits.map(() => logits[0]!), options: { ...options, topP } });
        const among = options.topK > 0 ? Math.min(options.topK, V) : V;
        const kept = Math.ceil(topP * among);
        for (let i = 0; i < V; i++) if (out[i] !== (i < kept ? 1 : 0)) return `id ${i}: ${out[i]}, ${kept} of ${V} stay`;
        return null;
      },
    },
    {
      name: "tells logits apart that are neighbours in f32",
      async check({ logits, options }, { run }) {
        const near = { logits: logits.map((_, i) => 1 + ((i * 7919) % 5) * 2 ** -23), options: { ...options, temperature: 1 } };
        if (isNearBorder(near.logits, near.options, arithmeticOf("f32"))) return null;
        const kept = new Set(left(near.logits, near.options).ids);
        const out = await run(near);
        for (let i = 0; i < out.length; i++) if (out[i] !== (kept.has(i) ? 1 : 0)) return `id ${i}: ${out[i]}`;
        return null;
      },
    },
    {
      name: "leaves the two likeliest where they are far above the rest and one is not enough, wherever they are",
      async check({ logits, options }, { run }) {
        const V = logits.length;
        for (const at of [1, 257, V - 1]) {
          if (at < 1 || at >= V) continue;
          const two = logits.map((l, i) => (i === at ? 5000 : i === at - 1 ? 4999.9 : Math.max(-8, Math.min(8, l))));
          const out = await run({ logits: two, options: { ...options, topK: 0, topP: 0.9 } });
          for (let i = 0; i < V; i++)
            if (out[i] !== (i === at || i === at - 1 ? 1 : 0)) return `id ${i}: ${out[i]}, ${at - 1} and ${at} stay`;
        }
        return null;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};
