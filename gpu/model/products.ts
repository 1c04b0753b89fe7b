/**
 * Products of matrices for work that is no forward pass: quantizing and training. out[r, n] = Σ_k x[r, k] · y[n, k] by the
 * tiles of plain/matmul-tile64.ts, f32. Buffers grow and stay; one submission and one wait for each product.
 */
import type { FloatDType } from "../../core/dtype.ts";
import { GureumError } from "../../core/errors.ts";
import { allocate, free, freeAll, type Memory, makeMemory, readF32, settle, usage } from "../device/buffer.ts";
import { type Compiled, type Gpu, scoped, waited } from "../device/device.ts";
import { joinPieces } from "../kernels/plain/join-pieces.ts";
import { matmulTile64 } from "../kernels/plain/matmul-tile64.ts";
import { compile } from "../pipeline/compile.ts";
import { type Call, type Kernel, spread } from "../pipeline/kernel.ts";
import { tilePieces } from "../programs/tiles.ts";
import { behindScales, CLIP_ROWS, clip } from "../search/kernels.ts";
import { encodeStep } from "../wgsl/step.ts";
import { tile64 } from "../wgsl/tile.ts";

/** A matrix [N, K] by rows: f32, or 16-bit floats by their bits. */
export interface Factor {
  readonly dtype: FloatDType;
  readonly data: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;
  /** Under which it stays on the device until it is dropped; one that is there needs no data. */
  readonly key?: number;
}

/** A matrix [N, K] in groups of G inputs. */
export interface SearchGrid {
  readonly N: number;
  readonly K: number;
  readonly G: number;
  readonly bits: number;
}

export interface Products {
  /** Puts out [rows, N] into `out`. K is a multiple of 16. @throws GureumError "limit", "out-of-memory", "device-lost" */
  product(out: Float32Array, x: Float32Array<ArrayBuffer>, y: Factor, rows: number, N: number, K: number): Promise<void>;
  /** Puts W [N, K] rounded behind scales s [K] under `to`, as the matrix that a product may take next; W as for a product. */
  behindScales(to: number, W: Factor, s: Float32Array<ArrayBuffer>, grid: SearchGrid): Promise<void>;
  /** The range of each group with the least loss into `out` [groups, 4]: low, high, loss, 0. H [K/G, G, G], whole [groups, 2]. */
  clip(
    out: Float32Array,
    W: Factor,
    H: Float32Array<ArrayBuffer>,
    whole: Float32Array<ArrayBuffer>,
    grid: SearchGrid,
    asymmetric: boolean,
  ): Promise<void>;
  drop(key: number): void;
  /** Frees its buffers. */
  close(): void;
}

const MAP_MODE_READ = 1;

