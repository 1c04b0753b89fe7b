/**
 * `gureum/bench`: the benchmark as a library. Own kernels, the device's ceilings, this engine's kernels, and what
 * compares them.
 */
export type { DeviceIdentity } from "../conformance/certificate/identity.ts";
export { type ComparedRow, type Comparison, compareResults } from "./compare.ts";
export { measureCosts, measureLimits } from "./device.ts";
export { type GpuTimer, makeGpuTimer } from "./gpu-timer.ts";
export { defaultPlan, type Plan, shortPlan, type TimerName } from "./harness.ts";
export { type MeasuredModel, measuredModel } from "./identity.ts";
export { type KernelRows, type KernelSelection, measureKernels, type Skipped } from "./kernels.ts";
export { type ModelRows, type ModelSelection, measureModel } from "./model.ts";
export type { Contents } from "./operands.ts";
export { type BenchBuffer, benchKernel, benchKernels, type FunctionBench, type OwnBench, type OwnOptions, type WgslBench } from "./own.ts";
export {
  type Arithmetic,
  type BenchResults,
  bytesPerSecond,
  type Counts,
  checkResults,
  type Limits,
  operationsPerSecond,
  type Row,
  readResults,
  type TokenTime,
  tokensPerSecond,
  writeResults,
} from "./results.ts";
export { openShape, type Shape, shapeNames } from "./shapes.ts";
export { medianRatio, type RatioInterval, type Summary, summarize } from "./statistics.ts";
export { syntheticRefs } from "./synthetic.ts";
export { formatRows, formatTokenTimes } from "./table.ts";
