/**
 * The weights of a Llama model in GPU memory, streamed there from their files tensor by tensor in parts of a few megabytes, read
 * into memory that the device copies from: host memory stays at some tens of megabytes whatever the model's size. int4 weights
 * stay as the checkpoint packs them, 16-bit dense ones 16-bit; norms and biases are widened to f32. A matrix beyond the device's
 * binding limit lies in several buffers, cut along its output axis.
 */
import { listRefs } from "../../core/checkpoint/weights.ts";
import { bf16Value, type FloatDType, f16Values } from "../../core/dtype.ts";
import { GureumError } from "../../core/errors.ts";
import type { LinearRef, LlamaWeightRefs, TensorRef } from "../../core/model/weights.ts";
import { allocate, freeAll, type Memory, makeMemory, settle, upload, writeBytes } from "../device/buffer.ts";
import { guarded, waited } from "../device/device.ts";
import { makeStaging } from "../device/staging.ts";
import { recordAwqRepack } from "../kernels/layout/awq-repack.ts";
import { makeRecorder, prepare, submit } from "../pipeline/recorder.ts";
import { rowWords } from "../wgsl/dense.ts";
import { type AwqRef, sharing } from "./packing.ts";
import type { AwqPiece, DensePiece, GpuAwq, GpuDense, GpuLinear, GpuLlamaWeights, GpuPacked, NormPlanes } from "./tree.ts";

/** Bytes read at a time. */
const PART_BYTES = 8 * 2 ** 20;
/** Bytes handed to the queue before it is waited for: WebGPU copies each write into memory of its own until then. */
const QUEUED_BYTES = 192 * 2 ** 20;

/** Where a run of bytes of each row goes; in the buffer the rows follow each other every `strideBytes`. */
interface Target {
  readonly buffer: GPUBuffer;
  readonly fromByte: number;
  readonly byteLength: number;
  readonly strideBytes: number;
}

/**
 * @param packed repack int4 linears for the kernels that want it; `packRefusal` must find nothing against it
 * @param onProgress after each part: bytes read so far, and in all
 * @throws GureumError "io", "non-finite" for a NaN or infinite scale, norm or bias, "limit", "out-of-memory", "device-lost"
 */
