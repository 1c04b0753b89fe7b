/** A run of the suite: what is asked, how far it is, what came out. Stopping ends the worker; the rows that are done stay. */
import { type Signal, signal } from "@preact/signals";
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import type { DeviceIdentity } from "../../conformance/certificate/identity.ts";
import type { Row } from "../../conformance/check/row.ts";
import { makeEngine } from "../engine/client.ts";
import type { SuiteAsked } from "../engine/protocol.ts";
import { watchBackground } from "../shell/background.ts";
import { keep, kept } from "../shell/kept.ts";
import { type Trouble, troubleOf } from "../shell/trouble.ts";

export interface Suite {
  readonly state: "idle" | "running" | "stopped" | "done";
  readonly rows: readonly Row[];
  readonly devices: readonly DeviceIdentity[];
  readonly done: number;
  readonly total: number;
  readonly what: string;
  readonly certificate: Certificate | null;
  readonly trouble: Trouble | null;
}

const empty: Suite = { state: "idle", rows: [], devices: [], done: 0, total: 0, what: "", certificate: null, trouble: null };

export const durations = { s20: 20_000, m1: 60_000, m10: 600_000, m30: 1_800_000, all: null } as const;
export type Duration = keyof typeof durations;

export interface Choice extends Pick<SuiteAsked, "backend" | "filter" | "seed"> {
  readonly duration: Duration;
}
/** A run that has not ended, for after a reload: its rows are in the journal. */
interface Pending {
  readonly choice: Choice;
  readonly done: number;
  readonly total: number;
}
const isPending = (value: unknown): value is Pending => {
  const { choice: chosen, done, total } = (value ?? {}) as Partial<Pending>;
  return typeof done === "number" && typeof total === "number" && chosen !== undefined && chosen.duration in durations;
};
const pending = kept("suite", "localStorage", isPending);

export const choice: Signal<Choice> = signal<Choice>(pending?.choice ?? { backend: "both", filter: "", seed: 1, duration: "m1" });
export const run: Signal<Suite> = signal(pending ? { ...empty, state: "stopped", done: pending.done, total: pending.total } : empty);

const engine = makeEngine();

export async function start(afresh: boolean): Promise<void> {
  const { duration, ...asked } = choice.value;
  const change = (part: Partial<Suite>): void => {
    run.value = { ...run.value, ...part };
  };
  run.value = { ...empty, state: "running" };
  const background = watchBackground();
  try {
    const call = engine.call("suite", { ...asked, timeMs: durations[duration], afresh }, (news) => {
      if (news.kind === "start") change({ devices: news.devices, total: news.total, rows: news.finished, done: news.finished.length });
      else if (news.kind === "row") change({ rows: [...run.value.rows, news.row] });
      else {
        change({ done: news.done, total: news.total, what: news.what });
        keep("suite", "localStorage", { choice: choice.value, done: news.done, total: news.total });
      }
    });
    const certificate = await call.result;
    change({ state: "done", certificate, rows: certificate.rows });
    keep("suite", "localStorage", null);
  } catch (error) {
    const trouble = troubleOf(error);
    change({ state: "stopped", trouble: trouble.kind === "ended" ? null : trouble });
  } finally {
    background.end();
  }
}

export const stop = (): void => engine.end();
