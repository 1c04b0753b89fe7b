/** The diff tab: the model of the chat, on the CPU and on the GPU. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { type DiffStep, isAstray, type Unwatched } from "../../conformance/watch/diff.ts";
import type { DiffGiven } from "../../worker/calls.ts";
import { place } from "../chat/model.ts";
import { makeEngine } from "../engine/client.ts";
import type { DiffTold } from "../engine/protocol.ts";
import { Notice, Progress } from "../shell/notice.tsx";
import { short } from "../shell/numbers.ts";
import { Scroll } from "../shell/scroll.tsx";
import { sentenceOf, type Trouble, troubleOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "running"; readonly news: DiffTold | null }
  | { readonly kind: "done"; readonly given: DiffGiven }
  | { readonly kind: "failed"; readonly trouble: Trouble };

const engine = makeEngine();

function unwatchedText({ way, variant, divergence, sameTop }: Unwatched): string {
  const t = words.value;
  return t.unwatched(t.ways[way], variant, divergence.toExponential(1), sameTop ? t.sameTop : t.otherTop);
}

function Steps({ steps }: { readonly steps: readonly DiffStep[] }): VNode {
  const { stepTable } = words.value;
  const cell = (headroom: number | undefined): VNode => (
    <td class={`number ${(headroom ?? 0) > 1 ? "violated" : ""}`}>{short(headroom)}</td>
  );
  return (
    <Scroll label={words.value.allSteps}>
      <table>
        <thead>
          <tr>
            <th scope="col">{stepTable.step}</th>
            <th scope="col">{stepTable.op}</th>
            <th scope="col" class="number">
              {stepTable.distance}
            </th>
            <th scope="col" class="number">
              {stepTable.cpu}
            </th>
            <th scope="col" class="number">
              {stepTable.gpu}
            </th>
          </tr>
        </thead>
        <tbody>
          {steps.map(({ name, op, distance, a, b }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{op}</td>
              <td class="number">{short(distance)}</td>
              {cell(a?.headroom)}
              {cell(b?.headroom)}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Found({ given }: { readonly given: DiffGiven }): VNode {
  const t = words.value;
  const { first, steps, unwatched, device, cpu } = given;
  const astray = unwatched.some(isAstray);
  const worst = first?.step[first.side];
  return (
    <>
      {first ? (
        <Notice kind="bad">
          <p>
            {t.diffFirst(
              first.step.name,
              first.step.op,
              first.step.kernels[first.side] ?? "–",
              first.side === "a" ? t.on.cpu : t.on.webgpu,
            )}
          </p>
          {worst && <p>{t.diffWorst(short(worst.error), short(worst.bound))}</p>}
        </Notice>
      ) : (
        <Notice kind="good">
          <p>{t.diffNone(steps.length)}</p>
        </Notice>
      )}
      {astray && !first && (
        <Notice kind="bad">
          <p>{t.diffNotRight}</p>
        </Notice>
      )}
      <ul class="about devices">
        <li>{`${t.on.cpu}: ${cpu}`}</li>
        <li>{`${t.on.webgpu}: ${device}`}</li>
        {unwatched.map((one) => (
          <li key={one.way} class={isAstray(one) ? "violated" : ""}>
            {`${unwatchedText(one)}${isAstray(one) ? ` ${t.wrong}.` : ""}`}
          </li>
        ))}
      </ul>
      <Steps steps={steps} />
    </>
  );
}

export function Diff(): VNode {
  const t = words.value;
  const [text, setText] = useState("구름은 하늘에 떠 있다.");
  const [state, setState] = useState<State>({ kind: "idle" });
  const compare = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (state.kind === "running" || text.trim() === "") return;
    setState({ kind: "running", news: null });
    try {
      const call = engine.call("diff", { place: place.value, text }, (news) => setState({ kind: "running", news }));
      setState({ kind: "done", given: await call.result });
      engine.end();
    } catch (error) {
      const trouble = troubleOf(error);
      setState(trouble.kind === "ended" ? { kind: "idle" } : { kind: "failed", trouble });
    }
  };
  const news = state.kind === "running" ? state.news : null;
  const label = !news ? t.starting : news.step === "judging" ? t.judging : news.step === "download" ? t.downloading : t.readingWeights;
  return (
    <>
      <div class="intro">
        <h2>{t.diffTitle}</h2>
        <p>{t.diffAbout}</p>
      </div>
      <form class="form" onSubmit={(event) => void compare(event)}>
        <div class="field wide">
          <label for="difftext">{`${t.diffText} (${place.value.kind === "embedded" ? t.embedded : place.value.name})`}</label>
          <textarea id="difftext" rows={2} value={text} onInput={({ currentTarget }) => setText(currentTarget.value)} />
        </div>
        <div class="actions">
          {state.kind === "running" ? (
            <button key="stop" type="button" class="main" onClick={() => engine.end()}>
              {t.stop}
            </button>
          ) : (
            <button key="go" type="submit" class="main" disabled={text.trim() === ""}>
              {t.compare}
            </button>
          )}
        </div>
      </form>
      {state.kind === "running" && <Progress label={label} {...(news ? { done: news.done, total: news.total } : {})} />}
      <div aria-live="polite">
        {state.kind === "failed" && (
          <Notice kind="bad">
            <p>{sentenceOf(state.trouble, t)}</p>
          </Notice>
        )}
        {state.kind === "done" && <Found given={state.given} />}
      </div>
    </>
  );
}
