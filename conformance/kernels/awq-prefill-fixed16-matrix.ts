import { quantizeFixed16, signedFixed16Digits } from "../../core/quant/fixed16.ts";
import { awqPrefillFixed16Matrix } from "../../gpu/kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import type { MatrixLinearCase } from "../cases/prefill-linear.ts";
import { type AnyGpuSubject, FILL, onMatrices, type Rig } from "../subjects/rig.ts";
import { matrixProduct } from "./awq-prefill-f16-matrix.ts";

function operands({ T, x, weight: { inFeatures: K } }: MatrixLinearCase, rows: number): Record<"digits" | "scales", ArrayBufferView> {
  const a = quantizeFixed16(x, T, K, DIGITS_BLOCK);
  const digits = new Int8Array(2 * rows * K).fill(FILL & 127);
  digits.set(signedFixed16Digits(a));
  const scales = new Float32Array((rows * K) / DIGITS_BLOCK).fill(FILL);
  scales.set(a.scales);
  return { digits, scales };
}

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, awqPrefillFixed16Matrix, [matrixProduct(rig, awqPrefillFixed16Matrix, 64, operands)]);
