/**
 * All that `exact` promises, on the device of this machine: `node dist/conformance/test/exact/on-card.js [CASES]`. With the driver's checks and without
 * them: hashes of every model on record, each fed in three ways, and CASES random and adversarial cases (default 1000) of every kernel's kit, where
 * one bit is too much. Prints one line each, last the number that differ, which is also the exit code. Speed: `gureum bench model --arithmetic exact`.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { checkKernel } from "../../check.ts";
import { kitOf } from "../../laws.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";
import { embeddedCase, randomCases } from "../fixtures/exact-models.ts";
import { dataFile } from "../fixtures/golden.ts";
import { webgpuHashes } from "./webgpu-hashes.ts";

const runs = Number(process.argv[2] ?? 1000);
const hashes = JSON.parse(readFileSync(dataFile("exact/hashes.json"), "utf8")) as Record<string, string>;
let wrong = 0;
for (const robustness of [true, false]) {
  const gpu = await openDevice({ robustness });
  console.log(`${gpu.capabilities.vendor} ${gpu.capabilities.description}, checks ${robustness ? "on" : "off"}`);
  for (const c of [await embeddedCase(), ...randomCases()]) {
    const found = await webgpuHashes(gpu, c, [c.ids.length, 5, 1]);
    const differ = found.filter((hash) => hash !== hashes[c.name]).length;
    wrong += differ;
    console.log(`${differ === 0 ? "same" : "DIFFERS"} ${c.name}: at once, by fives, one by one`);
  }
  for (const subject of webgpuSubjects({ gpu }).filter(({ op }) => op.startsWith("exact-"))) {
    const { cases, failures } = await checkKernel(kitOf(subject.op), subject, { runs, seed: 19 });
    wrong += failures.length;
    console.log(`${subject.variant}: ${cases} cases, ${failures.length} differ`, ...failures.slice(0, 1));
  }
  closeDevice(gpu);
}
console.log(`${wrong} differ`);
process.exit(Math.min(wrong, 1));