export async function loadWeights(
  memory: Memory,
  refs: LlamaWeightRefs,
  packed: boolean,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<GpuLlamaWeights> {
  const { gpu } = memory;
  const total = listRefs(refs).reduce((sum, ref) => sum + ref.byteLength, 0);
  let done = 0;
  let queued = 0;
  onProgress?.(0, total);

  const drain = async (): Promise<void> => {
    await settle(memory);
    await guarded(gpu, "upload", () => gpu.device.queue.submit([]));
    await waited(gpu, "upload", gpu.device.queue.onSubmittedWorkDone());
    queued = 0;
  };
  const progress = async (bytes: number): Promise<void> => {
    done += bytes;
    queued += bytes;
    onProgress?.(done, total);
    if (queued >= QUEUED_BYTES) await drain();
  };

  const staging = makeStaging(gpu);
  /** A tensor that lies in its buffer as in its file. */
  const whole = (ref: TensorRef, buffer: GPUBuffer, fromByte: number = 0, byteLength: number = ref.byteLength): Promise<void> =>
    staging.fill(buffer, byteLength, async (byteOffset, target) => {
      await ref.readInto(fromByte + byteOffset, target);
      done += target.length;
      onProgress?.(done, total);
    });

  /** Reads a tensor in parts of whole rows, for rows that are checked or rearranged; a part is valid until `use` returns. */
  const parts = async (
    ref: TensorRef,
    rowBytes: number,
    use: (bytes: Uint8Array<ArrayBuffer>, firstRow: number) => void,
  ): Promise<void> => {
    const rows = ref.byteLength / rowBytes;
    const rowsAtOnce = Math.max(1, Math.min(rows, Math.floor(PART_BYTES / rowBytes)));
    const space = new Uint8Array(rowsAtOnce * rowBytes);
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const part = space.subarray(0, Math.min(rowsAtOnce, rows - row) * rowBytes);
      await ref.readInto(row * rowBytes, part);
      use(part, row);
      await progress(part.length);
    }
  };

  const stream = (
    ref: TensorRef,
    rowBytes: number,
    targets: readonly Target[],
    check?: (bytes: Uint8Array<ArrayBuffer>) => void,
  ): Promise<void> => {
    if (targets.length === 1 && !check) return whole(ref, targets[0]!.buffer);
    return parts(ref, rowBytes, (bytes, firstRow) => {
      check?.(bytes);
      const rows = bytes.length / rowBytes;
      for (const { buffer, fromByte, byteLength, strideBytes } of targets) {
        let block = bytes;
        if (byteLength !== rowBytes || strideBytes !== rowBytes) {
          block = new Uint8Array(rows * strideBytes);
          for (let r = 0; r < rows; r++)
            block.set(bytes.subarray(r * rowBytes + fromByte, r * rowBytes + fromByte + byteLength), r * strideBytes);
        }
        writeBytes(gpu, buffer, firstRow * strideBytes, block);
      }
    });
  };

  const dense = async (ref: TensorRef): Promise<GpuDense> => {
    const [N, K] = ref.shape as [number, number];
    const dtype = ref.dtype as FloatDType;
    const rowBytes = ref.byteLength / N;
    const strideBytes = rowWords(dtype, K) * 4;
    const pieces = cut(memory, N, strideBytes, 1).map(
      ({ firstColumn, N }): DensePiece => ({ firstColumn, N, weight: allocate(memory, ref.key, N * strideBytes) }),
    );
    if (strideBytes === rowBytes) {
      await Promise.all(pieces.map(({ firstColumn, N, weight }) => whole(ref, weight, firstColumn * rowBytes, N * rowBytes)));
      return { kind: "dense", dtype, K, N, pieces };
    }
    let piece = 0;
    await parts(ref, rowBytes, (bytes, firstRow) => {
      const rows = bytes.length / rowBytes;
      for (let r = 0; r < rows; ) {
        const { firstColumn, N, weight } = pieces[piece]!;
        const count = Math.min(rows - r, firstColumn + N - firstRow - r);
        const block = new Uint8Array(count * strideBytes);
        for (let i = 0; i < count; i++) block.set(bytes.subarray((r + i) * rowBytes, (r + i + 1) * rowBytes), i * strideBytes);
        writeBytes(gpu, weight, (firstRow + r - firstColumn) * strideBytes, block);
        r += count;
        if (firstRow + r === firstColumn + N) piece++;
      }
    });
    return { kind: "dense", dtype, K, N, pieces };
  };

  const awq = async ({ qweight, qzeros, scales, outFeatures: N, inFeatures: K, groupSize }: AwqRef, memory: Memory): Promise<GpuAwq> => {
    const groups = K / groupSize;
    const pieces = cut(memory, N, K / 2, 8).map(
      ({ firstColumn, N }): AwqPiece => ({
        firstColumn,
        N,
        qweight: allocate(memory, qweight.key, (K * N) / 2),
        qzeros: allocate(memory, qzeros.key, (groups * N) / 2),
        scales: allocate(memory, scales.key, groups * N * 2),
      }),
    );
    const targets = (name: "qweight" | "qzeros" | "scales", bytesPerColumn: number): Target[] =>
      pieces.map((piece) => ({
        buffer: piece[name],
        fromByte: piece.firstColumn * bytesPerColumn,
        byteLength: piece.N * bytesPerColumn,
        strideBytes: piece.N * bytesPerColumn,
      }));
    let seen = 0;
    const checkScales = (bytes: Uint8Array<ArrayBuffer>): void => {
      const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
      for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7c00) === 0x7c00) throw nonFinite(scales.key, "scales", seen + i);
      seen += bits.length;
    };
    await Promise.all([
      stream(qweight, N / 2, targets("qweight", 0.5)),
      stream(qzeros, N / 2, targets("qzeros", 0.5)),
      stream(scales, N * 2, targets("scales", 2), checkScales),
    ]);
    return { kind: "awq", K, N, groupSize, pieces };
  };

  /** Repacking that is under way: one matrix, while the next one is read. */
  let repacking: Promise<void> = Promise.resolve();
  /** Loads linears of one input side by side into one repacked matrix. */
  const pack = async (refs: readonly AwqRef[]): Promise<GpuPacked[]> => {
    const { inFeatures: K, groupSize, qweight } = refs[0]!;
    const rows = refs.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
    const weights = allocate(memory, qweight.key, (rows * K) / 2);
    const groups = allocate(memory, `${qweight.key} groups`, rows * (K / groupSize) * 4);
    const out: GpuPacked[] = [];
    const scratch = makeMemory(gpu);
    const recorder = makeRecorder();
    try {
      const loaded = await Promise.all(refs.map((ref) => awq(ref, scratch)));
      let firstRow = 0;
      for (const [i, ref] of refs.entries()) {
        for (const piece of loaded[i]!.pieces) {
          const { qweight, qzeros, scales } = piece;
          const shape = { K, N: piece.N, groupSize, firstRow: firstRow + piece.firstColumn };
          recordAwqRepack(recorder, { qweight, qzeros, scales, weights, groups }, shape);
        }
        out.push({ kind: "packed", K, N: ref.outFeatures, groupSize, firstRow, weights, groups });
        firstRow += ref.outFeatures;
      }
    } catch (error) {
      freeAll(scratch);
      throw error;
    }
    const before = repacking;
    repacking = (async () => {
      try {
        await before;
        await submit(scratch, await prepare(recorder, scratch), 1);
      } finally {
        freeAll(scratch);
      }
    })();
    repacking.catch(() => {}); // reported where it is waited for
    await before;
    return out;
  };

  const planes = new Map<GPUBuffer, GPUBuffer>();
  const vector = async (ref: TensorRef): Promise<GPUBuffer> => {
    const bytes = new Uint8Array(ref.byteLength);
    await ref.readInto(0, bytes);
    const values = widened(bytes, ref.dtype as FloatDType);
    const broken = values.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0) throw nonFinite(ref.key, "vector", broken);
    const buffer = upload(memory, ref.key, values);
    if (packed && values.length % 32 === 0) planes.set(buffer, upload(memory, `${ref.key} in planes`, inPlanes(values)));
    await progress(ref.byteLength);
    return buffer;
  };

  const bias = async (ref: LinearRef): Promise<GPUBuffer | null> => ref.bias && (await vector(ref.bias));
  const linears = async (refs: LinearRef[]): Promise<GpuLinear[]> => {
    if (packed) {
      const weights = await pack(refs as AwqRef[]);
      return Promise.all(weights.map(async (weight, i) => ({ weight, bias: await bias(refs[i]!) })));
    }
    const out: GpuLinear[] = [];
    for (const ref of refs)
      out.push({ weight: ref.kind === "dense" ? await dense(ref.weight) : await awq(ref, memory), bias: await bias(ref) });
    return out;
  };

  try {
    const embedTokens = await dense(refs.embedTokens);
    const layers: GpuLlamaWeights["layers"][number][] = [];
    for (const layer of refs.layers) {
      const inputLayernorm = await vector(layer.inputLayernorm);
      const postAttentionLayernorm = await vector(layer.postAttentionLayernorm);
      const loaded: GpuLinear[] = [];
      for (const shared of sharing(layer)) loaded.push(...(await linears(shared)));
      const [qProj, kProj, vProj, oProj, gateProj, upProj, downProj] = loaded as [
        GpuLinear,
        GpuLinear,
        GpuLinear,
        GpuLinear,
        GpuLinear,
        GpuLinear,
        GpuLinear,
      ];
      const qNorm = layer.qNorm && (await vector(layer.qNorm));
      const kNorm = layer.kNorm && (await vector(layer.kNorm));
      layers.push({ inputLayernorm, qProj, kProj, vProj, qNorm, kNorm, oProj, postAttentionLayernorm, gateProj, upProj, downProj });
    }
    const norm = await vector(refs.norm);
    const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await dense(refs.lmHead);
    const normPlanes = (): NormPlanes | null => {
      if (!planes.has(norm)) return null;
      return {
        norm: planes.get(norm)!,
        layers: layers.map((layer) => ({
          inputLayernorm: planes.get(layer.inputLayernorm)!,
          postAttentionLayernorm: planes.get(layer.postAttentionLayernorm)!,
        })),
      };
    };
    await repacking;
    await drain();
    return { embedTokens, layers, norm, lmHead, planes: normPlanes() };
  } finally {
    await repacking.catch(() => {});
    await staging.close();
  }
}

