/** `gureum device`: adapter, limits and features, to read or to attach to a bug report. */
import { fingerprint, formatFingerprint } from "../conformance/fingerprint.ts";
import { closeDevice, openDevice } from "../gpu/device.ts";
import { printJson, printLine } from "./terminal.ts";
import { type Command, parseWords } from "./words.ts";

export const device: Command = {
  help: `usage: gureum device [options]

  --arithmetic                measure how it rounds, flushes, fuses and approximates, too
  --json                      print one JSON object`,
  async run(args) {
    const words = parseWords("device", args, { arithmetic: { type: "boolean" }, json: { type: "boolean" } }, 0);
    const gpu = await openDevice({ robustness: false });
    try {
      const c = gpu.capabilities;
      const arithmetic = words.flag("arithmetic") ? await fingerprint(gpu) : undefined;
      if (words.flag("json")) {
        await printJson(arithmetic ? { ...c, arithmetic } : c);
        return 0;
      }
      const rows: [string, string][] = [
        ["vendor", c.vendor],
        ["architecture", c.architecture],
        ["device", c.device],
        ["description", c.description],
        ["software", c.software ? "yes: slower than the CPU reference" : "no"],
        ["features", c.features.join(", ")],
        ["subgroups", c.subgroupMaxSize === 0 ? "none" : `${c.subgroupMinSize} to ${c.subgroupMaxSize}`],
        [
          "subgroup matrices",
          c.subgroupMatrixConfigs.map((m) => `${m.componentType} ${m.M}x${m.N}x${m.K} to ${m.resultComponentType}`).join(", ") || "none",
        ],
        ...Object.entries(c.limits).map(([name, value]): [string, string] => [name, `${value}`]),
      ];
      for (const [name, value] of rows) await printLine(`${name.padEnd(36)}${value}`);
      if (arithmetic) await printLine(formatFingerprint(arithmetic, 36));
      return 0;
    } finally {
      closeDevice(gpu);
    }
  },
};
