/**
 * Faults that others defined: the ten seeded faults of D. Sarkar, The Correctness Illusion in LLM-Generated GPU Kernels
 * (arXiv 2606.20128, table 1), each in every place of our kernels where its pattern can be made. The names are those of
 * the paper's corpus. Two of its ops are not ours: GELU, whose lost 0.5 is planted in SiLU = x · ½ (1 + tanh(x / 2)),
 * and leaky ReLU, whose constant ten times too large is planted in the ε of the norms; L2 norm is the norm of the fused
 * kernels, whose squares are summed by block.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { fixedText, loopHeaders, type Mutant, type Place, placed, withoutComments } from "./text.ts";

interface Published {
  /** Its name in the corpus. */
  readonly name: string;
  readonly says: string;
  readonly edits: readonly { readonly match: RegExp; readonly to: string; readonly kernels?: RegExp }[];
}

const dead = "weight[tid] > -3e38";
const literal = (text: string): RegExp => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "g");

export const published: readonly Published[] = [
  {
    name: "softmax_llm_buggy",
    says: "what pads the last tile takes part in the denominator",
    edits: [
      { match: literal("if (s <= last) { weight = exp(score - most); }"), to: "weight = exp(select(0.0, score, s <= last) - most);" },
      { match: literal("if (i >= first && i <= last)"), to: "if (i >= first)" },
      { match: literal(`select(0.0, exp(weight[tid] - largest), ${dead})`), to: `exp(select(0.0, weight[tid], ${dead}) - largest)` },
    ],
  },
  {
    name: "softmax_triton_buggy",
    says: "masked scores are 0 instead of −∞",
    edits: [
      {
        match: /var score = LOWEST;([\s\S]*?)if \(s <= last\) \{ weight = exp\(score - most\); \}/g,
        to: "var score = 0.0;$1weight = exp(score - most);",
      },
      { match: /select\(-3e38, /g, to: "select(0.0, " },
      { match: /select\(vec4<f32>\(LOWEST\), /g, to: "select(vec4<f32>(0.0), " },
    ],
  },
  {
    name: "gelu_triton_buggy",
    says: "the leading ½ of the activation is lost",
    edits: [
      { match: /\bg \* sigmoid \* /g, to: "g * (2.0 * sigmoid) * " },
      { match: /return g \* \(select/g, to: "return 2.0 * g * (select" },
      { match: /= g \/ \(1\.0 \+ exp/g, to: "= 2.0 * g / (1.0 + exp" },
      { match: /mulf\(siluf\(gate\[at\]\), /g, to: "mulf(addf(siluf(gate[at]), siluf(gate[at])), " },
    ],
  },
  {
    name: "silu_triton_buggy",
    says: "sigmoid(2x) for sigmoid(x)",
    edits: [
      { match: /exp\(-abs\(g\)\)/g, to: "exp(-abs(2.0 * g))" },
      { match: /exp\(min\(-g, /g, to: "exp(min(-2.0 * g, " },
    ],
  },
  {
    name: "rmsnorm_triton_buggy",
    says: "the root of the mean square is forgotten",
    edits: [
      { match: /inverseSqrt\((total \/ f32\([^)]*\) \+ [\w.]+)\)/g, to: "(1.0 / ($1))" },
      { match: /(?<!fn )\brsqrtf\(/g, to: "recipf(", kernels: /norm/ },
    ],
  },
  {
    name: "l2norm_triton_buggy",
    says: "the root of the sum of squares by block is forgotten",
    edits: [{ match: /inverseSqrt\((mean_square\(\) \+ EPS)\)/g, to: "(1.0 / ($1))" }],
  },
  {
    name: "leaky_relu_triton_buggy",
    says: "a constant ten times too large",
    edits: [{ match: / \+ (EPS|params\.eps)\)/g, to: " + 10.0 * $1)" }],
  },
  {
    name: "matmul_triton_buggy",
    says: "the accumulator is overwritten",
    edits: [
      { match: / \+= /g, to: " = ", kernels: /matmul|awq|dense-|mix|exact-(?:awq|dense)/ },
      { match: /\bsum = add96\(sum, (.*)\);$/gm, to: "sum = $1;", kernels: /exact-(?:awq|dense)/ },
    ],
  },
  {
    name: "attention_triton_buggy",
    says: "scores are not divided by √Hd",
    edits: [
      { match: /score = dot \* params\.scale;/g, to: "score = dot;" },
      { match: /\) \* scale, alive\)/g, to: "), alive)" },
      { match: / \* inverseSqrt\(f32\(HEAD\)\)/g, to: "" },
    ],
  },
  {
    name: "flash_attention_triton_buggy",
    says: "the sum so far keeps its scale when the maximum rises",
    edits: [
      { match: /mixed \*= carried;/g, to: "" },
      { match: /l = l \* carried \+ all;/g, to: "l = l + all;" },
      { match: /factor\[i\] = f;/g, to: "factor[i] = 1.0;" },
      { match: /(low|high) = \1 \* before/g, to: "$1 = $1" },
    ],
  },
];

/** Every published fault in a kernel; the operator is its name. */
export function publishedMutants(kernel: Kernel): Mutant[] {
  const code = withoutComments(kernel.wgsl);
  const closed = [...fixedText(code), ...loopHeaders(code)];
  const places: Place[] = [];
  for (const { name, edits } of published)
    for (const { match, to, kernels } of edits) {
      if (kernels && !kernels.test(kernel.name)) continue;
      for (const m of code.matchAll(match)) {
        if (closed.some(([from, end]) => m.index >= from && m.index < end)) continue;
        const after = to.replaceAll("$1", () => m[1] ?? "");
        places.push({ operator: name, at: m.index, length: m[0].length, after });
      }
    }
  return placed(kernel, "published", places);
}
