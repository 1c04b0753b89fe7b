/**
 * The CPU's ops with large products of matrices computed on a GPU. The search that calls them does not wait for promises:
 * it is stopped (Atomics.wait) while a thread of its own drives the device. Products are f32 there, so bits differ from
 * the CPU's.
 */
import type { FloatDType } from "./core/dtype.ts";
import { type ErrorCode, type ErrorParts, GureumError } from "./core/errors.ts";
import type { CpuOps, Grouped, SearchOps } from "./core/model/ops.ts";
import { rangesOf } from "./core/quant/search/grid.ts";
import { checkLength, type DenseMatrix } from "./core/tensor.ts";
import type { HostThreads } from "./core/threads.ts";
import type { SearchGrid } from "./gpu/model/products.ts";
import { CLIP_GROUP } from "./gpu/search/kernels.ts";

/** Memory of both threads: operands and result. */
export type Shared = Readonly<Record<"x" | "y" | "out", SharedArrayBuffer>>;

/** What is asked of the GPU's thread. */
export type Ask =
  | { readonly kind: "open"; readonly control: SharedArrayBuffer; readonly text: SharedArrayBuffer; readonly adapter?: string | number }
  | { readonly kind: "memory"; readonly shared: Shared }
  | {
      readonly kind: "product";
      readonly rows: number;
      readonly N: number;
      readonly K: number;
      readonly dtype: FloatDType;
      readonly key?: number;
      /** Whether y lies in shared memory; else it came under the same key before. */
      readonly sent: boolean;
      readonly dropped: readonly number[];
    }
  | {
      /** W lies in y (under `key`), s in x; the result stays on the device under `to`. */
      readonly kind: "behindScales";
      readonly grid: SearchGrid;
      readonly key: number;
      readonly sent: boolean;
      readonly to: number;
      readonly dropped: readonly number[];
    }
  | {
      /** W lies in y (under `key`), H's blocks and the ranges in x, one behind the other. */
      readonly kind: "clip";
      readonly grid: SearchGrid;
      readonly key: number;
      readonly sent: boolean;
      readonly asymmetric: boolean;
      readonly dropped: readonly number[];
    };

/** Multiply-adds from which a product is worth the way to the device. */
const WORTH = 2 ** 23;
/** Weights from which a step of the search is. */
const WORTH_SEARCH = 2 ** 16;
/** Bytes of results of one call. */
const OUT_BYTES = 2 ** 28;
/** Bytes of weights that stay on the device. */
const KEPT_BYTES = 6 * 2 ** 30;
/** The device may compile first; a product takes seconds at the most. */
const PATIENCE_MS = 120_000;
const TEXT_BYTES = 4096;

/** What the thread runs; where the module does not load, the first that asks hears it. */
const threadProgram = (url: string): string => `async (port) => {
  try {
    const { serve } = await import(${JSON.stringify(url)});
    serve(port);
  } catch (error) {
    port.listen(({ control, text }) => {
      const details = { where: "webgpu", what: "the thread for the GPU does not start", got: String(error) };
      const words = new TextEncoder().encode(JSON.stringify({ code: "no-adapter", details }).slice(0, 2000));
      new Uint8Array(text).set(words);
      const state = new Int32Array(control);
      state[1] = words.length;
      Atomics.store(state, 0, 2);
      Atomics.notify(state, 0);
    });
  }
}`;

/** Ops whose products a device computes. */
export interface GpuOps extends CpuOps {
  /** The device is no hardware: nothing is won. */
  readonly software: boolean;
  /** Ends the device's thread alone. */
  close(): void;
}

