/**
 * `gureum/conformance`: the laws, bounds and runner for anybody's implementation of one of the ops.
 *
 *     import { checkKernel, laws } from "gureum/conformance";
 *     const row = await checkKernel(laws["rms-norm"], {
 *       op: "rms-norm", backend: "mine", variant: "fast", arithmetic: "f32",
 *       run: async ({ x, weight, eps, T }, out) => out.set(await mine(x, weight, eps, T)),
 *     }, { runs: 1000, seed: 1 });
 */
export { type Capabilities, type LimitName, limitNames, type Needs, type SubgroupMatrixConfig } from "../gpu/device/capabilities.ts";
export type { Compiled, Gpu } from "../gpu/device/device.ts";
export type { Expected } from "./accuracy/arithmetic.ts";
/** Exact values and derived bounds, op by op. */
export * as accuracy from "./accuracy.ts";
export { type Certificate, table, violations } from "./certificate/certificate.ts";
export { runConformance } from "./certificate/checked-run.ts";
export type { DeviceIdentity } from "./certificate/identity.ts";
export type { Journal, RunHead } from "./certificate/journal.ts";
export { reportHtml } from "./certificate/report.ts";
export { type ConformanceOptions, replayLine } from "./certificate/run.ts";
export type { SubjectOptions } from "./certificate/subjects.ts";
export type { LawOptions } from "./check/law.ts";
export {
  type CheckOptions,
  checkKernel,
  type Failure,
  type LeftOut,
  lawNames,
  type Point,
  type Row,
  replay,
  replayCommand,
} from "./check.ts";
export type { Worst } from "./compare.ts";
export type { Fingerprint, Histogram, Rounding } from "./device/arithmetic.ts";
export type { AnyKit, AnySubject, Arbitrary, Bench, Kit, Law, Refusal, Subject, SubjectArithmetic } from "./kit.ts";
export { laws } from "./laws.ts";
export { checkOwnKernel, type OwnCheckOptions } from "./own/check.ts";
export type { OwnKernel, OwnShape } from "./own/kernel.ts";
export { ownSubjects } from "./own/subjects.ts";
