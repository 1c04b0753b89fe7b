/** Which tab is open: the address's fragment says it, so that it can be linked to. */
import { type Signal, signal } from "@preact/signals";

export const tabs = ["chat", "suite", "diff", "bench"] as const;
export type Tab = (typeof tabs)[number];

const addresses: Readonly<Record<Tab, string>> = { chat: "#chat", suite: "#conformance", diff: "#diff", bench: "#bench" };
const fromAddress = (): Tab => tabs.find((name) => addresses[name] === location.hash) ?? "chat";

export const tab: Signal<Tab> = signal(fromAddress());
addEventListener("hashchange", () => {
  tab.value = fromAddress();
});

export function openTab(name: Tab): void {
  tab.value = name;
  history.replaceState(null, "", addresses[name]);
}
