/** Attention over its kernel: q and out go through the frame of the bank that holds keys and values. */
import { type AttentionShape, attention } from "../core/ops/attention.ts";
import { checkLength } from "../core/tensor.ts";
import { frameOf, readSingles, viewsOf, writeSingles } from "./frame.ts";
import { attentionScratch } from "./kernels/attention.ts";
import { ROWS } from "./linears.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

/** Multiply-adds below which waking other threads costs more than they save. */
export const WORTH_SHARING: number = 1 << 18;
const kernel = kernelIndex("attention");

/** Frame bytes for up to S keys. */
export const attentionFrameBytes = (S: number, H: number, G: number, Hd: number, threads: number): number =>
  8 * ROWS * H * Hd + threads * (attentionScratch(S, H / G, Hd) + 64) + 1024;

export type AttentionOp = typeof attention;

export function makeAttention(team: Team, banks: Banks): AttentionOp {
  const { args, threads } = team;
  return (out, q, k, v, start, T, shape: AttentionShape) => {
    const { H, G, Hd, window } = shape;
    const S = start + T;
    if (H % G !== 0) {
      attention(out, q, k, v, start, T, shape);
      return;
    }
    checkLength("attention", "q", q, T * H * Hd);
    checkLength("attention", "k", k, S * G * Hd);
    checkLength("attention", "v", v, S * G * Hd);
    checkLength("attention", "out", out, T * H * Hd);
    const frameBytes = attentionFrameBytes(S, H, G, Hd, threads);
    const home = k.buffer === v.buffer ? banks.find(k.buffer) : undefined;
    const filled = S * G * Hd;
    const { bank, addresses } =
      home && frameBytes <= home.end - home.frame
        ? { bank: home, addresses: [k.byteOffset, v.byteOffset] }
        : banks.visit([k.subarray(0, filled), v.subarray(0, filled)], frameBytes);
    const frame = frameOf(bank);
    const qAt = frame.take(4 * ROWS * H * Hd);
    const outAt = frame.take(4 * ROWS * H * Hd);
    const scaleAt = frame.take(8);
    viewsOf(bank).f64[scaleAt / 8] = 1 / Math.sqrt(Hd);
    const scratchBytes = Math.ceil(attentionScratch(S, H / G, Hd) / 64) * 64;
    const scratch = frame.take(threads * scratchBytes);
    for (let t = 0; t < T; t += ROWS) {
      const rows = Math.min(ROWS, T - t);
      writeSingles(bank, qAt, q.subarray(t * H * Hd, (t + rows) * H * Hd));
      args[0] = qAt;
      args[1] = addresses[0]!;
      args[2] = addresses[1]!;
      args[3] = outAt;
      args[4] = scaleAt;
      args[5] = start + t;
      args[6] = G;
      args[7] = H / G;
      args[8] = Hd;
      args[9] = window ?? 0;
      const units = rows * G;
      const shared = threads > 1 && rows * H * Hd * (start + t + rows) >= WORTH_SHARING;
      team.run(bank, kernel, scratch, scratchBytes, units, shared ? Math.max(1, Math.floor(units / (4 * threads))) : units);
      readSingles(bank, outAt, out, t * H * Hd, rows * H * Hd);
    }
  };
}
