/** The row-wise kernels of prefill as subjects. Digits come out as 16-bit numbers; rows in eights (gpu/wgsl/eights.ts) come out in their natural order, widened. */
import { f16Values } from "../../core/dtype.ts";
import { ROWS16 } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { recordPrefillDigits } from "../../gpu/kernels/prefill/prefill-digits.ts";
import { recordPrefillNormF16 } from "../../gpu/kernels/prefill/prefill-norm-f16.ts";
import { recordPrefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import { recordPrefillRowsF16 } from "../../gpu/kernels/prefill/prefill-rows-f16.ts";
import { recordPrefillSiluMulF16 } from "../../gpu/kernels/prefill/prefill-silu-mul-f16.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import { PREFILL_EPS, type RowsCase } from "../cases/prefill-rows.ts";
import { halves } from "../cases/words.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { DigitsCase } from "../ops/prefill-digits.ts";
import type { PrefillRopeCase } from "../ops/prefill-rope-f16.ts";
import { asF32, FILL, hand, type Io, inside, type Rig, runKernel } from "./rig.ts";

/** The numbers between the guard bands of an f16 buffer. */
function widen(words: Uint32Array): Float32Array {
  const { buffer, byteOffset, length } = inside(words);
  return Float32Array.from(new Uint16Array(buffer, byteOffset, length * 2), (bits) => f16Values()[bits]!);
}

/** Place of element i of eight: 0 2 4 6 1 3 5 7. */
const eighth = (i: number): number => (i & ~7) + ((i & 7) >> 1) + 4 * (i & 1);

/** The most pieces that the subjects cut rows into. */
const PIECES = 3;

/** x [T, width] as `count` pieces of 16 rows whose sum it is: element i in piece i mod count, 0 in the others. */
function inPieces(x: Float32Array, width: number, count: number): Float32Array {
  const pieces = new Float32Array(count * ROWS16 * width).fill(FILL);
  for (let p = 0; p < count; p++)
    pieces.set(
      x.map((value, i) => (i % count === p ? value : 0)),
      p * ROWS16 * width,
    );
  return pieces;
}

export function prefillSubjects(rig: Rig): readonly AnySubject[] {
  const rows = (kernel: string, build: (io: Io, c: RowsCase, x: GPUBufferBinding) => void): Subject<RowsCase> => ({
    op: kernel,
    backend: "webgpu",
    variant: kernel,
    arithmetic: "f32",
    kernels: [kernel],
    async run(c, out) {
      const [words] = await runKernel(rig, c.T, 0, (io) => build(io, c, io.output("x", out.length / 2)));
      const eights = widen(words!);
      hand(
        out,
        out.map((_, i) => eights[eighth(i)]!),
        [words!],
      );
    },
  });
  const rope = (pieces: number): Subject<PrefillRopeCase> => ({
    op: "prefill-rope-f16",
    backend: "webgpu",
    variant: `prefill-rope-f16${pieces > 1 ? "-in-pieces" : ""}`,
    arithmetic: "f32",
    kernels: ["prefill-rope-f16"],
    async run({ T, start, H, G, Hd, S, tables, y }, out) {
      const table = new Float32Array(2 * tables.cos.length);
      for (let i = 0; i < tables.cos.length; i++) table.set([tables.cos[i]!, tables.sin[i]!], 2 * i);
      const zeros = new Uint32Array((S * G * Hd) / 2);
      const read = await runKernel(rig, T, start, (io) => {
        const buffers = {
          y: io.input("y", pieces > 1 ? inPieces(y, (H + 2 * G) * Hd, pieces) : y),
          table: io.input("table", table),
          q: io.output("q", (T * H * Hd) / 2),
          k_cache: io.output("keys", zeros.length, zeros),
          v_cache: io.output("values", zeros.length, zeros),
          step: io.step,
        };
        recordPrefillRopeF16(io.recorder, buffers, { H, G, Hd }, pieces);
      });
      hand(
        out,
        read.flatMap((words) => [...widen(words)]),
        read,
      );
    },
  });
  /** The residual in pieces, and whether it comes out joined; additions may flush subnormal numbers. */
  const normInPieces: Subject<RowsCase> = {
    op: "prefill-norm-f16",
    backend: "webgpu",
    variant: "prefill-norm-f16-in-pieces",
    arithmetic: "f32",
    kernels: ["prefill-norm-f16"],
    async run({ T, width, x, y }, out) {
      const read = await runKernel(rig, T, 0, (io) => {
        const pieces = 1 + ((T + width / 32) % PIECES);
        const initial = inPieces(x, width, pieces + 1);
        const buffers = { x: io.output("x", out.length / 2), norm: io.input("norm", y) };
        const residual = io.output("residual", initial.length, initial);
        recordPrefillNormF16(io.recorder, { ...buffers, residual }, { K: width, eps: PREFILL_EPS, pieces });
      });
      const eights = widen(read[0]!);
      const residual = asF32(inside(read[1]!));
      hand(
        out,
        out.map((_, i) => (Math.abs(residual[i]! - x[i]!) < 2 ** -126 || !Number.isFinite(x[i]!) ? eights[eighth(i)]! : Number.NaN)),
        read,
      );
    },
  };
  const digits: Subject<DigitsCase> = {
    op: "prefill-digits",
    backend: "webgpu",
    variant: "prefill-digits",
    arithmetic: "f32",
    kernels: ["prefill-digits"],
    async run({ T, K, x }, out) {
      const read = await runKernel(rig, T, 0, (io) => {
        const outputs = { digits: io.output("digits", x.length / 2), scales: io.output("scales", x.length / DIGITS_BLOCK) };
        recordPrefillDigits(io.recorder, { x: io.input("x", x), ...outputs }, { K });
      });
      hand(
        out,
        read.flatMap((words) => [...halves(inside(words))]),
        read,
      );
    },
  };
  return [
    digits,
    rows("prefill-rows-f16", (io, c, x) => recordPrefillRowsF16(io.recorder, { y: io.input("y", c.x), x }, { K: c.width })),
    rows("prefill-norm-f16", (io, c, x) =>
      recordPrefillNormF16(
        io.recorder,
        { residual: io.output("residual", c.x.length, c.x), norm: io.input("norm", c.y), x },
        { K: c.width, eps: PREFILL_EPS },
      ),
    ),
    rows("prefill-silu-mul-f16", (io, c, x) => {
      const both = new Float32Array(2 * c.x.length);
      for (let t = 0; t < c.T; t++) {
        both.set(c.x.subarray(t * c.width, (t + 1) * c.width), 2 * t * c.width);
        both.set(c.y.subarray(t * c.width, (t + 1) * c.width), (2 * t + 1) * c.width);
      }
      recordPrefillSiluMulF16(io.recorder, { y: io.input("y", both), x }, { F: c.width });
    }),
    normInPieces,
    rope(1),
    rope(PIECES),
  ];
}
