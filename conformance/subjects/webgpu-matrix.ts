/** The products by subgroup matrices as subjects; none where the device has no such matrices. */
import type { AwqMatrix } from "../../core/model/weights.ts";
import { quantizeFixed16, signedFixed16Digits } from "../../core/quant/fixed16.ts";
import { recordAttentionPrefillMatrix } from "../../gpu/kernels/attention-prefill-matrix.ts";
import { recordAwqPrefillF16Matrix } from "../../gpu/kernels/awq-prefill-f16-matrix.ts";
import { recordAwqPrefillFixed16Matrix } from "../../gpu/kernels/awq-prefill-fixed16-matrix.ts";
import { recordAwqRepack } from "../../gpu/kernels/awq-repack.ts";
import { ROWS16, recordAwqRows16F16Matrix } from "../../gpu/kernels/awq-rows16-f16-matrix.ts";
import { type MatrixPrefill, matrixDeviceRefusal } from "../../gpu/model/fused-prefill.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import { f16Bits } from "../arbitraries.ts";
import { GUARD } from "../compare.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { AttentionCase } from "../laws/attention.ts";
import type { Fixed16LinearCase } from "../laws/prefill-fixed16.ts";
import type { MatrixLinearCase } from "../laws/prefill-matrix.ts";
import { hand, type Io, type Rig, runKernel } from "./rig.ts";

/** What lies in rows of a tile that no row of the case fills: finite, and wrong if it reaches a result. */
const FILL = 777;

const rowsUp = (T: number, tile: number): number => Math.ceil(T / tile) * tile;

/** f16 numbers as their bits, up to `length` with FILL. */
function halves(x: Float32Array, length: number): Uint16Array {
  const bits = new Uint16Array(length).fill(f16Bits(FILL));
  x.forEach((value, i) => {
    bits[i] = f16Bits(value);
  });
  return bits;
}

/** The matrix repacked. */
function packed(io: Io, { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales }: AwqMatrix) {
  const target = { weights: io.scratch("weights", (N * K) / 2), groups: io.scratch("groups", N * (K / groupSize) * 4) };
  const source = { qweight: io.input("qweight", qweight), qzeros: io.input("qzeros", qzeros), scales: io.input("scales", scales) };
  recordAwqRepack(io.recorder, { ...source, ...target }, { K, N, groupSize, firstRow: 0 });
  return target;
}

export function matrixSubjects(rig: Rig): readonly AnySubject[] {
  const { capabilities } = rig.gpu;
  if (!capabilities.features.includes("chromium-experimental-subgroup-matrix")) return [];
  // Dawn's null device lists no configuration: it only says what subjects there are.
  const runs = (name: MatrixPrefill): boolean =>
    capabilities.subgroupMatrixConfigs.length === 0 || matrixDeviceRefusal(name, capabilities) === undefined;
  const linear = (kernel: string, tile: number, recordIt: typeof recordAwqRows16F16Matrix, most: number): Subject<MatrixLinearCase> => ({
    op: "awq-prefill-f16-matrix",
    backend: "webgpu",
    variant: kernel,
    arithmetic: "f32",
    kernels: [kernel],
    accepts: ({ T }) => T <= most,
    async run({ T, x, weight, before }, out) {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const rows = rowsUp(T, tile);
      // Eights in the order of gpu/wgsl/eights.ts.
      const eights = x.map((_, i) => x[(i & ~7) + [0, 2, 4, 6, 1, 3, 5, 7][i & 7]!]!);
      const initial = new Float32Array(rows * N).fill(FILL);
      if (before) initial.set(before);
      const [words] = await runKernel(rig, T, 0, (io) => {
        const y = io.output("y", rows * N, initial);
        const shape = { K, N, group: groupSize, add: before !== null };
        recordIt(io.recorder, { x: io.input("x", halves(eights, rows * K)), ...packed(io, weight), y }, shape);
      });
      hand(out, new Float32Array(words!.buffer, words!.byteOffset + 4 * GUARD, T * N), [words!]);
    },
  });
  const fixed16: Subject<Fixed16LinearCase> = {
    op: "awq-prefill-fixed16-matrix",
    backend: "webgpu",
    variant: "awq-prefill-fixed16-matrix",
    arithmetic: "f32",
    kernels: ["awq-prefill-fixed16-matrix"],
    async run({ T, x, weight, before }, out) {
      const { inFeatures: K, outFeatures: N, groupSize } = weight;
      const rows = rowsUp(T, 64);
      const a = quantizeFixed16(x, T, K, DIGITS_BLOCK);
      const digits = new Int8Array(2 * rows * K).fill(FILL & 127);
      digits.set(signedFixed16Digits(a));
      const scales = new Float32Array((rows * K) / DIGITS_BLOCK).fill(FILL);
      scales.set(a.scales);
      const initial = new Float32Array(rows * N).fill(FILL);
      if (before) initial.set(before);
      const [words] = await runKernel(rig, T, 0, (io) => {
        const y = io.output("y", rows * N, initial);
        const buffers = { digits: io.input("digits", digits), scales: io.input("scales", scales), ...packed(io, weight), y };
        recordAwqPrefillFixed16Matrix(io.recorder, buffers, { K, N, group: groupSize, add: before !== null });
      });
      hand(out, new Float32Array(words!.buffer, words!.byteOffset + 4 * GUARD, T * N), [words!]);
    },
  };
  const attention: Subject<AttentionCase> = {
    op: "attention-prefill-matrix",
    backend: "webgpu",
    variant: "attention-prefill-matrix",
    arithmetic: "f32",
    kernels: ["attention-prefill-matrix"],
    async run({ T, start, shape: { H, G, Hd, window }, q, k, v }, out) {
      const rows = rowsUp(T, 64);
      const positions = rowsUp(start + T, 64) + 64;
      const [words] = await runKernel(rig, T, start, (io) => {
        const buffers = {
          q: io.input("q", halves(q, rows * H * Hd)),
          k_cache: io.input("keys", halves(k, positions * G * Hd)),
          v_cache: io.input("values", halves(v, positions * G * Hd)),
          out: io.output("out", rows * H * Hd),
          step: io.step,
        };
        recordAttentionPrefillMatrix(io.recorder, buffers, { H, G, Hd, window });
      });
      hand(out, new Float32Array(words!.buffer, words!.byteOffset + 4 * GUARD, T * H * Hd), [words!]);
    },
  };
  const f16 = [
    linear("awq-prefill-f16-matrix", 128, (recorder, buffers, shape) => recordAwqPrefillF16Matrix(recorder, buffers, shape), Infinity),
    linear("awq-rows16-f16-matrix", ROWS16, recordAwqRows16F16Matrix, ROWS16),
    attention,
  ];
  return [...(runs("f16-matrix") ? f16 : []), ...(runs("fixed16-matrix") ? [fixed16] : [])];
}