/** The order of a vector that a thread reads by blocks of 32 (gpu/wgsl/fixed16.ts). */
function inPlanes(values: Float32Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(values.length);
  const blocks = values.length / 32;
  for (let k = 0; k < values.length; k++) out[4 * (((k % 32) >> 2) * blocks + (k >> 5)) + (k % 4)] = values[k]!;
  return out;
}

/** Cuts N columns of `columnBytes` each into as few equal ranges as the device's binding limit allows, at multiples of `multiple`. */
function cut(memory: Memory, N: number, columnBytes: number, multiple: number): { firstColumn: number; N: number }[] {
  const limit = Math.min(memory.gpu.capabilities.limits.maxStorageBufferBindingSize, memory.gpu.capabilities.limits.maxBufferSize);
  // Buffers are rounded up to 16 bytes.
  const most = Math.floor((limit - 15) / columnBytes / multiple) * multiple;
  if (most < multiple)
    throw new GureumError("limit", {
      where: "weights",
      what: "one column of a matrix",
      expected: `at most ${limit} bytes on this device`,
      got: `${columnBytes * multiple}`,
      remedy: "use the CPU backend",
    });
  const count = Math.ceil(N / most);
  const each = Math.ceil(N / count / multiple) * multiple;
  return Array.from({ length: Math.ceil(N / each) }, (_, i) => ({ firstColumn: i * each, N: Math.min(each, N - i * each) }));
}

function widened(bytes: Uint8Array<ArrayBuffer>, dtype: FloatDType): Float32Array<ArrayBuffer> {
  if (dtype === "F32") return new Float32Array(bytes.buffer);
  const table = f16Values();
  return Float32Array.from(new Uint16Array(bytes.buffer), dtype === "F16" ? (bits) => table[bits]! : bf16Value);
}

function nonFinite(key: string, what: string, index: number): GureumError {
  return new GureumError("non-finite", {
    where: JSON.stringify(key),
    what,
    expected: "finite numbers",
    got: `NaN or infinity at element ${index}`,
  });
}
