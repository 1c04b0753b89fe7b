/** Several threads: the same bits, sleep between passes, named errors. Cost: about 3 s. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { nodeThreads, physicalCores } from "../../../core/host/node-threads.ts";
import type { CpuOps } from "../../../core/model/ops.ts";
import { referenceOps } from "../../../core/model/ops.ts";
import type { HostThreads } from "../../../core/threads.ts";
import type { WasmCpu } from "../../../wasm/cpu.ts";
import { plain, values } from "../../arbitraries.ts";
import { awqMatrix, denseMatrix, usualAwq } from "../../cases/matrices.ts";
import { wasmOps } from "./ops.ts";

const open: WasmCpu[] = [];
afterEach(() => {
  for (const ops of open.splice(0)) ops.dispose();
});

/** Ops on `threads` threads whose workers know a cache of the test's own. */
async function threaded(threads: number, host: HostThreads = nodeThreads()): Promise<WasmCpu> {
  const ops = await wasmOps({ threads, host });
  open.push(ops);
  return ops;
}

const [K, N] = [512, 1096];
const config = { numHiddenLayers: 1, numAttentionHeads: 12, numKeyValueHeads: 4, headDim: 64 } as Parameters<CpuOps["makeCache"]>[0];
const [H, G, Hd] = [12, 4, 64];

/** Results of every op that is divided among threads, for one row and for several. Weights lie in a bank, as a model's do. */
function runAll(ops: CpuOps): Float32Array[] {
  const place = "placeWeights" in ops ? (ops as WasmCpu).placeWeights(sizes, 4 * K * N, 8) : undefined;
  const lie = <T extends Int32Array | Uint16Array | Float32Array>(...arrays: T[]): T[] => {
    const memory = place?.(arrays.map(({ byteLength }) => byteLength));
    return arrays.map((array, i) => {
      if (!memory) return array;
      const Type = array.constructor as new (buffer: ArrayBufferLike, byteOffset: number, length: number) => T;
      const copy = new Type(memory[i]!.buffer, memory[i]!.byteOffset, array.length);
      copy.set(array as never);
      return copy;
    });
  };
  const matrix = awqMatrix(usualAwq, K, N, 128);
  const [qweight, qzeros, scales] = lie<Int32Array | Uint16Array>(matrix.qweight, matrix.qzeros, matrix.scales) as [
    Int32Array,
    Int32Array,
    Uint16Array,
  ];
  const dense = denseMatrix(plain, "F16", N, K);
  const [data] = lie(dense.data as Uint16Array);
  const bias = values({ ...plain, seed: 4 }, N);
  const start = 150;
  const cache = ops.makeCache(config, start + 5);
  cache.keys[0]!.set(values({ ...plain, seed: 5 }, (start + 5) * G * Hd));
  cache.values[0]!.set(values({ ...plain, seed: 6 }, (start + 5) * G * Hd));
  const results: Float32Array[] = [];
  for (let repeat = 0; repeat < 3; repeat++)
    ops.pass(() => {
      for (const T of [1, 5, 19]) {
        const x = values({ ...plain, seed: T }, T * K);
        const awq = new Float32Array(T * N);
        ops.linear(awq, x, { weight: { ...matrix, qweight, qzeros, scales }, bias }, T);
        const full = new Float32Array(T * N);
        ops.matmul(full, x, { ...dense, data: data! }, null, T);
        results.push(awq, full);
      }
      for (const T of [1, 5]) {
        const out = new Float32Array(T * H * Hd);
        const q = values({ ...plain, seed: 7 }, T * H * Hd);
        ops.attention(out, q, cache.keys[0]!, cache.values[0]!, start, T, { H, G, Hd, window: null });
        results.push(out);
      }
    });
  ops.dropCache(cache);
  return results;
}
const sizes = { hiddenSize: K, intermediateSize: N, vocabSize: N, numAttentionHeads: 1, headDim: K } as Parameters<
  WasmCpu["placeWeights"]
>[0];

describe("threads", () => {
  it.each([1, 2, 3, 5])("%d give the bits of the JavaScript ops", async (threads) => {
    const ops = await threaded(threads);
    expect(ops.threads).toBe(threads);
    const expected = runAll(referenceOps);
    expect(runAll(ops)).toEqual(expected);
    // Workers are there by now.
    await sleep(200);
    expect(runAll(ops)).toEqual(expected);
  });

  it("take no CPU time between passes", async () => {
    const ops = await threaded(3);
    await sleep(300);
    runAll(ops);
    await sleep(50);
    const before = process.cpuUsage();
    await sleep(1000);
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1e3).toBeLessThan(150);
  });

  it("are as many as cores, and never more than this process may use", () => {
    expect(physicalCores()).toBeGreaterThanOrEqual(1);
    expect(nodeThreads().cores).toBe(physicalCores());
  });

  it.each([0, -1, 1.5, Number.NaN, 1000])("refuse to be %d", async (threads) => {
    await expect(wasmOps({ threads, host: nodeThreads() })).rejects.toMatchObject({ name: "GureumError", code: "usage" });
  });

  it("end in a named error where a worker fails", async () => {
    const { cores, start } = nodeThreads();
    // A worker that does not find its kernels.
    const host: HostThreads = {
      cores,
      start(program, onDeath) {
        const worker = start(program, onDeath);
        return { ...worker, post: (message) => worker.post({ ...(message as object), kernels: [] }) };
      },
    };
    const ops = await threaded(2, host);
    const untilItFails = async (): Promise<void> => {
      for (let i = 0; i < 200; i++) {
        runAll(ops);
        await sleep(10);
      }
    };
    await expect(untilItFails()).rejects.toMatchObject({ code: "worker", message: /a worker failed, got TypeError.*--threads 1/ });
    expect(() => ops.pass(() => {})).toThrow(/a worker failed/);
  });

  it("end in a named error where a worker has died", async () => {
    const { cores, start } = nodeThreads();
    const host: HostThreads = { cores, start: (_, onDeath) => start("() => process.exit(3)", onDeath) };
    const ops = await threaded(2, host);
    const error = await (async () => {
      for (let i = 0; i < 200; i++) {
        try {
          runAll(ops);
        } catch (thrown) {
          return thrown;
        }
        await sleep(20);
      }
      return undefined;
    })();
    expect(error).toMatchObject({ code: "worker", message: /a worker ended, got exit code 3/ });
  });
});
