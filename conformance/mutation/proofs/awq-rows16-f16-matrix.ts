import type { Rule } from "../rules.ts";
import { halfRules, lastLoad } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...halfRules,
  {
    from: "min(step, STEPS - 1u)",
    to: ["min(step, STEPS)", "min(step, STEPS + 1u)"],
    proof: "steps past K have scale 0, and the activations that they read are finite",
  },
  {
    from: "min((wg.y + 1u) * EACH, TURNS)",
    to: ["min((wg.y - 1u) * EACH, TURNS)"],
    proof: "the first piece takes all turns and the others none: they have the same sum",
  },
  {
    from: "min(turn + 1u, TURNS - 1u)",
    to: ["min(turn + 1u, TURNS)", "min(turn + 1u, TURNS + 1u)"],
    proof: lastLoad,
  },
  {
    from: "j < 8u; j += 2u",
    to: ["j + 1u < 8u; j += 2u"],
    proof: "j is even",
  },
  {
    from: "workgroupBarrier();",
    to: [""],
    proof: "a workgroup is one subgroup, which stages and reads as one; WGSL has no barrier for a subgroup alone",
  },
];
