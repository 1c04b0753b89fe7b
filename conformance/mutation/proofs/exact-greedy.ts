import { exactMaxRules, exactRowRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";
import { sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...exactRowRules,
  ...exactMaxRules,
  {
    from: "if (lane > 0u) { return; }",
    to: ["if (false) { return; }", "if (lane > 1u) { return; }"],
    proof: sameWords,
  },
  {
    from: "workgroupBarrier();",
    to: [""],
    whole: true,
    nth: [2, 5],
    proof: "only lane 0 goes on with what is returned, and wrote it",
  },
  {
    from: "vec2<u32>(a.x << n,",
    to: ["vec2<u32>(a.y << n,"],
    proof: "only the higher word of what is moved up is used",
  },
];
