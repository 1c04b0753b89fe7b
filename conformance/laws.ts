/** The law kits by name: one file a kit in laws/, named as the op's file in core/ops; the fused decode kernels share fixed16.ts, those of prefill prefill-f16.ts, prefill-fixed16.ts and prefill-matrix.ts. A test compares this list with the tree. */
import type { AnyKit } from "./kit.ts";
import { kit as add } from "./ops/add.ts";
import { kit as attention } from "./ops/attention.ts";
import { kit as attentionMix } from "./ops/attention-mix.ts";
import { kit as attentionWeights } from "./ops/attention-weights.ts";
import { kit as awqBlockSums } from "./ops/awq-block-sums.ts";
import { kit as awqMatmul } from "./ops/awq-matmul.ts";
import { kit as awqRepack } from "./ops/awq-repack.ts";
import { kit as cacheWrite } from "./ops/cache-write.ts";
import { kit as candidates } from "./ops/candidates.ts";
import { kit as draws } from "./ops/draws.ts";
import { kit as embedding } from "./ops/embedding.ts";
import {
  addKit as awqAddFixed16,
  gateUpKit as awqGateUpFixed16,
  matmulKit as awqMatmulFixed16,
  qkvRopeKit as awqQkvRopeFixed16,
  embedKit as embedFixed16,
  headKit as headF16,
} from "./ops/fixed16.ts";
import { kit as linear } from "./ops/linear.ts";
import { kit as matmul } from "./ops/matmul.ts";
import { kit as penalize } from "./ops/penalize.ts";
import {
  normF16Kit as prefillNormF16,
  ropeF16Kit as prefillRopeF16,
  rowsF16Kit as prefillRowsF16,
  siluMulF16Kit as prefillSiluMulF16,
} from "./ops/prefill-f16.ts";
import { linearKit as awqPrefillFixed16Matrix, digitsKit as prefillDigits } from "./ops/prefill-fixed16.ts";
import { attentionKit as attentionPrefillMatrix, linearKit as awqPrefillF16Matrix } from "./ops/prefill-matrix.ts";
import { kit as rmsNorm } from "./ops/rms-norm.ts";
import { kit as rope } from "./ops/rope.ts";
import { kit as sample } from "./ops/sample.ts";
import { kit as siluMul } from "./ops/silu-mul.ts";
import { kit as softmax } from "./ops/softmax.ts";

const kits: readonly AnyKit[] = [
  embedding,
  rmsNorm,
  matmul,
  awqMatmul,
  awqRepack,
  linear,
  rope,
  cacheWrite,
  softmax,
  attentionWeights,
  attentionMix,
  attention,
  siluMul,
  add,
  penalize,
  sample,
  candidates,
  draws,
  awqBlockSums,
  awqMatmulFixed16,
  awqAddFixed16,
  embedFixed16,
  awqGateUpFixed16,
  awqQkvRopeFixed16,
  headF16,
  prefillRowsF16,
  prefillNormF16,
  prefillSiluMulF16,
  prefillRopeF16,
  prefillDigits,
  awqPrefillF16Matrix,
  awqPrefillFixed16Matrix,
  attentionPrefillMatrix,
];

export const laws: Readonly<Record<string, AnyKit>> = Object.fromEntries(kits.map((kit) => [kit.name, kit]));
