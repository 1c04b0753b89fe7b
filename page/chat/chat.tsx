/** The chat tab. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Notice } from "../shell/notice.tsx";
import { seconds, speed } from "../shell/numbers.ts";
import { sentenceOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";
import { again, clear, isAnswering, send, stop, type Turn, trouble, turns } from "./conversation.ts";
import { loadModel, model, takeModel } from "./model.ts";
import { ModelCard } from "./model-card.tsx";
import { OptionsForm } from "./options-form.tsx";

/** Why an answer ended, where it did not end by itself. */
function endingOf({ ending }: Turn): string {
  const t = words.value;
  return { stop: "", length: t.cutLength, context: t.cutContext, aborted: t.stopped, broken: t.broken }[ending ?? "stop"];
}

function Answer({ turn }: { readonly turn: Turn }): VNode {
  const t = words.value;
  const { stats } = turn;
  const parts = [
    ...(stats && stats.tokens > 1 ? [t.answerStats(stats.tokens, speed(stats.tokensPerSecond), seconds(stats.firstMs))] : []),
    ...(endingOf(turn) === "" ? [] : [endingOf(turn)]),
  ];
  return (
    <li class="assistant">
      <div class="text">
        {turn.text}
        {!turn.ending && <span class="cursor" aria-hidden="true" />}
      </div>
      <p class="stats">{parts.join(" · ")}</p>
    </li>
  );
}

function Welcome(): VNode {
  const t = words.value;
  return (
    <div class="welcome">
      <h2>{t.welcome}</h2>
      <p>{t.welcomeAbout}</p>
      <ul class="examples">
        {t.examples.map((text) => (
          <li key={text}>
            <button type="button" disabled={model.value.kind !== "ready"} onClick={() => void send(text)}>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function TroubleNotice(): VNode | null {
  const t = words.value;
  const found = trouble.value;
  if (!found) return null;
  const anew = found.kind === "lost" || found.kind === "memory" || found.kind === "worker";
  const reload = async (): Promise<void> => {
    trouble.value = null;
    await loadModel();
  };
  const onCpu = async (): Promise<void> => {
    trouble.value = null;
    await takeModel({ backend: "cpu" });
  };
  return (
    <Notice kind="bad">
      <p>{sentenceOf(found, t)}</p>
      {anew && (
        <p class="actions">
          <button type="button" onClick={() => void reload()}>
            {t.loadAgain}
          </button>
          {found.kind !== "worker" && (
            <button type="button" onClick={() => void onCpu()}>
              {t.goOnCpu}
            </button>
          )}
        </p>
      )}
    </Notice>
  );
}

function Composer(): VNode {
  const t = words.value;
  const [text, setText] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const isReady = model.value.kind === "ready" && model.value.loaded.noChat === null;
  const submit = (event?: Event): void => {
    event?.preventDefault();
    if (!isReady || isAnswering.value || text.trim() === "") return;
    void send(text);
    setText("");
  };
  // Enter sends; not while a Korean syllable is being put together.
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  };
  useEffect(() => {
    if (area.current) {
      area.current.style.height = "auto";
      area.current.style.height = `${Math.min(area.current.scrollHeight, 200)}px`;
    }
  }, [text]);
  return (
    <form class="composer" onSubmit={submit}>
      <label class="only-read" for="message">
        {t.message}
      </label>
      <textarea
        id="message"
        ref={area}
        rows={1}
        value={text}
        placeholder={t.messagePlaceholder}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {isAnswering.value ? (
        <button key="stop" type="button" class="main" onClick={stop}>
          {t.stop}
        </button>
      ) : (
        <button key="send" type="submit" class="main" disabled={!isReady || text.trim() === ""}>
          {t.send}
        </button>
      )}
    </form>
  );
}

export function Chat(): VNode {
  const t = words.value;
  const end = useRef<HTMLDivElement>(null);
  const all = turns.value;
  const nearEnd = useRef(true);
  useEffect(() => {
    const onScroll = (): void => {
      nearEnd.current = innerHeight + scrollY > document.documentElement.scrollHeight - 120;
    };
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, []);
  // A reader who scrolled up stays there.
  useEffect(() => {
    if (all.length > 0 && nearEnd.current) end.current?.scrollIntoView({ block: "end" });
  }, [all]);
  return (
    <>
      <ModelCard />
      {all.length === 0 ? (
        <Welcome />
      ) : (
        <ol class="turns" aria-label={t.conversation} aria-live="polite" aria-busy={isAnswering.value}>
          {all.map((turn, i) =>
            turn.role === "assistant" ? (
              <Answer key={i} turn={turn} />
            ) : (
              <li key={i} class="user">
                <span class="only-read">{t.you}: </span>
                <div class="text">{turn.text}</div>
              </li>
            ),
          )}
        </ol>
      )}
      <TroubleNotice />
      <div class="bottom" ref={end}>
        <Composer />
        <div class="under">
          <OptionsForm />
          {all.length > 0 && !isAnswering.value && (
            <span class="actions">
              <button type="button" class="quiet" disabled={model.value.kind !== "ready"} onClick={() => void again()}>
                {t.again}
              </button>
              <button type="button" class="quiet" onClick={clear}>
                {t.clear}
              </button>
            </span>
          )}
        </div>
      </div>
    </>
  );
}