/** The same ops, products by the device. `dispose` ends its thread, and the ops below. @throws GureumError as openDevice */
export function gpuOps(base: CpuOps, threads: HostThreads, adapter?: string | number): GpuOps {
  const control = new Int32Array(new SharedArrayBuffer(8));
  const text = new Uint8Array(new SharedArrayBuffer(TEXT_BYTES));
  // From its source this runs in tests alone: threads of Node 20 read JavaScript.
  const built = import.meta.url.endsWith(".ts") ? "./dist/products-worker.js" : "./products-worker.js";
  const url = new URL(built, import.meta.url).href;
  const worker = threads.start(threadProgram(url), () => {});
  const ask = (message: Ask): void => {
    Atomics.store(control, 0, 0);
    worker.post(message);
    const end = Atomics.wait(control, 0, 0, PATIENCE_MS);
    if (end === "timed-out") throw new GureumError("device-lost", { where: "webgpu", what: "the device does not answer" });
    if (Atomics.load(control, 0) !== 2) return;
    worker.terminate();
    const { code, details } = JSON.parse(new TextDecoder().decode(text.slice(0, control[1]))) as { code: ErrorCode; details: ErrorParts };
    throw new GureumError(code, details);
  };
  const open = { kind: "open", control: control.buffer as SharedArrayBuffer, text: text.buffer as SharedArrayBuffer } as const;
  ask(adapter === undefined ? open : { ...open, adapter });
  const software = control[1] === 1;

  let shared: Shared = { x: new SharedArrayBuffer(0), y: new SharedArrayBuffer(0), out: new SharedArrayBuffer(0) };
  const reserve = (wanted: Readonly<Record<keyof Shared, number>>): void => {
    const sized = (name: keyof Shared): SharedArrayBuffer =>
      shared[name].byteLength >= wanted[name] ? shared[name] : new SharedArrayBuffer(Math.ceil(wanted[name] / 4096) * 4096);
    const next = { x: sized("x"), y: sized("y"), out: sized("out") };
    if (next.x === shared.x && next.y === shared.y && next.out === shared.out) return;
    shared = next;
    worker.post({ kind: "memory", shared });
  };
  /** Weights on the device by number, longest unused first. */
  const kept = new Map<number, number>();
  const keys = new WeakMap<object, number>();
  let nextKey = 1;
  /** Where a weight lies when it is rounded behind scales. */
  const rounded = new WeakMap<object, number>();

  /** What only the device has: an empty array that stands for it. */
  const onDevice = new WeakMap<object, number>();
  const keyOf = (data: object): number => {
    const known = keys.get(data) ?? nextKey++;
    keys.set(data, known);
    return known;
  };
  /** Whether a matrix has to be sent; those unused for longest make room. */
  const claim = (key: number, bytes: number, dropped: number[]): boolean => {
    const isNew = !kept.delete(key);
    let total = [...kept.values()].reduce((sum, size) => sum + size, bytes);
    for (const [old, size] of kept) {
      if (total <= KEPT_BYTES) break;
      total -= size;
      dropped.push(old);
      kept.delete(old);
    }
    kept.set(key, bytes);
    return isNew;
  };

  /** Rows of K numbers as rows of `wide`, which is a multiple of 16. */
  const put = (to: Float32Array | Uint16Array, from: Float32Array | Uint16Array, rows: number, K: number, wide: number): void => {
    if (wide === K) {
      to.set(from.subarray(0, rows * K));
      return;
    }
    for (let r = 0; r < rows; r++) {
      to.set(from.subarray(r * K, (r + 1) * K), r * wide);
      to.fill(0, r * wide + K, (r + 1) * wide);
    }
  };

  const matmul = (out: Float32Array, x: Float32Array, weight: DenseMatrix, bias: Float32Array | null, T: number): void => {
    const { outFeatures: N, inFeatures: K, dtype, data } = weight;
    if (T * N * K < WORTH && !onDevice.has(data)) {
      base.matmul(out, x, weight, bias, T);
      return;
    }
    checkLength("matmul", "x", x, T * K);
    checkLength("matmul", "out", out, T * N);
    const wide = Math.ceil(K / 16) * 16;
    const bytes = (dtype === "F32" ? 4 : 2) * N * wide;
    // What a checkpoint holds in 16 bits stays as it is; f32 is made anew for each call.
    const there = onDevice.get(data);
    const key = there ?? (dtype === "F32" ? undefined : keyOf(data));
    const dropped: number[] = [];
    const sent = there === undefined && (key === undefined || claim(key, bytes, dropped));
    const rows = Math.min(T, Math.max(64, Math.floor(OUT_BYTES / (4 * Math.max(N, wide)))));
    reserve({ x: 4 * rows * wide, y: sent ? bytes : 0, out: 4 * rows * N });
    if (sent) put(dtype === "F32" ? new Float32Array(shared.y) : new Uint16Array(shared.y), data, N, K, wide);
    for (let t = 0; t < T; t += rows) {
      const count = Math.min(rows, T - t);
      put(new Float32Array(shared.x), x.subarray(t * K), count, K, wide);
      const call = { rows: count, N, K: wide, dtype, sent: sent && (t === 0 || key === undefined), dropped: t === 0 ? dropped : [] };
      ask({ kind: "product", ...call, ...(key === undefined ? {} : { key }) });
      out.set(new Float32Array(shared.out, 0, count * N), t * N);
    }
    if (bias) for (let t = 0; t < T; t++) for (let n = 0; n < N; n++) out[t * N + n] = out[t * N + n]! + bias[n]!;
  };
  const gridOf = ({ N, K, groupSize, bits }: Grouped): SearchGrid => ({ N, K, G: groupSize, bits });
  /** Sends W where it is not there yet. */
  const send = ({ W, N, K }: Grouped, x: number, out: number): { key: number; sent: boolean; dropped: number[] } => {
    const dropped: number[] = [];
    const key = keyOf(W);
    const sent = claim(key, 4 * N * K, dropped);
    reserve({ x, y: sent ? 4 * N * K : 0, out });
    if (sent) new Float32Array(shared.y).set(W.subarray(0, N * K));
    return { key, sent, dropped };
  };
  const search: SearchOps = {
    behindScales(weight, s) {
      const { W, N, K, groupSize } = weight;
      if (N * K < WORTH_SEARCH || K % 16 !== 0 || K % groupSize !== 0) return undefined;
      const sending = send(weight, 4 * K, 0);
      const to = rounded.get(W) ?? nextKey++;
      rounded.set(W, to);
      claim(to, 4 * N * K, sending.dropped);
      new Float32Array(shared.x).set(s.subarray(0, K));
      ask({ kind: "behindScales", grid: gridOf(weight), to, ...sending });
      const data = new Float32Array(0);
      onDevice.set(data, to);
      return { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data };
    },
    clip(weight, H, asymmetric) {
      const { W, N, K, groupSize: G } = weight;
      if (N * K < WORTH_SEARCH || G > CLIP_GROUP) return undefined;
      const groups = (N * K) / G;
      const { low, high } = rangesOf(W, N, K, G);
      const sending = send(weight, 4 * (K * G + 2 * groups), 16 * groups);
      const x = new Float32Array(shared.x);
      for (let k = 0; k < K; k++) {
        const first = k - (k % G);
        x.set(H.subarray(k * K + first, k * K + first + G), k * G);
      }
      for (let g = 0; g < groups; g++) {
        x[K * G + 2 * g] = low[g]!;
        x[K * G + 2 * g + 1] = high[g]!;
      }
      ask({ kind: "clip", grid: gridOf(weight), asymmetric, ...sending });
      const best = new Float32Array(shared.out, 0, 4 * groups);
      for (let g = 0; g < groups; g++) {
        low[g] = best[4 * g]!;
        high[g] = best[4 * g + 1]!;
      }
      return { low, high };
    },
  };
  return {
    ...base,
    software,
    search,
    matmul,
    linear(out, x, { weight, bias }, T) {
      if (weight.kind === "awq") base.linear(out, x, { weight, bias }, T);
      else matmul(out, x, weight, bias, T);
    },
    close: () => worker.terminate(),
    dispose() {
      worker.terminate();
      base.dispose();
    },
  };
}
