/** `gureum device`: adapter, limits, features and the variants that would run, to read or to attach to a bug report. */
import { fingerprint, formatFingerprint } from "../conformance/device/arithmetic.ts";
import { openCheckpoint } from "../core/checkpoint/weights.ts";
import { nodeThreads } from "../core/host/node-threads.ts";
import { alignColumns } from "../core/text.ts";
import { closeDevice, listAdapters, openDevice } from "../gpu/device/device.ts";
import { selfCheck } from "../gpu/device/self-check.ts";
import { type Choice, planVariants } from "../gpu/programs/plan.ts";
import { variantSteps } from "../gpu/programs/steps.ts";
import { describeCpu } from "../wasm/model.ts";
import { adapterFromWords, adapterHelp, adapterOptions } from "./options.ts";
import { paint } from "./paint.ts";
import { modelLook } from "./place.ts";
import { progressBar } from "./progress.ts";
import { note, printJson, printLine } from "./terminal.ts";
import { type Command, parseWords, refuseIdle } from "./words.ts";

export const device: Command = {
  help: `usage: gureum device [options]

What computes on the CPU here, then the WebGPU adapter, its limits, features and variants.

  --model DIR|NAME            the model that the variants are for: a folder, or a name on the hub (default: the small one
                              that comes with gureum)
${adapterHelp}
  --all                       list the adapters instead: number, name, backend
  --arithmetic                measure how it rounds, flushes, fuses and approximates, too
  --json                      print one JSON object`,
  async run(args) {
    const words = parseWords(
      "device",
      args,
      {
        model: { type: "string" },
        ...adapterOptions,
        all: { type: "boolean" },
        arithmetic: { type: "boolean" },
        json: { type: "boolean" },
      },
      0,
    );
    if (words.flag("all")) refuseIdle("device", words, ["model", "adapter", "arithmetic"], "asks about one adapter: not with --all");
    if (words.flag("all")) return showAll(words.flag("json"));
    const checkpoint = await openCheckpoint(await modelLook(words.text("model")));
    await checkpoint.close();
    const cpu = await describeCpu({ host: nodeThreads() });
    if (!words.flag("json")) await printLine(`${"cpu".padEnd(36)}${cpu}`);
    const gpu = await openDevice({ robustness: false, ...adapterFromWords(words) });
    try {
      const c = gpu.capabilities;
      const { plan, choices } = planVariants(c, checkpoint.config, checkpoint.refs);
      // Once more, compiled by now: what it takes when a device is opened again.
      const started = performance.now();
      await selfCheck(gpu.device, c);
      const selfCheckMs = performance.now() - started;
      const arithmetic = words.flag("arithmetic") ? await fingerprint(gpu, progressBar("measuring the arithmetic")) : undefined;
      if (words.flag("json")) {
        await printJson({ ...c, cpu, selfCheckMs, cache: plan.cache, variants: choices, ...(arithmetic ? { arithmetic } : {}) });
        return 0;
      }
      const rows: [string, string][] = [
        ["vendor", c.vendor],
        ["architecture", c.architecture],
        ["device", c.device],
        ["description", c.description],
        ["software", c.software ? "yes: slower than the CPU" : "no"],
        ["features", c.features.join(", ")],
        ["subgroups", c.subgroupMaxSize === 0 ? "none" : `${c.subgroupMinSize} to ${c.subgroupMaxSize}`],
        [
          "subgroup matrices",
          c.subgroupMatrixConfigs.map((m) => `${m.componentType} ${m.M}x${m.N}x${m.K} to ${m.resultComponentType}`).join(", ") || "none",
        ],
        ["self-check", `passed (${selfCheckMs.toFixed(1)} ms)`],
        ...Object.entries(c.limits).map(([name, value]): [string, string] => [name, `${value}`]),
      ];
      for (const [name, value] of rows) await printLine(`${name.padEnd(36)}${value}`);
      for (const line of variantTable(choices)) await printLine(line);
      await printLine(`${"kv-cache".padEnd(36)}${plan.cache}`);
      if (arithmetic) await printLine(formatFingerprint(arithmetic, 36));
      return 0;
    } finally {
      closeDevice(gpu);
    }
  },
};

/** Every adapter that --adapter may choose. */
async function showAll(json: boolean): Promise<number> {
  const adapters = await listAdapters();
  if (json) await printJson(adapters.map(({ name, backend }, index) => ({ index, name, backend })));
  else {
    const rows = adapters.map(({ name, backend }, index) => [`${index}`, name, backend ?? ""]);
    for (const line of alignColumns(rows, (column) => column === 0)) await printLine(line);
  }
  if (adapters.length > 0) return 0;
  note(`${paint("red", "gureum:")} device: no WebGPU adapter answers`);
  return 1;
}

/** A line a variant, the one that runs marked; what its step covers once a step. */
function* variantTable(choices: readonly Choice[]): Generator<string> {
  for (const [step, { covers }] of Object.entries(variantSteps)) {
    yield `${step}: ${covers}`;
    for (const { variant, taken, kernels, reason } of choices.filter((choice) => choice.step === step)) {
      const names = kernels.join(", ");
      yield `  ${taken ? "*" : " "} ${variant.padEnd(32)}${reason}${names === variant ? "" : ` (${names})`}`;
    }
  }
}
