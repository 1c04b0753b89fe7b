/** Repacking of int4 matrices on their way in (gpu/kernels/layout/awq-repack.ts): of one while the next is read. */
import { allocate, freeAll, type Memory, makeMemory, writeBytes } from "../device/buffer.ts";
import { awqRepack } from "../kernels/layout/awq-repack.ts";
import { makeRecorder, prepare, recordKernel, submit } from "../pipeline/recorder.ts";
import { packedSizes } from "../wgsl/awq.ts";
import type { AwqRef } from "./packing.ts";
import { placeAwq } from "./place.ts";
import type { Stream } from "./stream.ts";
import type { GpuPacked } from "./tree.ts";

export interface Repacker {
  /**
   * Loads linears of one input side by side into one repacked matrix, `biases` [rows] behind its groups; resolves once they are read and the matrix before
   * them is repacked, so that no more than two lie in memory twice. @throws GureumError as placeAwq and `prepare`, for
   * the matrix before as well
   */
  pack(refs: readonly AwqRef[], biases?: Float32Array<ArrayBuffer>): Promise<GpuPacked[]>;
  /** Waits for the last one. @throws the same */
  done(): Promise<void>;
}

/** @param unitOf how blocks lie within a row, by the size of groups (awq-repack.ts) */
export function makeRepacker(stream: Stream, memory: Memory, unitOf: (groupSize: number) => number): Repacker {
  let underWay: Promise<void> = Promise.resolve();
  return {
    async pack(refs, biases) {
      const { inFeatures: K, groupSize, qweight } = refs[0]!;
      const unit = unitOf(groupSize);
      const rows = refs.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
      const sizes = packedSizes(K, rows, groupSize);
      const weights = allocate(memory, qweight.key, sizes.weights);
      const groups = allocate(memory, `${qweight.key} groups`, sizes.groups + (biases?.byteLength ?? 0));
      if (biases) writeBytes(memory.gpu, groups, sizes.groups, new Uint8Array(biases.buffer));
      const out: GpuPacked[] = [];
      const scratch = makeMemory(memory.gpu);
      const recorder = makeRecorder();
      try {
        const loaded = await Promise.all(refs.map((ref) => placeAwq(stream, scratch, ref)));
        let firstRow = 0;
        for (const { N, pieces } of loaded) {
          for (const { firstColumn, ...piece } of pieces) {
            const shape = { K, N: piece.N, groupSize, unit, firstRow: firstRow + firstColumn };
            recordKernel(recorder, awqRepack, { ...piece, weights, groups }, shape);
          }
          out.push({ kind: "packed", K, N, groupSize, firstRow, unit, weights, groups });
          firstRow += N;
        }
      } catch (error) {
        freeAll(scratch);
        throw error;
      }
      const before = underWay;
      underWay = (async () => {
        try {
          await before;
          await submit(scratch, await prepare(recorder, scratch), 1);
        } finally {
          freeAll(scratch);
        }
      })();
      underWay.catch(() => {}); // reported where it is waited for
      await before;
      return out;
    },
    done: () => underWay,
  };
}
