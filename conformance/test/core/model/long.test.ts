/** Long contexts on the CPU. About 10 s. */
import { afterAll, describe } from "vitest";
import { nodeThreads } from "../../../../core/host/node-threads.ts";
import { CHUNK } from "../../../../core/model/cpu-session.ts";
import { type CpuOps, referenceOps } from "../../../../core/model/ops.ts";
import { openWasmCpu, type WasmCpu } from "../../../../wasm/cpu.ts";
import { longModel } from "../../fixtures/long-model.ts";
import { longLaws } from "../../long-laws.ts";

const wasm = (await openWasmCpu({ threads: 1, host: nodeThreads() })) as WasmCpu;
afterAll(() => wasm.dispose());

describe.each<[string, CpuOps, number]>([
  ["core's ops", referenceOps, 10],
  ["WebAssembly", { ...wasm, dispose() {} }, 6],
])("a long context on %s", (_, ops, numRuns) => {
  longLaws((config, seed) => longModel(config, seed, ops), { numRuns, chunk: CHUNK });
});
