/** Which model computes, on what and why; and how to take another. */

import type { VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { formatBytes } from "../../core/text.ts";
import type { Backend, Calls, Place } from "../engine/protocol.ts";
import { Notice, Progress } from "../shell/notice.tsx";
import { seconds, speed } from "../shell/numbers.ts";
import { sentenceOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";
import { cpuSpeed } from "./conversation.ts";
import { addressPlace, filesPlace, pickFolder } from "./folder.ts";
import { backend, engine, loadModel, model, place, takeModel } from "./model.ts";

const backends: readonly Backend[] = ["auto", "webgpu", "cpu"];

const nameOf = (of: Place): string => (of.kind === "embedded" ? words.value.embedded : of.name);

/** What is lost by the way that the CPU computes here, a sentence each. */
function cpuNotes(reason: string): string[] {
  const { failures, cpuSpeed: withSpeed, cpuSpeedUnknown } = words.value;
  const software = /the only WebGPU adapter is software: ([^;]*)/.exec(reason)?.[1];
  const why = software !== undefined ? failures.softwareGpu(software) : reason.includes("no WebGPU") ? failures.noGpu : "";
  const known = cpuSpeed.value === null ? cpuSpeedUnknown : withSpeed(speed(cpuSpeed.value));
  return [
    ...(why === "" ? [] : [`${why} ${known}`]),
    ...(reason.includes("forbids WebAssembly") ? [failures.slowWasm] : []),
    ...(reason.includes("no SharedArrayBuffer") ? [failures.oneThread] : []),
  ];
}

function Status(): VNode {
  const t = words.value;
  const state = model.value;
  if (state.kind === "loading") {
    const { news } = state;
    const label = !news ? t.starting : news.step === "download" ? t.downloading : t.readingWeights;
    return <Progress label={label} {...(news ? { done: news.done, total: news.total } : {})} />;
  }
  if (state.kind === "failed")
    return (
      <Notice kind="bad">
        <p>{sentenceOf(state.trouble, t)}</p>
        <p class="actions">
          <button type="button" onClick={() => void loadModel()}>
            {t.loadAgain}
          </button>
          {backend.value === "webgpu" && (
            <button type="button" onClick={() => void takeModel({ backend: "cpu" })}>
              {t.goOnCpu}
            </button>
          )}
          {place.value.kind !== "embedded" && (
            <button type="button" onClick={() => void takeModel({ place: { kind: "embedded" } })}>
              {t.useEmbedded}
            </button>
          )}
        </p>
      </Notice>
    );
  const { loaded } = state;
  return (
    <>
      {loaded.backend === "cpu" &&
        cpuNotes(loaded.reason).map((note) => (
          <Notice key={note} kind="info">
            <p>{note}</p>
          </Notice>
        ))}
      {loaded.noChat !== null && (
        <Notice kind="bad">
          <p>{t.noChat(loaded.noChat)}</p>
        </Notice>
      )}
    </>
  );
}

/** Models that were kept in this browser: to open, or to delete. */
function Kept(): VNode | null {
  const t = words.value;
  const [all, setAll] = useState<Calls["kept"]["gives"]>([]);
  const state = model.value.kind;
  useEffect(() => {
    if (state === "ready") void engine.call("kept", null).result.then(setAll, () => setAll([]));
  }, [state]);
  const forget = async (name: string): Promise<void> => {
    await engine.call("forget", name).result;
    setAll(all.filter((one) => one.name !== name));
  };
  if (all.length === 0) return null;
  return (
    <div class="field">
      <span class="label">{t.keptModels}</span>
      <ul>
        {all.map(({ name, byteLength }) => (
          <li key={name} class="actions kept">
            <span>{`${name} (${formatBytes(byteLength)})`}</span>
            <button type="button" onClick={() => void takeModel({ place: { kind: "kept", name } })}>
              {t.load}
            </button>
            <button type="button" class="quiet" onClick={() => void forget(name)}>
              {t.forget}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The choice of model and device. */
function Choices(): VNode {
  const t = words.value;
  const field = useRef<HTMLInputElement>(null);
  const [address, setAddress] = useState("");
  const [keep, setKeep] = useState(false);
  const choose = async (): Promise<void> => {
    const picked = await pickFolder();
    if (picked === undefined) field.current?.click();
    else if (picked) await takeModel({ place: picked });
  };
  const openAddress = (event: Event): void => {
    event.preventDefault();
    if (address.trim() === "") return;
    void takeModel({ place: addressPlace(address, keep) });
  };
  return (
    <div class="choices">
      <div class="field">
        <button type="button" onClick={() => void choose()}>
          {t.openFolder}
        </button>
        {place.value.kind !== "embedded" && (
          <button type="button" class="quiet" onClick={() => void takeModel({ place: { kind: "embedded" } })}>
            {t.useEmbedded}
          </button>
        )}
        <input
          ref={field}
          id="folder"
          type="file"
          hidden
          multiple
          {...{ webkitdirectory: true }}
          onChange={({ currentTarget: { files } }) => {
            const chosen = filesPlace([...(files ?? [])]);
            if (chosen) void takeModel({ place: chosen });
          }}
        />
        <p class="about">{t.openFolderAbout}</p>
      </div>
      <form class="field" onSubmit={openAddress}>
        <label for="address">{t.openAddress}</label>
        <span class="row">
          <input
            id="address"
            type="text"
            inputMode="url"
            placeholder="./models/…/"
            value={address}
            onInput={({ currentTarget }) => setAddress(currentTarget.value)}
          />
          <button type="submit">{t.load}</button>
        </span>
        <label class="check">
          <input type="checkbox" checked={keep} onChange={({ currentTarget }) => setKeep(currentTarget.checked)} />
          {t.keepCopy}
        </label>
        <p class="about">{t.openAddressAbout}</p>
      </form>
      <Kept />
      <div class="field">
        <label for="backend">{t.computeOn}</label>
        <select
          id="backend"
          value={backend.value}
          onChange={({ currentTarget }) => void takeModel({ backend: currentTarget.value as Backend })}
        >
          {backends.map((name) => (
            <option key={name} value={name}>
              {t.backends[name]}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}

export function ModelCard(): VNode {
  const t = words.value;
  const state = model.value;
  const facts =
    state.kind === "ready"
      ? [
          t.weights(formatBytes(state.loaded.weightBytes)),
          t.context(state.loaded.context.toLocaleString()),
          t.loadedIn(seconds(state.loaded.loadMs)),
        ]
      : [];
  return (
    <div class="model">
      <details>
        <summary>
          <span class="model-name">{nameOf(place.value)}</span>
          {state.kind === "ready" && <span class="badge">{t.on[state.loaded.backend]}</span>}
          <span class="change">{t.changeModel}</span>
        </summary>
        {state.kind === "ready" && (
          <p class="about facts">
            {state.loaded.reason}
            <br />
            {facts.join(" · ")}
            {state.loaded.notes.map((note) => (
              <span key={note}>
                <br />
                {note}
              </span>
            ))}
          </p>
        )}
        <Choices />
      </details>
      <Status />
    </div>
  );
}
