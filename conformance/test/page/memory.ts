/** What a page's process takes while a folder goes from disk into the GPU, as the kernel counts it. */
import { existsSync, readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";

/** Megabytes of 1,000,000 bytes. */
export interface Resident {
  /** All that lies in memory now. */
  readonly all: number;
  /** The process's own: heaps. */
  readonly own: number;
  /** Shared with the browser's other processes: what the GPU's process copies from, what files are read into. */
  readonly shared: number;
}

/** Of a process that has ended: nothing. */
function residentOf(pid: number): Resident {
  const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, "utf8") : "";
  const megabytes = (name: string): number => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024) / 1e6;
  return { all: megabytes("VmRSS"), own: megabytes("RssAnon"), shared: megabytes("RssShmem") };
}

export interface Loaded {
  readonly bytes: number;
  readonly seconds: number;
  readonly before: Resident;
  /** When the most lay there. */
  readonly peak: Resident;
  readonly after: Resident;
}

/** The browser's processes that hold pages; one of them lies in wait for the next page. */
async function renderersOf(browser: Browser): Promise<number[]> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
}

/**
 * Chooses a folder in a page of library-page.ts and loads it into the GPU, with an eye on the browser's pages every 10 ms: what is given is
 * of the one that grew most.
 */
export async function loadWatched(browser: Browser, page: Page, folder: string): Promise<Loaded> {
  await page.evaluate(`document.body.innerHTML = '<input type="file" webkitdirectory>'`);
  await page.locator("input").setInputFiles(folder);
  const watched = (await renderersOf(browser)).map((pid) => ({ pid, before: residentOf(pid), peak: residentOf(pid) }));
  const timer = setInterval(() => {
    for (const one of watched) {
      const now = residentOf(one.pid);
      if (now.all > one.peak.all) one.peak = now;
    }
  }, 10);
  const began = performance.now();
  try {
    const bytes = (await page.evaluate(`(async () => {
      let last = 0;
      const onNews = ({ done }) => { last = done; };
      const { backend } = await engine().load([...document.querySelector("input").files], { backend: "webgpu", onNews });
      if (backend !== "webgpu") throw new Error("the CPU computes");
      return last;
    })()`)) as number;
    const seconds = (performance.now() - began) / 1000;
    const [{ pid, before, peak }] = watched.sort((a, b) => b.peak.all - b.before.all - (a.peak.all - a.before.all)) as [
      (typeof watched)[0],
    ];
    return { bytes, seconds, before, peak, after: residentOf(pid) };
  } finally {
    clearInterval(timer);
  }
}
