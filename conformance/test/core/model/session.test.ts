/** What every backend's sessions refuse in the same words. */
import fc from "fast-check";
import { describe } from "vitest";
import { exactCpuModel } from "../../../../core/exact/model.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";
import { sessionLaws } from "../../session-laws.ts";

const [config] = fc.sample(arbitraryConfig, { numRuns: 1, seed: 7 });
const { weights } = randomModel(config!, 1);

describe("a session on the CPU", () => sessionLaws(async () => cpuModel(config!, weights)));
describe("a session on the CPU, exact", () => sessionLaws(async () => exactCpuModel(config!, weights)));
