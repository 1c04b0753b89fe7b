/**
 * `gureum/bench`: the benchmark as a library. Own kernels, the device's ceilings, this engine's kernels, and what
 * compares them.
 */

export type { DeviceIdentity } from "../conformance/certificate/identity.ts";
export type { HeadNormName, LayerTree, LinearName, NormName } from "../core/model/layer.ts";
export type { LinearRef, LlamaWeightRefs, TensorRef, WeightTree } from "../core/model/weights.ts";
export type { HostThreads, HostWorker } from "../core/threads.ts";
export type { Gpu } from "../gpu/device/device.ts";
export type { BindingKind } from "../gpu/pipeline/kernel.ts";
export type { CpuOptions } from "../wasm/model.ts";
export { type ComparedRow, type Comparison, compareResults } from "./compare.ts";
export { measureCosts, measureLimits } from "./device.ts";
export { type GpuTimer, makeGpuTimer } from "./gpu-timer.ts";
export { type Clock, defaultPlan, type OnMeasured, type Plan, shortPlan, type TimerName } from "./harness.ts";
export { type MeasuredModel, measuredModel } from "./identity.ts";
export { type KernelRows, type KernelSelection, measureKernels, type Skipped } from "./kernels.ts";
export { type ModelRows, type ModelSelection, type ModelWatch, measureModel } from "./model.ts";
export type { Contents } from "./operands.ts";
export { type BenchBuffer, benchKernel, benchKernels, type FunctionBench, type OwnBench, type OwnOptions, type WgslBench } from "./own.ts";
export { benchOwnKernel, type OwnKernelBench } from "./own-bench.ts";
export type { Violation } from "./own-kernels.ts";
export {
  type Arithmetic,
  arithmetics,
  type BenchResults,
  bytesPerSecond,
  type Counts,
  checkResults,
  type LayerShare,
  type Limits,
  operationsPerSecond,
  type Row,
  type RowCheck,
  readResults,
  type TokenTime,
  tokensPerSecond,
  writeResults,
} from "./results.ts";
export { type OpenFolder, openShape, type Shape, shapeNames } from "./shapes.ts";
export { medianRatio, type RatioInterval, type Summary, summarize } from "./statistics.ts";
export { syntheticRefs } from "./synthetic.ts";
export { formatRows, formatTokenTimes, type TableStyle } from "./table.ts";
