/** Bars on stderr, with the time that is left, where that is a terminal and the work lasts; nothing elsewhere. Drawn by cli-progress. */
import process from "node:process";
import progress from "cli-progress";
import { formatBytes } from "../core/text.ts";

/** Work shorter than this shows no bar. */
const BAR_MS = 500;
const WIDTH = 25;

const shown = new Set<progress.SingleBar>();

/** Takes every bar off the screen: before something else is written, and at the end. A bar whose work goes on comes back with its next step. */
export function hideBars(): void {
  for (const bar of shown) bar.stop();
  shown.clear();
}

/** "3 s", "2 min 05 s", "1 h 10 min" */
export function formatSeconds(seconds: number): string {
  const s = Math.ceil(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
  return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
}

/**
 * @param unit whether done and total are bytes: then amounts and the rate are shown
 * @returns a call with done = total clears it; `what` is said behind the numbers
 */
export function progressBar(label: string, unit: "parts" | "bytes" = "parts"): (done: number, total: number, what?: string) => void {
  if (!process.stderr.isTTY) return () => {};
  const started = performance.now();
  let first: number | undefined;
  let firstMs = started;
  let said = "";
  const format: progress.GenericFormatter = (_options, { value, total, eta }) => {
    const share = total > 0 ? Math.min(1, value / total) : 0;
    const bar = "█".repeat(Math.floor(share * WIDTH)).padEnd(WIDTH, "░");
    const rate = ((value - first!) * 1000) / (performance.now() - firstMs);
    const amounts =
      unit === "bytes" ? `  ${formatBytes(value)} of ${formatBytes(total)}${rate > 0 ? `, ${formatBytes(Math.round(rate))}/s` : ""}` : "";
    // A bar that has just come, or come back after something was printed, knows no steps of its own yet, and says 0: then the mean of all says.
    const mean = ((total - value) * (performance.now() - firstMs)) / (value - first!) / 1000;
    const seconds = Number(eta) > 0 && Number.isFinite(Number(eta)) ? Number(eta) : mean;
    const left = value > first! ? `  ${formatSeconds(seconds)} left` : "";
    return `${label} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %${amounts}${left}${said}`;
  };
  let bar: progress.SingleBar | undefined;
  return (done, total, what = "") => {
    said = what && `  ${what}`;
    if (first === undefined) {
      first = done;
      firstMs = performance.now();
    }
    if (bar && !shown.has(bar)) bar = undefined;
    if (done >= total) {
      bar?.stop();
      if (bar) shown.delete(bar);
      bar = undefined;
    } else if (bar) {
      bar.setTotal(total);
      bar.update(done);
    } else if (performance.now() - started >= BAR_MS) {
      hideBars();
      // Wrapping of lines stays as the terminal has it: nothing is to be put back where the process is killed.
      bar = new progress.SingleBar({
        format,
        stream: process.stderr,
        clearOnComplete: true,
        linewrap: true,
        etaBuffer: 30,
        forceRedraw: true,
      });
      shown.add(bar);
      bar.start(total, done);
    }
  };
}

/** Of a download, by its own account. */
export function downloadBar(): (progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void {
  const bar = progressBar("downloading", "bytes");
  return ({ bytesDone, bytesTotal }) => bar(bytesDone, bytesTotal);
}
