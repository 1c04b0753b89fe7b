/** The ops of wasm/ as subjects: held to the laws of their kits and to the bits of core/ops. */
import type { CpuOps } from "../../core/model/ops.ts";
import type { AttentionCase } from "../cases/attention.ts";
import type { Fixed16Case } from "../cases/fixed16.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import type { LinearCase } from "../ops/linear.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import type { RmsNormCase } from "../ops/rms-norm.ts";

/** @param fixed16 ops whose int4 linears compute in fixed16 */
export function wasmSubjects(ops: CpuOps, fixed16: CpuOps): readonly AnySubject[] {
  const subject = <C>(op: string, run: (c: C, out: Float32Array) => void): Subject<C> => ({
    op,
    backend: "cpu",
    variant: "wasm",
    arithmetic: "f64",
    refuses: true,
    sameBits: true,
    run: (c, out) => ops.pass(() => run(c, out)),
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
  ];
}
