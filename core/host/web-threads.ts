/** Threads by web workers: pages, workers of pages, and Deno. A policy must allow workers from `blob:`. */
import type { HostThreads } from "../threads.ts";

interface WebWorker {
  postMessage(message: unknown): void;
  terminate(): void;
  onerror: ((event: { message?: string; preventDefault?(): void }) => void) | null;
}
/** What is used of the web's globals, which core/host does not otherwise know. */
interface Web {
  readonly Worker: new (url: string, options: { type: "module" }) => WebWorker;
  readonly Blob: new (parts: string[], options: { type: string }) => unknown;
  readonly URL: { createObjectURL(blob: unknown): string; revokeObjectURL(url: string): void };
  readonly navigator?: { readonly hardwareConcurrency?: number };
}

/** @param cores how many cores to use; a page learns of logical ones only, of which half are taken where nothing is said */
export function webThreads(cores?: number): HostThreads {
  const web = globalThis as unknown as Web;
  return {
    cores: cores ?? Math.max(1, Math.ceil((web.navigator?.hardwareConcurrency ?? 1) / 2)),
    start(program, onDeath) {
      const text = `(${program})({ listen: (listener) => { globalThis.onmessage = ({ data }) => listener(data); } });`;
      const url = web.URL.createObjectURL(new web.Blob([text], { type: "text/javascript" }));
      const worker = new web.Worker(url, { type: "module" });
      worker.onerror = (event) => {
        event.preventDefault?.();
        onDeath(event.message ?? "an error");
      };
      return {
        post: (message) => worker.postMessage(message),
        terminate() {
          worker.terminate();
          web.URL.revokeObjectURL(url);
        },
      };
    },
  };
}
