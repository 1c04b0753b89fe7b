/** The ops of wasm/ as subjects: held to the laws of their kits and to the bits of core/ops. */
import type { WasmCpu } from "../../wasm/cpu.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { wordsOf } from "../cases/exact.ts";
import { productsBy } from "../cases/exact-linear.ts";
import type { Fixed16Case } from "../cases/fixed16.ts";
import { halves } from "../cases/words.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import { type ExactAttentionCase, mixedBy } from "../ops/exact-attention.ts";
import type { ExactAwqCase } from "../ops/exact-awq.ts";
import type { ExactDenseCase } from "../ops/exact-dense.ts";
import type { LinearCase } from "../ops/linear.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import type { RmsNormCase } from "../ops/rms-norm.ts";

/** @param fixed16 ops whose int4 linears compute in fixed16 */
export function wasmSubjects(ops: WasmCpu, fixed16: WasmCpu): readonly AnySubject[] {
  const subject = <C>(op: string, run: (c: C, out: Float32Array) => void): Subject<C> => ({
    op,
    backend: "cpu",
    variant: "wasm",
    arithmetic: "f64",
    refuses: true,
    sameBits: true,
    run: (c, out) => ops.pass(() => run(c, out)),
  });
  /** Of words, held to a bound of 0: a law of equal bits would say the same again. */
  const exact = <C>(op: string, run: (c: C) => Float32Array): Subject<C> => ({
    ...subject<C>(op, (c, out) => out.set(halves(wordsOf(run(c))))),
    sameBits: false,
  });
  return [
    subject<AwqMatmulCase>("awq-matmul", (c, out) => ops.linear(out, c.x, c, c.T)),
    subject<MatmulCase>("matmul", (c, out) => ops.matmul(out, c.x, c.weight, c.bias, c.T)),
    subject<LinearCase>("linear", (c, out) => ops.linear(out, c.x, c.linear, c.T)),
    subject<RmsNormCase>("rms-norm", (c, out) => ops.rmsNorm(out, c.x, c.weight, c.eps, c.T)),
    subject<AttentionCase>("attention", (c, out) => ops.attention(out, c.q, c.k, c.v, c.start, c.T, c.shape)),
    {
      ...subject<Fixed16Case>("awq-matmul-fixed16", (c, out) => fixed16.linear(out, c.x, c, 1)),
      // Its joins are f32.
      arithmetic: "f32",
    },
    exact<ExactAwqCase>("exact-awq", (c) => productsBy(ops.exact, c)),
    exact<ExactDenseCase>("exact-dense", (c) => productsBy(ops.exact, c)),
    exact<ExactAttentionCase>("exact-attention", (c) => mixedBy(ops.exact, c)),
  ];
}
