import type { Rule } from "../rules.ts";
import { lastLoad, sameWords, shift } from "../shared-proofs.ts";

const noSecond = "without a second head nobody reads its queries";
const noKey = "a turn more holds no key that counts: its rows are clamped to the last, and their weights are 0";

export const rules: readonly Rule[] = [
  {
    from: "if (HEADS == 2u) {",
    to: ["if (true) {"],
    whole: true,
    nth: [0, 1, 2],
    proof: "without a second head nobody reads its sums",
  },
  ...["var total", "var low", "var high", "var low2", "var high2"].map((name) => ({
    from: `${name} = ${name === "var total" ? "0.0" : "vec4<f32>(0.0)"};`,
    to: [`${name} = ${name === "var total" ? "1.0" : "vec4<f32>(1.0)"};`],
    proof:
      "multiplied by before = exp(−3e38 − a score) = 0 with the first tile that has a key that counts, or by 0 in the join where a split has none",
  })),
  { from: "select(0u, 2u * LANES,", to: ["select(1u, 2u * LANES,"], proof: noSecond },
  { from: "select(1u, 2u * LANES + 1u,", to: ["select(2u, 2u * LANES + 1u,"], proof: noSecond },
  {
    from: "if (part < PARTS) { put_sums",
    to: ["if (true) { put_sums", "if (part <= PARTS) { put_sums"],
    proof: "what is left of the threads writes behind the parts, or where there is no room into the last word, which is padding",
  },
  {
    from: "d += THREADS",
    to: ["d += 2u * (THREADS)"],
    proof: "THREADS is 256 and HEAD at most that: there is one turn",
  },
  {
    from: "p < PARTS;",
    to: ["p <= PARTS;"],
    proof: "the index past the end is clamped to the last word, which is padding and 0",
  },
  { from: "select(1u, position", to: ["select(2u, position"], proof: "without splits one turn holds all keys, and `tiles` is 1" },
  { from: "position / KEYS + 1u;", to: ["position * KEYS + 1u;", "position / KEYS + 2u;"], proof: noKey },
  {
    from: "j < TURNS;",
    to: ["j <= TURNS;"],
    nth: [1, 3],
    proof: "in the turn more s = part + TURNS · PARTS is KEYS or more: no product is stored, and the weight is 0",
  },
  {
    from: "if (part < PARTS && s < KEYS) {",
    to: ["if (part <= PARTS && s < KEYS) {"],
    proof: `what is left of the threads has the rows of part 0's next turns: ${sameWords}`,
  },
  { from: "let more = tile + 1u < end;", to: ["let more = tile < end;", "let more = tile + 1u <= end;"], proof: lastLoad },
  { from: "if (more) {", to: ["if (true) {"], whole: true, proof: lastLoad },
  { from: "var t = 0.0;", to: ["var t = 1.0;"], proof: shift },
  {
    from: "score > -3e38",
    to: ["score >= -3e38"],
    proof:
      "they differ for keys that do not count while none has counted: what they add is multiplied by exp(−3e38 − a score) = 0 with the first that counts, or in the join",
  },
  { from: "if (tid % KEYS == 0u) {", to: ["if (true) {", "if (tid % KEYS == 1u) {"], proof: sameWords },
  {
    from: "scaling[tid / KEYS]",
    to: ["scaling[tid * KEYS]"],
    proof: "the second head's index is clamped to the last element, which is its own",
  },
  {
    from: "min(s, KEYS - 1u)",
    to: ["min(s, KEYS + 1u)", "min(s, KEYS)"],
    proof: "they differ where s is KEYS or more, and there the weight is 0",
  },
];
