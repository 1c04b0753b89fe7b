/** RMS norm over its kernel, for several rows; one row is a single chain of additions, which the JavaScript op does as fast. */
import { rmsNorm } from "../core/ops/rms-norm.ts";
import { checkLength } from "../core/tensor.ts";
import { frameOf, readSingles, viewsOf, writeSingles } from "./frame.ts";
import { NORM_ROWS, rmsNormScratch } from "./kernels/rms-norm.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const kernel = kernelIndex("rms-norm");

export function makeNorm(team: Team, banks: Banks): typeof rmsNorm {
  const { args } = team;
  return (out, x, weight, eps, T) => {
    const D = weight.length;
    if (T === 1) {
      rmsNorm(out, x, weight, eps, T);
      return;
    }
    checkLength("rmsNorm", "x", x, T * D);
    checkLength("rmsNorm", "out", out, T * D);
    const { bank } = banks.visit([], 8 * NORM_ROWS * D + 4 * D + rmsNormScratch + 1024);
    const frame = frameOf(bank);
    const xAt = frame.take(4 * NORM_ROWS * D);
    const outAt = frame.take(4 * NORM_ROWS * D);
    const weightAt = frame.take(4 * D);
    const constantsAt = frame.take(16);
    const scratch = frame.take(rmsNormScratch);
    writeSingles(bank, weightAt, weight);
    const { f64 } = viewsOf(bank);
    f64[constantsAt / 8] = D;
    f64[constantsAt / 8 + 1] = eps;
    for (let t = 0; t < T; t += NORM_ROWS) {
      const rows = Math.min(NORM_ROWS, T - t);
      writeSingles(bank, xAt, x.subarray(t * D, (t + rows) * D));
      args[0] = xAt;
      args[1] = weightAt;
      args[2] = outAt;
      args[3] = constantsAt;
      args[4] = D;
      args[5] = rows;
      team.run(bank, kernel, scratch, rmsNormScratch, 1, 1);
      readSingles(bank, outAt, out, t * D, rows * D);
    }
  };
}
