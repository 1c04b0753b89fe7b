/** What the machine's JavaScript does at most: the plain dot product, and multiply-adds in registers. */
import type { Counts } from "../results.ts";

const DOT_LENGTH = 1 << 20;

export const CEILING = "f64 multiply-add, eight chains";

/** The plain loop that everybody writes, and the ceiling: independent multiply-adds on numbers that stay in registers. */
export function dotCases(): { name: string; counts: Counts; make: () => () => unknown }[] {
  const counts: Counts = { bytes: 16 * DOT_LENGTH, operations: 2 * DOT_LENGTH, arithmetic: "f64" };
  return [
    {
      name: "Float64Array dot product, one sum",
      counts,
      make() {
        const a = Float64Array.from({ length: DOT_LENGTH }, (_, i) => 1 + i / 2 ** 21);
        const b = a.slice().reverse();
        return () => {
          let sum = 0;
          for (let i = 0; i < DOT_LENGTH; i++) sum += a[i]! * b[i]!;
          return sum;
        };
      },
    },
    {
      name: CEILING,
      counts: { operations: 2 * DOT_LENGTH, arithmetic: "f64" },
      make: () => () => {
        let s0 = 0.1;
        let s1 = 0.2;
        let s2 = 0.3;
        let s3 = 0.4;
        let s4 = 0.6;
        let s5 = 0.7;
        let s6 = 0.8;
        let s7 = 0.9;
        for (let i = 0; i < DOT_LENGTH; i += 8) {
          s0 = s0 * 0.5 + 0.25;
          s1 = s1 * 0.5 + 0.25;
          s2 = s2 * 0.5 + 0.25;
          s3 = s3 * 0.5 + 0.25;
          s4 = s4 * 0.5 + 0.25;
          s5 = s5 * 0.5 + 0.25;
          s6 = s6 * 0.5 + 0.25;
          s7 = s7 * 0.5 + 0.25;
        }
        return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
      },
    },
  ];
}
