/** The record around the rows: where, when and by which words results were made. */
import { environment } from "../conformance/certificate/environment.ts";
import { cpuIdentity, type DeviceIdentity } from "../conformance/certificate/identity.ts";
import { quoteWords } from "../core/text.ts";
import type { BenchResults, Limits, Row } from "./results.ts";

/**
 * @param words the command's own words, as they can be given again
 * @param device undefined: the CPU
 */
export async function makeResults(
  words: readonly string[],
  device: DeviceIdentity | undefined,
  limits: Limits,
  rows: readonly Row[],
  more: Pick<BenchResults, "facts" | "model" | "tokenTimes" | "skipped"> = {},
): Promise<BenchResults> {
  const { version, commit, date, runtime, platform, cpu } = await environment();
  return {
    format: "gureum-bench-1",
    command: quoteWords(["gureum", "bench", ...words]),
    version,
    commit,
    date,
    host: { runtime, platform, cpu },
    device: device ?? cpuIdentity(cpu),
    limits,
    ...more,
    rows,
  };
}
