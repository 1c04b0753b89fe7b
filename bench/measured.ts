/**
 * What a kernel's work is: on which shapes of a model it is measured, what bytes it must move and what operations it
 * must do there, and what its buffers hold.
 *
 * Bytes count each operand once, as it lies in memory: what the caches save, a kernel may keep. Operations: a
 * multiply-add is two; dequantization and special functions are not counted for linears and attention, and one each
 * elsewhere.
 */

import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import type { Card } from "../gpu/pipeline/kernel.ts";
import type { Recorder } from "../gpu/pipeline/recorder.ts";
import { type WorkgroupLimits, workgroupLimits } from "../gpu/wgsl/teams.ts";
import type { Holdings, Operands } from "./operands.ts";
import type { Counts } from "./results.ts";

/** One measurement's worth of a kernel. */
export interface WorkCase {
  /** Which step of the model, or which shape: "qProj", "S=2048". */
  readonly step: string;
  /** What tells it from another way to run the same kernel. */
  readonly variant?: string;
  /** Position of the first row. */
  readonly start: number;
  readonly counts: Counts;
  /** How often a layer makes this call, where several linears of one shape are one case; 1 where absent. */
  readonly calls?: number;
  /** Records one copy: operands of its own are new each time. */
  record(recorder: Recorder, operands: Operands): void;
}

export interface Work {
  /** The kernel file's name. */
  readonly kernel: string;
  /** What it computes: kernels of one task are measured in turns. */
  readonly task: string;
  /** The program whose kernels share the linears of a layer; the kernel itself where absent. */
  readonly way?: string;
  cases(config: LlamaConfig, T: number): WorkCase[];
}

/** One call of a kernel as a case. */
export interface Measured<Buffers extends string, Shape> extends Omit<Counts, "tokens"> {
  readonly step: string;
  readonly variant?: string;
  readonly start?: number;
  /** What the device allows may decide it; null where no workgroup of the kernel fits there. */
  readonly shape: Shape | ((limits: WorkgroupLimits) => Shape | null);
  /** What buffers hold that is not even in −1 … 1, or blank for what the kernel writes. */
  readonly holds?: Holdings<Buffers>;
}

/** Limits of a large device: sizes that are counted do not depend on how a workgroup is cut. */
const large: WorkgroupLimits = { invocations: 1024, bytes: 49_152 };

/** The work of a kernel; its bytes those of all its buffers unless a case says otherwise. */
export const work = <Buffers extends string, Shape extends object>(
  kernel: Card<Buffers, Shape>,
  cases: (config: LlamaConfig, T: number) => Measured<NoInfer<Buffers>, NoInfer<Shape>>[],
  task: string = kernel.name,
): Work => ({
  kernel: kernel.name,
  task,
  cases: (config, T) =>
    cases(config, T).flatMap(({ step, variant, start = 0, shape, holds, bytes, ...counts }): WorkCase[] => {
      const shapeFor = (limits: WorkgroupLimits): Shape | null => (typeof shape === "function" ? shape(limits) : shape);
      const counted = shapeFor(large);
      if (!counted) return [];
      const sizes = Object.values<number>(kernel.sizes(counted, T, start));
      const measured: WorkCase = {
        step,
        ...(variant ? { variant } : {}),
        start,
        counts: { bytes: bytes ?? sizes.reduce((sum, size) => sum + size, 0), ...counts },
        record(recorder, o) {
          const limits = workgroupLimits(o.memory.gpu.capabilities);
          const own = shapeFor(limits);
          if (!own)
            throw new GureumError("limit", {
              where: `kernel ${kernel.name}`,
              what: "no workgroup of it fits the device",
              got: `${limits.invocations} invocations and ${limits.bytes} bytes of workgroup memory`,
            });
          o.record(recorder, kernel, own, holds ?? ({} as Holdings<Buffers>));
        },
      };
      return [measured];
    }),
});

/** Keys that attention is measured over, where the model has so many positions. */
export const CONTEXT = 2048;

/** Where the T rows stand so that the last one sees CONTEXT keys. */
export const startOf = ({ maxPositionEmbeddings }: LlamaConfig, T: number): number =>
  Math.max(0, Math.min(CONTEXT, maxPositionEmbeddings) - T);

/** Pairs of query and key that T rows from `start` on see. */
export function pairsSeen(T: number, start: number, window: number | null): number {
  let count = 0;
  for (let t = 0; t < T; t++) count += Math.min(start + t + 1, window ?? Number.POSITIVE_INFINITY);
  return count;
}

/** Keys that T rows from `start` on see between them. */
export const keysSeen = (T: number, start: number, window: number | null): number =>
  window === null ? start + T : Math.min(start + T, window + T - 1);

/** Inputs that share a scale, of K. */
export const groupOf = ({ quantization: awq }: LlamaConfig, K: number): number => (!awq || awq.groupSize === "whole" ? K : awq.groupSize);
