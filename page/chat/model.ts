/** The model of the conversation: which, on what, and how far it is loaded. */
import { type Signal, signal } from "@preact/signals";
import { type Engine, makeEngine } from "../engine/client.ts";
import type { Backend, Loaded, Loading, Place } from "../engine/protocol.ts";
import { type Trouble, troubleOf } from "../shell/trouble.ts";

export type ModelState =
  | { readonly kind: "loading"; readonly news: Loading | null }
  | { readonly kind: "ready"; readonly loaded: Loaded }
  | { readonly kind: "failed"; readonly trouble: Trouble };

export const engine: Engine = makeEngine();
export const place: Signal<Place> = signal<Place>({ kind: "embedded" });
export const backend: Signal<Backend> = signal<Backend>("auto");
export const model: Signal<ModelState> = signal<ModelState>({ kind: "loading", news: null });

/** Which load is the last: the news of others are of no interest. */
let turn = 0;

/** Loads the model of `place` anew, in a new worker, so that nothing of an old one is left. */
export async function loadModel(): Promise<void> {
  const mine = ++turn;
  engine.end();
  model.value = { kind: "loading", news: null };
  const say = (state: ModelState): void => {
    if (mine === turn) model.value = state;
  };
  try {
    const asked = { place: place.value, backend: backend.value };
    say({ kind: "ready", loaded: await engine.call("load", asked, (news) => say({ kind: "loading", news })).result });
  } catch (error) {
    const trouble = troubleOf(error);
    if (trouble.kind !== "ended") say({ kind: "failed", trouble });
  }
}

/** Takes another model or device, and loads it. */
export function takeModel(next: { readonly place?: Place; readonly backend?: Backend }): Promise<void> {
  if (next.place) place.value = next.place;
  if (next.backend) backend.value = next.backend;
  return loadModel();
}
