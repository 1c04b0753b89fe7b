/** The products by subgroup matrices as subjects; none where the device has no such matrices. */
import { quantizeFixed16, signedFixed16Digits } from "../../core/quant/fixed16.ts";
import { missingFor } from "../../gpu/device/capabilities.ts";
import { recordAttentionPrefillMatrix } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { recordAwqPrefillF16Matrix } from "../../gpu/kernels/prefill/awq-prefill-f16-matrix.ts";
import { recordAwqPrefillFixed16Matrix } from "../../gpu/kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { ROWS16, recordAwqRows16F16Matrix } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { f16MatrixPrefill, fixed16MatrixPrefill } from "../../gpu/programs/prefill.ts";
import type { Program } from "../../gpu/programs/program.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import { f16Bits } from "../arbitraries.ts";
import type { AttentionCase } from "../cases/attention.ts";
import type { MatrixLinearCase } from "../cases/prefill-linear.ts";
import type { AnySubject, Subject } from "../kit.ts";
import { asF32, FILL, hand, type Io, inside, type Rig, runKernel } from "./rig.ts";
import { packed } from "./webgpu-fixed16.ts";

const rowsUp = (T: number, tile: number): number => Math.ceil(T / tile) * tile;

interface Target {
  readonly weights: BufferArg;
  readonly groups: BufferArg;
  readonly y: BufferArg;
}
interface Shape {
  readonly K: number;
  readonly N: number;
  readonly group: number;
  readonly add: boolean;
}

/** f16 numbers as their bits, up to `length` with FILL. */
function halves(x: Float32Array, length: number): Uint16Array {
  const bits = new Uint16Array(length).fill(f16Bits(FILL));
  x.forEach((value, i) => {
    bits[i] = f16Bits(value);
  });
  return bits;
}

export function matrixSubjects(rig: Rig): readonly AnySubject[] {
  const { capabilities } = rig.gpu;
  if (!capabilities.features.includes("chromium-experimental-subgroup-matrix")) return [];
  // Dawn's null device lists no configuration: it only says what subjects there are.
  const runs = ({ kernels }: Program): boolean =>
    capabilities.subgroupMatrixConfigs.length === 0 || kernels.every((kernel) => missingFor(kernel, capabilities) === undefined);
  const subjectOf = (op: string, kernel: string, run: Subject<MatrixLinearCase>["run"]): Subject<MatrixLinearCase> => ({
    op,
    backend: "webgpu",
    variant: kernel,
    arithmetic: "f32",
    kernels: [kernel],
    run,
  });
  /** `recordIt` multiplies `rows` rows, those of the case first, by the repacked matrix. */
  const product = (
    op: string,
    kernel: string,
    tile: number,
    recordIt: (io: Io, c: MatrixLinearCase, rows: number, buffers: Target, shape: Shape) => void,
  ): Subject<MatrixLinearCase> =>
    subjectOf(op, kernel, async (c, out) => {
      const { T, before, weight } = c;
      const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
      const rows = rowsUp(T, tile);
      const initial = new Float32Array(rows * N).fill(FILL);
      if (before) initial.set(before);
      const [words] = await runKernel(rig, T, 0, (io) => {
        const buffers = { ...packed(io, [weight]), y: io.output("y", rows * N, initial) };
        recordIt(io, c, rows, buffers, { K, N, group, add: before !== null });
      });
      hand(out, asF32(inside(words!)).subarray(0, T * N), [words!]);
    });
  /** Rows in eights (gpu/wgsl/eights.ts). */
  const eights = (io: Io, { x }: MatrixLinearCase, length: number): GPUBuffer =>
    io.input(
      "x",
      halves(
        x.map((_, i) => x[(i & ~7) + [0, 2, 4, 6, 1, 3, 5, 7][i & 7]!]!),
        length,
      ),
    );
  const prefill = product("awq-prefill-f16-matrix", "awq-prefill-f16-matrix", 128, (io, c, rows, buffers, shape) =>
    recordAwqPrefillF16Matrix(io.recorder, { x: eights(io, c, rows * shape.K), ...buffers }, shape),
  );
  /** Its pieces are joined here, with what y holds before: rounded once, less than any order of f32 sums may be off. */
  const rows16: Subject<MatrixLinearCase> = {
    ...subjectOf("awq-prefill-f16-matrix", "awq-rows16-f16-matrix", async (c, out) => {
      const { T, before, weight } = c;
      const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
      const pieces = Math.min(3, Math.ceil(K / 256));
      const first = before ? ROWS16 : 0;
      const initial = new Float32Array((first + ROWS16 * pieces) * N).fill(FILL);
      if (before) initial.set(before);
      const [words] = await runKernel(rig, T, 0, (io) => {
        const buffers = { x: eights(io, c, ROWS16 * K), ...packed(io, [weight]), y: io.output("y", initial.length, initial) };
        recordAwqRows16F16Matrix(io.recorder, buffers, { K, N, group, add: before !== null, pieces });
      });
      const y = asF32(inside(words!));
      const joined = Float32Array.from({ length: T * N }, (_, i) => {
        let sum = before ? y[i]! : 0;
        for (let p = 0; p < pieces; p++) sum += y[(first + ROWS16 * p) * N + i]!;
        return sum;
      });
      hand(out, joined, [words!]);
    }),
    accepts: ({ T }) => T <= ROWS16,
  };
  const fixed16 = product("awq-prefill-fixed16-matrix", "awq-prefill-fixed16-matrix", 64, (io, { T, x }, rows, buffers, shape) => {
    const a = quantizeFixed16(x, T, shape.K, DIGITS_BLOCK);
    const digits = new Int8Array(2 * rows * shape.K).fill(FILL & 127);
    digits.set(signedFixed16Digits(a));
    const scales = new Float32Array((rows * shape.K) / DIGITS_BLOCK).fill(FILL);
    scales.set(a.scales);
    const operands = { digits: io.input("digits", digits), scales: io.input("scales", scales) };
    recordAwqPrefillFixed16Matrix(io.recorder, { ...operands, ...buffers }, shape);
  });
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
      hand(out, asF32(inside(words!)).subarray(0, T * H * Hd), [words!]);
    },
  };
  return [...(runs(f16MatrixPrefill) ? [prefill, rows16, attention] : []), ...(runs(fixed16MatrixPrefill) ? [fixed16] : [])];
}
