/** The CPU reference ops as subjects. */

import { add } from "../../core/ops/add.ts";
import { attentionMix, attentionWeights } from "../../core/ops/attention.ts";
import { awqMatmul } from "../../core/ops/awq-matmul.ts";
import { awqBlockSums, awqMatmulFixed16 } from "../../core/ops/awq-matmul-fixed16.ts";
import { embedding } from "../../core/ops/embedding.ts";
import { linear } from "../../core/ops/linear.ts";
import { matmul } from "../../core/ops/matmul.ts";
import { rmsNorm } from "../../core/ops/rms-norm.ts";
import { rope } from "../../core/ops/rope.ts";
import { siluMul } from "../../core/ops/silu-mul.ts";
import { softmax } from "../../core/ops/softmax.ts";
import { quantizeFixed16 } from "../../core/quant/fixed16.ts";
import { uniformAt } from "../../core/sample/random.ts";
import { candidates, draw, logProbability, penalize, sample } from "../../core/sample/sampler.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { AddCase } from "../ops/add.ts";
import type { AttentionCase } from "../ops/attention.ts";
import type { AttentionMixCase } from "../ops/attention-mix.ts";
import { type BlockSumsCase, blockWords } from "../ops/awq-block-sums.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import { halves } from "../ops/awq-repack.ts";
import type { CandidatesCase } from "../ops/candidates.ts";
import { DRAWS, type DrawsCase } from "../ops/draws.ts";
import type { EmbeddingCase } from "../ops/embedding.ts";
import type { Fixed16Case } from "../ops/fixed16.ts";
import type { LinearCase } from "../ops/linear.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import type { PenalizeCase } from "../ops/penalize.ts";
import type { RmsNormCase } from "../ops/rms-norm.ts";
import type { RopeCase } from "../ops/rope.ts";
import { SAMPLED_BEFORE, type SampleCase } from "../ops/sample.ts";
import type { SiluMulCase } from "../ops/silu-mul.ts";
import type { SoftmaxCase } from "../ops/softmax.ts";

const cpu = <C>(op: string, run: Subject<C>["run"]): Subject<C> => ({
  op,
  backend: "cpu",
  variant: "reference",
  arithmetic: "f64",
  refuses: true,
  run,
});

function weightsOf({ q, k, start, T, shape }: AttentionCase, out: Float32Array): void {
  attentionWeights(out, q, 0, k, start, T, shape, new Float64Array(start + T));
}

/** Every op of core/ops under the name of its file, and sampling. */
export function cpuSubjects(): readonly AnySubject[] {
  return [
    cpu<EmbeddingCase>("embedding", (c, out) => embedding(out, c.table, c.ids)),
    cpu<RmsNormCase>("rms-norm", (c, out) => rmsNorm(out, c.x, c.weight, c.eps, c.T)),
    cpu<MatmulCase>("matmul", (c, out) => matmul(out, c.x, c.weight, c.bias, c.T)),
    cpu<AwqMatmulCase>("awq-matmul", (c, out) => awqMatmul(out, c.x, c.weight, c.bias, c.T)),
    cpu<LinearCase>("linear", (c, out) => linear(out, c.x, c.linear, c.T)),
    cpu<RopeCase>("rope", (c, out) => rope(out, c.x, c.tables, c.start, c.T, c.heads)),
    cpu<SoftmaxCase>("softmax", (c, out) => softmax(out, 0, c.x, 0, c.x.length)),
    cpu<AttentionCase>("attention-weights", weightsOf),
    cpu<AttentionMixCase>("attention-mix", (c, out) =>
      attentionMix(out, 0, c.weights, c.v, c.start, c.T, c.shape, new Float64Array(c.shape.Hd)),
    ),
    cpu<AttentionCase>("attention", (c, out) => {
      const weights = new Float32Array(c.T * c.shape.H * (c.start + c.T));
      weightsOf(c, weights);
      attentionMix(out, 0, weights, c.v, c.start, c.T, c.shape, new Float64Array(c.shape.Hd));
    }),
    cpu<SiluMulCase>("silu-mul", (c, out) => siluMul(out, c.gate, c.up, c.length)),
    cpu<AddCase>("add", (c, out) => add(out, c.a, c.b, c.length)),
    // Its joins are f32.
    {
      ...cpu<Fixed16Case>("awq-matmul-fixed16", ({ x, weight, bias }, out) =>
        awqMatmulFixed16(out, quantizeFixed16(x, 1, x.length), weight, bias),
      ),
      arithmetic: "f32",
    },
    cpu<BlockSumsCase>("awq-block-sums", ({ x, weight }, out) => {
      const a = quantizeFixed16(x, 1, x.length);
      out.set(halves(blockWords(a, awqBlockSums(a, weight))));
    }),
    cpu<PenalizeCase>("penalize", (c, out) => {
      out.set(c.logits);
      penalize(out, c.seen, c.penalty);
    }),
    cpu<CandidatesCase>("candidates", ({ logits, options }, out) => {
      out.fill(0);
      for (const id of candidates(logits, options).ids) out[id] = 1;
    }),
    cpu<DrawsCase>("draws", ({ logits, options, position }, out) => {
      const all = candidates(logits, options);
      for (let i = 0; i < DRAWS; i++) out[i] = draw(all, uniformAt(options.seed, position + i));
    }),
    cpu<SampleCase>("sample", (c, out) => {
      const id = sample(c.logits, c.options, c.seen, c.position);
      out.set([id, logProbability(c.logits, id), 1, c.position, SAMPLED_BEFORE + 1, id, 1, 0]);
    }),
  ];
}
