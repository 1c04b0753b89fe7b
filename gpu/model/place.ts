/**
 * Where a tensor lies in GPU memory. int4 matrices as the checkpoint packs them, 16-bit dense ones 16-bit, norms and
 * biases widened to f32. A matrix beyond the device's binding limit lies in several buffers, cut along its output axis.
 */
import { bf16Value, type FloatDType, f16Values } from "../../core/dtype.ts";
import { GureumError } from "../../core/errors.ts";
import type { TensorRef } from "../../core/model/weights.ts";
import { allocate, type Memory, upload, writeBytes } from "../device/buffer.ts";
import { rowWords } from "../wgsl/dense.ts";
import { inPlanes } from "../wgsl/fixed16.ts";
import type { AwqRef } from "./packing.ts";
import type { Stream } from "./stream.ts";
import type { AwqPiece, DensePiece, GpuAwq, GpuDense, GpuNorm } from "./tree.ts";

/**
 * @param into where its rows go, from byte `offset` on; memory of its own where absent
 * @throws GureumError "io", "limit", as Stream
 */
export async function placeDense(stream: Stream, memory: Memory, ref: TensorRef, into?: Omit<GPUBufferBinding, "size">): Promise<GpuDense> {
  const [N, K] = ref.shape as [number, number];
  const dtype = ref.dtype as FloatDType;
  const rowBytes = ref.byteLength / N;
  const strideBytes = rowWords(dtype, K) * 4;
  const { buffer, offset = 0 } = into ?? {};
  const pieces = buffer
    ? [{ firstColumn: 0, N, buffer }]
    : cut(memory, N, strideBytes, 1).map(({ firstColumn, N }) => ({ firstColumn, N, buffer: allocate(memory, ref.key, N * strideBytes) }));
  if (strideBytes === rowBytes)
    await Promise.all(
      pieces.map(({ firstColumn, N, buffer }) =>
        stream.whole(ref, buffer, { fromByte: firstColumn * rowBytes, byteLength: N * rowBytes, toByte: offset }),
      ),
    );
  else
    await stream.parts(ref, rowBytes, (bytes, firstRow) => {
      const rows = bytes.length / rowBytes;
      for (const { firstColumn, N, buffer } of pieces) {
        const from = Math.max(firstRow, firstColumn);
        const to = Math.min(firstRow + rows, firstColumn + N);
        if (from >= to) continue;
        const block = strided(bytes.subarray((from - firstRow) * rowBytes), to - from, rowBytes, 0, rowBytes, strideBytes);
        writeBytes(memory.gpu, buffer, offset + (from - firstColumn) * strideBytes, block);
      }
    });
  const bound = pieces.map(({ firstColumn, N, buffer }): DensePiece => {
    return { firstColumn, N, weight: into ? { buffer, offset, size: N * strideBytes } : buffer };
  });
  return { kind: "dense", dtype, K, N, pieces: bound };
}

/** Dense linears of one input, their rows one behind the other; `denseRefusal` must find nothing against it. */
export async function placeDenseSideBySide(
  stream: Stream,
  memory: Memory,
  refs: readonly TensorRef[],
): Promise<{ buffer: GPUBuffer; linears: GpuDense[] }> {
  const bytesOf = ({ shape: [N, K], dtype }: TensorRef): number => 4 * N! * rowWords(dtype as FloatDType, K!);
  const buffer = allocate(
    memory,
    refs[0]!.key,
    refs.reduce((sum, ref) => sum + bytesOf(ref), 0),
  );
  const linears: GpuDense[] = [];
  let offset = 0;
  for (const ref of refs) {
    linears.push(await placeDense(stream, memory, ref, { buffer, offset }));
    offset += bytesOf(ref);
  }
  return { buffer, linears };
}

/** @throws GureumError "non-finite" for a NaN or infinite scale; as placeDense */
export async function placeAwq(stream: Stream, memory: Memory, ref: AwqRef): Promise<GpuAwq> {
  const { outFeatures: N, inFeatures: K, groupSize } = ref;
  const groups = K / groupSize;
  const pieces = cut(memory, N, K / 2, 8).map(
    ({ firstColumn, N }): AwqPiece => ({
      firstColumn,
      N,
      qweight: allocate(memory, ref.qweight.key, (K * N) / 2),
      qzeros: allocate(memory, ref.qzeros.key, (groups * N) / 2),
      scales: allocate(memory, ref.scales.key, groups * N * 2),
    }),
  );
  const place = async (name: "qweight" | "qzeros" | "scales", columnBytes: number): Promise<void> => {
    if (pieces.length === 1 && name !== "scales") return stream.whole(ref[name], pieces[0]![name]);
    const rowBytes = N * columnBytes;
    return stream.parts(ref[name], rowBytes, (bytes, firstRow) => {
      if (name === "scales") checkScales(ref.scales.key, bytes, firstRow * N);
      for (const { firstColumn, N, [name]: buffer } of pieces) {
        const width = N * columnBytes;
        const block = strided(bytes, bytes.length / rowBytes, rowBytes, firstColumn * columnBytes, width, width);
        writeBytes(memory.gpu, buffer, firstRow * width, block);
      }
    });
  };
  await Promise.all([place("qweight", 0.5), place("qzeros", 0.5), place("scales", 2)]);
  return { kind: "awq", K, N, groupSize, pieces };
}

/** A vector widened to f32. @throws GureumError "non-finite"; as placeDense */
export async function readVector(stream: Stream, ref: TensorRef): Promise<Float32Array<ArrayBuffer>> {
  let values = new Float32Array();
  await stream.parts(ref, ref.byteLength, (bytes) => {
    values = widened(bytes, ref.dtype as FloatDType);
  });
  const broken = values.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw nonFinite(ref.key, "vector", broken);
  return values;
}

/** @param planes whether the fused kernels will read it too */
export function placeNorm(memory: Memory, key: string, values: Float32Array<ArrayBuffer>, planes: boolean): GpuNorm {
  const weight = upload(memory, key, values);
  return { weight, planes: planes ? upload(memory, `${key} in planes`, inPlanes(values)) : null };
}

/** `width` bytes of each row from byte `from` on, one row behind the other every `strideBytes`. */
function strided(
  bytes: Uint8Array<ArrayBuffer>,
  rows: number,
  rowBytes: number,
  from: number,
  width: number,
  strideBytes: number,
): Uint8Array<ArrayBuffer> {
  if (width === rowBytes && strideBytes === rowBytes) return bytes.subarray(0, rows * rowBytes);
  const block = new Uint8Array(rows * strideBytes);
  for (let r = 0; r < rows; r++) block.set(bytes.subarray(r * rowBytes + from, r * rowBytes + from + width), r * strideBytes);
  return block;
}

function checkScales(key: string, bytes: Uint8Array<ArrayBuffer>, first: number): void {
  const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7c00) === 0x7c00) throw nonFinite(key, "scales", first + i);
}

/**
 * Cuts N columns of `columnBytes` each into as few equal ranges as the device's binding limit allows, at multiples of
 * `multiple`.
 */
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
  if (dtype === "F32") return new Float32Array(bytes.slice().buffer);
  const table = f16Values();
  return Float32Array.from(
    new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2),
    dtype === "F16" ? (bits) => table[bits]! : bf16Value,
  );
}

function nonFinite(key: string, what: string, index: number): GureumError {
  return new GureumError("non-finite", {
    where: JSON.stringify(key),
    what,
    expected: "finite numbers",
    got: `NaN or infinity at element ${index}`,
  });
}
