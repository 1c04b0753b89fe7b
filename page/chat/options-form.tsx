/** Sampling and system prompt. An empty field is the model's own value, which stands in it in grey. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import { words } from "../shell/words.ts";
import { messagesOf, turns } from "./conversation.ts";
import { engine, model } from "./model.ts";
import { type Field, fields, numberOf, options } from "./options.ts";

function NumberField({ name }: { readonly name: Field }): VNode {
  const t = words.value;
  const { min, max, step } = fields[name];
  const own = model.value.kind === "ready" ? `${model.value.loaded.sampling[name]}` : "";
  return (
    <div class="field">
      <label for={name}>{t[name]}</label>
      <input
        id={name}
        type="number"
        min={min}
        max={max}
        step={step}
        placeholder={own}
        value={options.value.sampling[name] ?? ""}
        onInput={({ currentTarget }) => {
          const { [name]: _, ...others } = options.value.sampling;
          const value = numberOf(name, currentTarget.value);
          options.value = { ...options.value, sampling: value === undefined ? others : { ...others, [name]: value } };
        }}
      />
    </div>
  );
}

/** The prompt text, as the template makes it of what was said so far. */
function Prompt(): VNode {
  const t = words.value;
  const [text, setText] = useState<string | null>(null);
  const show = async (event: Event & { currentTarget: HTMLDetailsElement }): Promise<void> => {
    if (!event.currentTarget.open) return;
    const messages = messagesOf(turns.value, options.value.system);
    try {
      setText(
        await engine.call("render", messages.some(({ role }) => role === "user") ? messages : [...messages, { role: "user", content: "…" }])
          .result,
      );
    } catch (error) {
      setText(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <details class="prompt" onToggle={(event) => void show(event)}>
      <summary>{t.showPrompt}</summary>
      <pre>{text}</pre>
    </details>
  );
}

export function OptionsForm(): VNode {
  const t = words.value;
  const state = model.value;
  const own = state.kind === "ready" ? state.loaded.system : null;
  return (
    <details class="options">
      <summary>{t.options}</summary>
      <div class="field wide">
        <label for="system">{t.system}</label>
        <textarea
          id="system"
          rows={2}
          value={options.value.system}
          placeholder={own ?? ""}
          onInput={({ currentTarget }) => {
            options.value = { ...options.value, system: currentTarget.value };
          }}
        />
        <p class="about">{own === null || own === "" ? t.systemNone : t.systemOwn}</p>
      </div>
      <div class="fields">
        {(Object.keys(fields) as Field[]).map((name) => (
          <NumberField key={name} name={name} />
        ))}
        <div class="field">
          <label for="maxNewTokens">{t.maxNewTokens}</label>
          <input
            id="maxNewTokens"
            type="number"
            min={1}
            step={1}
            value={options.value.maxNewTokens}
            onInput={({ currentTarget: { valueAsNumber } }) => {
              if (Number.isInteger(valueAsNumber) && valueAsNumber >= 1) options.value = { ...options.value, maxNewTokens: valueAsNumber };
            }}
          />
        </div>
      </div>
      <p class="about">{`${t.temperature} ${t.temperatureAbout}`}</p>
      {state.kind === "ready" && <Prompt />}
    </details>
  );
}
