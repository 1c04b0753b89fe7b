/** A linear whose outputs lie behind those of another matrix, as pieces of a large one do. */
import { POISON } from "../compare.ts";
import { asF32, type Given, hand, type Io, inside, intoOut, type Rig, runKernel } from "./rig.ts";

/** Outputs from which on a linear lies behind others: a matrix of fewer is never cut. */
const WIDE = 8192;

/** Where a linear's columns begin among all, and whether it has a bias. */
export interface Beside {
  readonly firstColumn: number;
  readonly columns: number;
  readonly hasBias: boolean;
}

/**
 * Runs a linear into `out`, a wide one behind as many columns of another, which keep what they hold. A kernel that stands in for another
 * (`rig.replace`) is asked for whole matrices only: it need not know of columns before its own.
 */
export async function besideOthers(
  rig: Rig,
  out: Float32Array,
  T: number,
  N: number,
  bias: Float32Array | null,
  run: (io: Io, beside: Beside, given: Given<string>) => void,
): Promise<void> {
  const hasBias = bias !== null;
  if (N <= WIDE || rig.replace)
    return intoOut(rig, out, T, 0, (io) => run(io, { firstColumn: 0, columns: N, hasBias }, bias ? { bias } : {}));
  const columns = 2 * N;
  const joined = new Float32Array(columns);
  if (bias) joined.set(bias, N);
  const read = await runKernel(rig, T, 0, (io) => run(io, { firstColumn: N, columns, hasBias }, bias ? { bias: joined } : {}));
  const words = inside(read.out!);
  const all = asF32(words);
  hand(
    out,
    Float32Array.from(out, (_, i) => all[Math.floor(i / N) * columns + N + (i % N)]!),
    read,
  );
  for (let t = 0; t < T; t++) if (words.subarray(t * columns, t * columns + N).some((word) => word !== POISON)) out[0] = Number.NaN;
}
