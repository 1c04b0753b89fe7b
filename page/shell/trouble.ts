/** What went wrong, as the page says it: one sentence with what to do. */
import { GureumError } from "../../core/errors.ts";
import type { Words } from "../text/en.ts";

export interface Trouble {
  readonly kind: "lost" | "memory" | "worker" | "noGpu" | "ended" | "other";
  readonly message: string;
}

const kinds: Readonly<Record<string, Trouble["kind"]>> = {
  "device-lost": "lost",
  "out-of-memory": "memory",
  worker: "worker",
  "no-adapter": "noGpu",
  aborted: "ended",
};

export function troubleOf(error: unknown): Trouble {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: (error instanceof GureumError ? kinds[error.code] : undefined) ?? "other", message };
}

/** The sentence; what the engine itself says where it knows better. */
export function sentenceOf({ kind, message }: Trouble, { failures }: Words): string {
  if (kind === "lost" || kind === "memory" || kind === "worker") return failures[kind];
  return kind === "noGpu" ? failures.noGpuFor : message;
}
