/** The arithmetic `exact` on kernels: the same words as core/exact, several times faster, on as many threads as wanted. */
import type { FixedCache } from "../core/exact/attention.ts";
import type { ExactOps } from "../core/exact/ops.ts";
import { exactAttentionFrameBytes, makeExactAttention } from "./exact-attention.ts";
import { makeExactLinears } from "./exact-linears.ts";
import { frameOf, readSingles, writeSingles } from "./frame.ts";
import type { Wasm } from "./host.ts";
import { type Bank, makePlacement } from "./memory/bank.ts";
import type { Banks } from "./memory/banks.ts";
import { kernelIndex, type Team } from "./threads/team.ts";

const siluMulKernel = kernelIndex("exact-silu-mul");
/** Elements below which waking other threads costs more than they save. */
const WORTH_SHARING = 1 << 12;

export function makeExactOps(wasm: Wasm, team: Team, banks: Banks): ExactOps {
  const { args, threads } = team;
  const banksOfCaches = new Map<readonly FixedCache[], readonly Bank[]>();
  return {
    linear: makeExactLinears(team, banks),
    attention: makeExactAttention(team, banks),
    siluMul(gate, up) {
      const { length } = gate;
      const { bank } = banks.visit([], 8 * length + 1024);
      const frame = frameOf(bank);
      const gateAt = frame.take(4 * length);
      const upAt = frame.take(4 * length);
      writeSingles(bank, gateAt, gate);
      writeSingles(bank, upAt, up);
      args[0] = gateAt;
      args[1] = upAt;
      const step = threads > 1 && length >= WORTH_SHARING ? Math.ceil(length / (2 * threads)) : length;
      team.run(bank, siluMulKernel, frame.take(0), 0, length, step);
      readSingles(bank, gateAt, gate, 0, length);
    },
    makeCache({ numHiddenLayers: L, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd }, capacity) {
      const [rows, exponents] = [4 * capacity * G * Hd, 2 * capacity * G];
      const frameBytes = exactAttentionFrameBytes(capacity, H, G, Hd, threads);
      const placement = makePlacement(wasm, 2 * L * (rows + exponents), 4 * L, frameBytes, "cache");
      const layers = Array.from({ length: L }, (): FixedCache => {
        const [keys, values, ...both] = placement.allocate([rows, rows, exponents, exponents]);
        const [keyExponents, valueExponents] = both.map((view) => new Int16Array(view.buffer, view.byteOffset, capacity * G));
        const singles = (view: Uint8Array): Float32Array => new Float32Array(view.buffer, view.byteOffset, capacity * G * Hd);
        return { keys: singles(keys!), values: singles(values!), keyExponents: keyExponents!, valueExponents: valueExponents! };
      });
      for (const bank of placement.banks) banks.add(bank);
      banksOfCaches.set(layers, placement.banks);
      return layers;
    },
    dropCache(layers) {
      for (const bank of banksOfCaches.get(layers) ?? []) banks.drop(bank);
      banksOfCaches.delete(layers);
    },
    pass: (body) => team.pass(body),
    dispose: () => team.close(),
  };
}
