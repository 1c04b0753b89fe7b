/** The law kits by name: one file a kit in laws/, named as the op's file in core/ops; the fused decode kernels share fixed16.ts, those of prefill prefill-f16.ts, prefill-fixed16.ts and prefill-matrix.ts. A test compares this list with the tree. */
import type { AnyKit } from "./kit.ts";
import { kit as add } from "./laws/add.ts";
import { kit as attention } from "./laws/attention.ts";
import { kit as attentionMix } from "./laws/attention-mix.ts";
import { kit as attentionWeights } from "./laws/attention-weights.ts";
import { kit as awqBlockSums } from "./laws/awq-block-sums.ts";
import { kit as awqMatmul } from "./laws/awq-matmul.ts";
import { kit as awqRepack } from "./laws/awq-repack.ts";
import { kit as cacheWrite } from "./laws/cache-write.ts";
import { kit as candidates } from "./laws/candidates.ts";
import { kit as draws } from "./laws/draws.ts";
import { kit as embedding } from "./laws/embedding.ts";
import {
  addKit as awqAddFixed16,
  gateUpKit as awqGateUpFixed16,
  matmulKit as awqMatmulFixed16,
  qkvRopeKit as awqQkvRopeFixed16,
  embedKit as embedFixed16,
  headKit as headF16,
} from "./laws/fixed16.ts";
import { kit as linear } from "./laws/linear.ts";
import { kit as matmul } from "./laws/matmul.ts";
import { kit as penalize } from "./laws/penalize.ts";
import {
  normF16Kit as prefillNormF16,
  ropeF16Kit as prefillRopeF16,
  rowsF16Kit as prefillRowsF16,
  siluMulF16Kit as prefillSiluMulF16,
} from "./laws/prefill-f16.ts";
import { linearKit as awqPrefillFixed16Matrix, digitsKit as prefillDigits } from "./laws/prefill-fixed16.ts";
import { attentionKit as attentionPrefillMatrix, linearKit as awqPrefillF16Matrix } from "./laws/prefill-matrix.ts";
import { kit as rmsNorm } from "./laws/rms-norm.ts";
import { kit as rope } from "./laws/rope.ts";
import { kit as sample } from "./laws/sample.ts";
import { kit as siluMul } from "./laws/silu-mul.ts";
import { kit as softmax } from "./laws/softmax.ts";

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
