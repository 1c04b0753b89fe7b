/**
 * What a kernel's work is: on which shapes of a model it is measured, what bytes it must move and what operations it must do there,
 * and how it is bound.
 *
 * Bytes count each operand once, as it lies in memory: what the caches save, a kernel may keep. Operations: a multiply-add is two;
 * dequantization and special functions are not counted for linears and attention, and one each elsewhere.
 */
import type { LlamaConfig } from "../../core/config.ts";
import type { Recorder } from "../../gpu/pipeline/recorder.ts";
import type { Operands } from "../operands.ts";
import type { Counts } from "../results.ts";

/** One measurement's worth of a kernel. */
export interface WorkCase {
  /** Which step of the model, or which shape: "qProj", "S=2048". */
  readonly step: string;
  /** What tells it from another way to run the same kernel. */
  readonly variant?: string;
  /** Position of the first row. */
  readonly start: number;
  readonly counts: Counts;
  /** Records one copy: operands from `own` are new each time. */
  record(recorder: Recorder, operands: Operands): void;
}

export interface Work {
  /** The kernel file's name. */
  readonly kernel: string;
  /** What it computes: kernels of one task are measured in turns. */
  readonly task: string;
  cases(config: LlamaConfig, T: number): WorkCase[];
}

/** Keys that attention is measured over, where the model has so many positions. */
export const CONTEXT = 2048;

/** Where the T rows stand so that the last one sees CONTEXT keys. */
export const startOf = ({ maxPositionEmbeddings }: LlamaConfig, T: number): number =>
  Math.max(0, Math.min(CONTEXT, maxPositionEmbeddings) - T);