export function makeProducts(gpu: Gpu): Products {
  const { device, capabilities } = gpu;
  const memory: Memory = makeMemory(gpu);
  const growing = new Map<string, GPUBuffer>();
  /** A buffer of this name with room for so many bytes. */
  const room = (name: string, bytes: number, flags?: number): GPUBuffer => {
    const known = growing.get(name);
    if (known && known.size >= bytes) return known;
    if (known) free(memory, known);
    const made = allocate(memory, name, bytes, flags);
    growing.set(name, made);
    return made;
  };
  const kept = new Map<number, GPUBuffer>();
  const write = (buffer: GPUBuffer, data: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>): void => {
    const { byteLength } = data;
    if (byteLength % 4 === 0) device.queue.writeBuffer(buffer, 0, data);
    else {
      const padded = new Uint8Array(byteLength + 2);
      padded.set(new Uint8Array(data.buffer, data.byteOffset, byteLength));
      device.queue.writeBuffer(buffer, 0, padded);
    }
  };
  const placed = ({ data, key }: Factor): GPUBuffer => {
    if (key === undefined) {
      const buffer = room("y", data.byteLength);
      write(buffer, data);
      return buffer;
    }
    const there = kept.get(key);
    if (there) return there;
    const buffer = allocate(memory, "factor", data.byteLength);
    write(buffer, data);
    kept.set(key, buffer);
    return buffer;
  };
  const compiled = async (kernel: Kernel, call: Call): Promise<Compiled> => compile(gpu, kernel, call);
  const uniform = (name: string, words: Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>): GPUBuffer => {
    const buffer = room(name, 256, usage.UNIFORM | usage.COPY_DST);
    device.queue.writeBuffer(buffer, 0, words);
    return buffer;
  };
  const encode = (
    pass: GPUComputePassEncoder,
    { pipeline, layout }: Compiled,
    buffers: readonly GPUBuffer[],
    groups: readonly number[],
  ): void => {
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }));
    pass.dispatchWorkgroups(groups[0]!, groups[1]!, groups[2]!);
  };
  const paramsOf = (kernel: Kernel, call: Call): Uint32Array<ArrayBuffer> =>
    Uint32Array.from(Object.keys(kernel.params), (name) => call.params![name]!);

  /** Params of a kernel of the search: whole numbers, the grid's top, a mode. */
  const paramsFor = (numbers: Readonly<Record<string, number>>, top: number, mode?: number): Uint32Array<ArrayBuffer> => {
    const values = Object.values(numbers);
    const words = new Uint32Array(8);
    words.set(values);
    new Float32Array(words.buffer)[values.length] = top;
    if (mode !== undefined) words[values.length + 1] = mode;
    return words;
  };
  /** What `body` submits, and the verdict on it. */
  const submitted = async (where: string, body: () => void): Promise<void> => {
    const error = (await scoped(gpu, where, body).settled) ?? (await settle(memory));
    if (error) throw error;
  };

  return {
    async product(out, x, y, rows, N, K) {
      if (K % 16 !== 0) throw new GureumError("shape", { where: "products", what: "K", expected: "a multiple of 16", got: `${K}` });
      const pieces = capabilities.software ? 1 : tilePieces(tile64, rows, K, N);
      const shape = { dtype: y.dtype, K, N, firstColumn: 0, columns: N, hasBias: false, pieces };
      const call = matmulTile64.call(shape);
      const joined = joinPieces.call({ N, pieces, hasBias: false });
      const [tiles, join] = await Promise.all([compiled(matmulTile64 as Kernel, call), compiled(joinPieces as Kernel, joined)]);
      const bytes = 4 * rows * N;
      const { settled } = scoped(gpu, "products", () => {
        const left = room("x", x.byteLength);
        write(left, x);
        const right = placed(y);
        const target = room("out", bytes);
        const parts = pieces > 1 ? room("parts", pieces * bytes) : target;
        const none = room("bias", 16);
        const step = uniform("step", encodeStep({ T: rows, start: 0, sampled: 0 }));
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        const params = uniform("params", paramsOf(matmulTile64 as Kernel, call));
        encode(pass, tiles, [step, left, right, none, parts, params], call.workgroups(rows, 0));
        if (pieces > 1) {
          const joining = uniform("joining", paramsOf(joinPieces as Kernel, joined));
          encode(pass, join, [step, parts, none, target, joining], joined.workgroups(rows, 0));
        }
        pass.end();
        encoder.copyBufferToBuffer(target, 0, room("back", bytes, usage.MAP_READ | usage.COPY_DST), 0, bytes);
        device.queue.submit([encoder.finish()]);
      });
      const back = growing.get("back")!;
      const refused = (async () => (await settled) ?? (await settle(memory)))();
      const mapped = waited(gpu, "products", back.mapAsync(MAP_MODE_READ, 0, bytes));
      const [error] = await Promise.all([refused, mapped]);
      if (error) throw error;
      out.set(new Float32Array(back.getMappedRange(0, bytes)));
      back.unmap();
    },
    async behindScales(to, W, scales, { N, K, G, bits }) {
      const groups = (N * K) / G;
      const pipeline = await compile(gpu, behindScales as Kernel);
      await submitted("behind scales", () => {
        const s = room("x", scales.byteLength);
        write(s, scales);
        const source = placed(W);
        let target = kept.get(to);
        if (!target || target.size < 4 * N * K) {
          if (target) free(memory, target);
          target = allocate(memory, "behind scales", 4 * N * K);
          kept.set(to, target);
        }
        const params = uniform("search params", paramsFor({ groups, K, G, at: 0 }, 2 ** bits - 1));
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        encode(pass, pipeline, [source, s, target, params], spread(groups));
        pass.end();
        device.queue.submit([encoder.finish()]);
      });
    },
    async clip(out, W, H, whole, { N, K, G, bits }, asymmetric) {
      const groups = (N * K) / G;
      const pipeline = await compile(gpu, clip as Kernel);
      const modes = [0, 1, ...(asymmetric ? [2, 3, 2, 3] : [])];
      const best = room("best", 16 * groups);
      await submitted("clip", () => {
        const source = placed(W);
        const moments = room("x", H.byteLength);
        write(moments, H);
        const ranges = room("ranges", whole.byteLength);
        write(ranges, whole);
        for (const mode of modes) {
          const params = uniform("search params", paramsFor({ N, K, G, pitch: G }, 2 ** bits - 1, mode));
          const encoder = device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          encode(pass, pipeline, [source, moments, ranges, best, params], [Math.ceil(N / CLIP_ROWS), K / G, 1]);
          pass.end();
          device.queue.submit([encoder.finish()]);
        }
      });
      out.set(await readF32(gpu, best, 4 * groups));
    },
    drop(key) {
      const buffer = kept.get(key);
      if (buffer) free(memory, buffer);
      kept.delete(key);
    },
    close: () => freeAll(memory),
  };
}
