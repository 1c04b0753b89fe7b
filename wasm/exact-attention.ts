/** Attention of `exact` over its kernel: q is fixed here, keys and values lie fixed in a bank of their session's. */
import { attention } from "../core/exact/attention.ts";
import { mul } from "../core/exact/numbers.ts";
import type { ExactOps } from "../core/exact/ops.ts";
import { fixInto } from "../core/exact/rows.ts";
import { WORTH_SHARING } from "./attention.ts";
import { frameOf, readSingles, viewsOf } from "./frame.ts";
import { EXACT_HEAD, EXACT_KEYS, exactAttentionScratch } from "./kernels/exact-attention.ts";
import { ROWS } from "./linears.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const kernel = kernelIndex("exact-attention");

/** Frame bytes for up to S keys. */
export const exactAttentionFrameBytes = (S: number, H: number, G: number, Hd: number, threads: number): number =>
  12 * ROWS * H * Hd + threads * (exactAttentionScratch(Math.min(S, EXACT_KEYS), Math.ceil(H / G), Hd) + 64) + 1024;

export function makeExactAttention(team: Team, banks: Banks): ExactOps["attention"] {
  const { args, threads } = team;
  return (out, q, cache, start, T, shape, factor) => {
    const { H, G, Hd, window } = shape;
    const S = start + T;
    if (H % G !== 0 || Hd > EXACT_HEAD || S > EXACT_KEYS) {
      attention(out, q, cache, start, T, shape, factor);
      return;
    }
    const arrays = [cache.keys, cache.values, cache.keyExponents, cache.valueExponents] as const;
    const frameBytes = exactAttentionFrameBytes(S, H, G, Hd, threads);
    const home = arrays.every(({ buffer }) => buffer === cache.keys.buffer) ? banks.find(cache.keys.buffer) : undefined;
    const { bank, addresses } =
      home && frameBytes <= home.end - home.frame
        ? { bank: home, addresses: arrays.map(({ byteOffset }) => byteOffset) }
        : banks.visit(
            arrays.map((array, i) => array.subarray(0, S * G * (i < 2 ? Hd : 1))),
            frameBytes,
          );
    const frame = frameOf(bank);
    const qAt = frame.take(4 * ROWS * H * Hd);
    const exponentsAt = frame.take(4 * ROWS * H);
    const outAt = frame.take(4 * ROWS * H * Hd);
    const scratchBytes = Math.ceil(exactAttentionScratch(S, H / G, Hd) / 64) * 64;
    const scratch = frame.take(threads * scratchBytes);
    const { f32, i32 } = viewsOf(bank);
    const [keys, values, keyExponents, valueExponents] = addresses as [number, number, number, number];
    for (let t = 0; t < T; t += ROWS) {
      const rows = Math.min(ROWS, T - t);
      const [from, to] = [t * H * Hd, qAt / 4];
      for (let i = 0; i < rows * H * Hd; i++) f32[to + i] = mul(q[from + i]!, factor);
      for (let head = 0; head < rows * H; head++)
        i32[exponentsAt / 4 + head] = fixInto(f32, to + head * Hd, f32.subarray(to + head * Hd, to + (head + 1) * Hd), 0, Hd, 24);
      args.set([qAt, exponentsAt, keys, values, keyExponents, valueExponents, outAt, start + t, G, H / G, Hd, window ?? 0]);
      const units = rows * G;
      const shared = threads > 1 && rows * H * Hd * (start + t + rows) >= WORTH_SHARING;
      team.run(bank, kernel, scratch, scratchBytes, units, shared ? Math.max(1, Math.floor(units / (4 * threads))) : units);
      readSingles(bank, outAt, out, t * H * Hd, rows * H * Hd);
    }
  };
}
