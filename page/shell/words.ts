/** The language of the page: the browser's, until somebody chooses. */
import { computed, effect, type ReadonlySignal, type Signal, signal } from "@preact/signals";
import { en, type Words } from "../text/en.ts";
import { ko } from "../text/ko.ts";
import { keep, kept } from "./kept.ts";

export type Language = "en" | "ko";
const own: Language = navigator.language.startsWith("ko") ? "ko" : "en";

export const language: Signal<Language> = signal(kept("language", "localStorage", (v): v is Language => v === "en" || v === "ko") ?? own);
export const words: ReadonlySignal<Words> = computed(() => (language.value === "ko" ? ko : en));

effect(() => {
  document.documentElement.lang = language.value;
});

export function chooseLanguage(chosen: Language): void {
  language.value = chosen;
  keep("language", "localStorage", chosen);
}
