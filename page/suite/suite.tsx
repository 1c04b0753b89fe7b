/** The conformance tab. */

import type { VNode } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import { encodeNumbers } from "../../conformance/certificate/journal.ts";
import { Figure } from "../plots/figure.tsx";
import { Notice, Progress } from "../shell/notice.tsx";
import { saveText } from "../shell/save.ts";
import { sentenceOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";
import { headroomDrawing } from "./headroom.ts";
import { openOther, others } from "./others.ts";
import { Replay } from "./replay.tsx";
import { Rows, Violations } from "./rows.tsx";
import { choice, type Duration, durations, run, start, stop } from "./run.ts";

function Form(): VNode {
  const t = words.value;
  const { state, done, total } = run.value;
  const isRunning = state === "running";
  const change = (part: Partial<typeof choice.value>): void => {
    choice.value = { ...choice.value, ...part };
  };
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isRunning) void start(true);
      }}
    >
      <div class="field">
        <label for="duration">{t.runFor}</label>
        <select
          id="duration"
          value={choice.value.duration}
          disabled={isRunning}
          onChange={({ currentTarget }) => change({ duration: currentTarget.value as Duration })}
        >
          {(Object.keys(durations) as Duration[]).map((name) => (
            <option key={name} value={name}>
              {t.durations[name]}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="subjects">{t.subjects}</label>
        <select
          id="subjects"
          value={choice.value.backend}
          disabled={isRunning}
          onChange={({ currentTarget }) => change({ backend: currentTarget.value as typeof choice.value.backend })}
        >
          {(["both", "webgpu", "cpu"] as const).map((name) => (
            <option key={name} value={name}>
              {t.subjectChoices[name]}
            </option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="filter">{t.filter}</label>
        <input
          id="filter"
          type="text"
          value={choice.value.filter}
          disabled={isRunning}
          placeholder={t.filterAbout}
          onInput={({ currentTarget }) => change({ filter: currentTarget.value })}
        />
      </div>
      <div class="actions">
        {isRunning ? (
          <button key="stop" type="button" class="main" onClick={stop}>
            {t.stop}
          </button>
        ) : state === "stopped" && done < total ? (
          <>
            <button key="resume" type="button" class="main" onClick={() => void start(false)}>
              {t.resume}
            </button>
            <button type="submit">{t.afresh}</button>
          </>
        ) : (
          <button key="run" type="submit" class="main">
            {t.run}
          </button>
        )}
      </div>
    </form>
  );
}

function State(): VNode | null {
  const t = words.value;
  const { state, done, total, what, rows, certificate, trouble } = run.value;
  const violated = rows.reduce((sum, row) => sum + row.failures.length, 0);
  const unreached = rows.filter(({ cases }) => cases === 0).length;
  return (
    <>
      {state === "running" && <Progress label={total ? t.runningOf(done, total, what) : t.starting} done={done} total={total} />}
      {state === "stopped" && total > 0 && (
        <Notice kind="info">
          <p>{t.interrupted(done, total)}</p>
        </Notice>
      )}
      {trouble && (
        <Notice kind="bad">
          <p>{sentenceOf(trouble, t)}</p>
        </Notice>
      )}
      {violated > 0 ? (
        <Notice kind="bad">
          <p>{t.verdicts.violated(violated)}</p>
        </Notice>
      ) : (
        certificate && (
          <Notice kind="good">
            <p>{`${t.verdicts.hold(rows.length - unreached)}${unreached > 0 ? ` ${t.notReached(unreached)}` : ""}`}</p>
          </Notice>
        )
      )}
    </>
  );
}

export function Suite(): VNode {
  const t = words.value;
  const { rows, devices, certificate } = run.value;
  const [otherName, setOtherName] = useState("");
  const [other, setOther] = useState<Certificate | null>(null);
  useEffect(() => {
    setOther(null);
    if (otherName !== "") void openOther(otherName).then(setOther, () => setOtherName(""));
  }, [otherName]);
  const drawing = useMemo(() => headroomDrawing(rows, other?.rows ?? null, t), [rows, other, t]);
  return (
    <>
      <div class="intro">
        <h2>{t.suiteTitle}</h2>
        <p>{t.suiteAbout}</p>
      </div>
      <Form />
      <div aria-live="polite">
        <State />
      </div>
      {devices.length > 0 && (
        <ul class="about devices">
          {devices.map(({ implementation, vendor, architecture, description }) => (
            <li key={implementation}>{[implementation, vendor, architecture, description].filter(Boolean).join(" · ")}</li>
          ))}
        </ul>
      )}
      <Violations rows={rows} />
      {rows.length > 0 && (
        <>
          <div class="form">
            <div class="field">
              <label for="other">{t.compareWith}</label>
              <select id="other" value={otherName} onChange={({ currentTarget }) => setOtherName(currentTarget.value)}>
                <option value="">{t.nobody}</option>
                {others.map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </div>
            {certificate && (
              <button type="button" onClick={() => saveText("certificate.json", `${encodeNumbers(certificate, 1)}\n`)}>
                {t.saveCertificate}
              </button>
            )}
          </div>
          <div class="card">
            <h3>{t.headroomTitle}</h3>
            <p class="about">{t.headroomAbout}</p>
            <Figure label={t.headroomTitle} drawing={drawing} />
          </div>
          <Rows rows={rows} there={other?.rows ?? null} />
        </>
      )}
      <Replay />
    </>
  );
}
