import type { Rule } from "../rules.ts";
import { teamRules } from "../shared-proofs.ts";

const onEdge = "they differ for 65,504 alone, and a sum of f32 that is due there may be a unit more, which is noted";

export const rules: readonly Rule[] = [
  ...teamRules,
  { from: "all(abs(low) <= vec2<f32>(65504.0))", to: ["all(abs(low) < vec2<f32>(65504.0))"], proof: onEdge },
  { from: "all(abs(high) <= vec2<f32>(65504.0))", to: ["all(abs(high) < vec2<f32>(65504.0))"], proof: onEdge },
  {
    from: "item += TEAM * TEAMS)",
    to: ["item += 2u * (TEAM * TEAMS))"],
    proof: "a team has two quads at most: with 32 lanes each item is a sum already, with more one turn takes all",
  },
  { from: "(row & 2u) != 0u", to: ["(row & 3u) != 0u"], proof: "a lane takes rows in pairs: the first is even" },
];
