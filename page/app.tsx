/** The frame: name, tabs, language, and the four panels, which stay as they are while another is looked at. */

import type { ComponentType, VNode } from "preact";
import { useRef } from "preact/hooks";
import { Bench } from "./bench/bench.tsx";
import { Chat } from "./chat/chat.tsx";
import { useDrop } from "./chat/drop.ts";
import { Diff } from "./diff/diff.tsx";
import { openTab, type Tab, tab, tabs } from "./shell/tabs.ts";
import { chooseLanguage, language, words } from "./shell/words.ts";
import { Suite } from "./suite/suite.tsx";

const panels: Readonly<Record<Tab, ComponentType>> = { chat: Chat, suite: Suite, diff: Diff, bench: Bench };

function Tabs(): VNode {
  const list = useRef<HTMLDivElement>(null);
  // Arrows move between tabs, as the pattern for tabs has it: one stop for the Tab key.
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = tabs.indexOf(tab.value);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    openTab(tabs.at(to % tabs.length)!);
    list.current?.querySelector<HTMLElement>(`#tab-${tab.value}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" ref={list} onKeyDown={onKeyDown}>
      {tabs.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-controls={`panel-${name}`}
          aria-selected={tab.value === name}
          tabIndex={tab.value === name ? 0 : -1}
          onClick={() => openTab(name)}
        >
          {words.value.tabs[name]}
        </button>
      ))}
    </div>
  );
}

export function App(): VNode {
  const t = words.value;
  const dragged = useDrop();
  return (
    <>
      <a class="skip" href="#content">
        {t.skip}
      </a>
      <header>
        <div class="name">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M9 25a6 6 0 0 1-.9-11.9A8 8 0 0 1 23.4 12 6.6 6.6 0 0 1 23 25z" />
          </svg>
          <h1>{t.title}</h1>
        </div>
        <Tabs />
        <button
          type="button"
          class="quiet language"
          lang={language.value === "ko" ? "en" : "ko"}
          onClick={() => chooseLanguage(language.value === "ko" ? "en" : "ko")}
        >
          {t.otherLanguage}
        </button>
      </header>
      <main id="content" tabIndex={-1}>
        {tabs.map((name) => {
          const Panel = panels[name];
          return (
            <section
              key={name}
              id={`panel-${name}`}
              class={name}
              role="tabpanel"
              aria-labelledby={`tab-${name}`}
              hidden={tab.value !== name}
            >
              <Panel />
            </section>
          );
        })}
      </main>
      {dragged && <div class="drop">{t.openFolder}</div>}
    </>
  );
}
