/** A line that a violation printed, run here. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Failure } from "../../conformance/check/row.ts";
import { makeEngine } from "../engine/client.ts";
import { Notice, Progress } from "../shell/notice.tsx";
import { sentenceOf, type Trouble, troubleOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";

type State =
  | { readonly kind: "idle" | "running" | "holds" }
  | { readonly kind: "violated"; readonly failure: Failure }
  | { readonly kind: "failed"; readonly trouble: Trouble };

const engine = makeEngine();

export function Replay(): VNode {
  const t = words.value;
  const [line, setLine] = useState("");
  const [state, setState] = useState<State>({ kind: "idle" });
  const replay = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (line.trim() === "" || state.kind === "running") return;
    setState({ kind: "running" });
    try {
      const failure = await engine.call("replay", line).result;
      setState(failure ? { kind: "violated", failure } : { kind: "holds" });
    } catch (error) {
      setState({ kind: "failed", trouble: troubleOf(error) });
    } finally {
      engine.end();
    }
  };
  return (
    <form class="card" onSubmit={(event) => void replay(event)}>
      <h3>{t.replayTitle}</h3>
      <p class="about">{t.replayAbout}</p>
      <label class="label" for="line">
        {t.replayLine}
      </label>
      <textarea
        id="line"
        rows={3}
        spellcheck={false}
        placeholder={'["rms-norm","webgpu/rms-norm",…]'}
        value={line}
        onInput={({ currentTarget }) => {
          setLine(currentTarget.value);
          setState({ kind: "idle" });
        }}
      />
      <p class="actions after">
        <button type="submit" disabled={line.trim() === "" || state.kind === "running"}>
          {t.replay}
        </button>
      </p>
      {state.kind === "running" && <Progress label={t.starting} />}
      {state.kind === "holds" && (
        <Notice kind="good">
          <p>{t.replayHolds}</p>
        </Notice>
      )}
      {state.kind === "violated" && (
        <Notice kind="bad">
          <p>{`${state.failure.law}: ${state.failure.message}`}</p>
        </Notice>
      )}
      {state.kind === "failed" && (
        <Notice kind="bad">
          <p>{sentenceOf(state.trouble, t)}</p>
        </Notice>
      )}
    </form>
  );
}
