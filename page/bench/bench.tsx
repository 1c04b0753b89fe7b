/** The bench tab. */

import type { VNode } from "preact";
import { useMemo, useState } from "preact/hooks";
import { type BenchResults, bytesPerSecond, operationsPerSecond, type Row, tokensPerSecond } from "../../bench/results.ts";
import { formatMs, formatRate, formatShare, rowCells, warnings } from "../../bench/table.ts";
import { synthShapes } from "../../core/checkpoint/synth-shapes.ts";
import type { PartNews } from "../../worker/calls.ts";
import { place } from "../chat/model.ts";
import { makeEngine } from "../engine/client.ts";
import type { BenchAsked } from "../engine/protocol.ts";
import { Figure } from "../plots/figure.tsx";
import { watchBackground } from "../shell/background.ts";
import { Notice, Progress } from "../shell/notice.tsx";
import { saveText } from "../shell/save.ts";
import { Scroll } from "../shell/scroll.tsx";
import { sentenceOf, type Trouble, troubleOf } from "../shell/trouble.ts";
import { words } from "../shell/words.ts";
import { pointsOf, rooflineDrawing } from "./roofline.ts";

type What = BenchAsked["what"];
type State =
  | { readonly kind: "idle" }
  | { readonly kind: "running"; readonly news: PartNews | null }
  | { readonly kind: "done"; readonly results: BenchResults; readonly hiddenMs: number }
  | { readonly kind: "failed"; readonly trouble: Trouble };

const engine = makeEngine();

function rateOf(row: Row): string {
  const tokens = tokensPerSecond(row);
  if (tokens) return words.value.tokensPerSecond(formatRate(tokens));
  const [operations, bytes] = [operationsPerSecond(row), bytesPerSecond(row)];
  return [...(bytes ? [`${formatRate(bytes)}B/s`] : []), ...(operations ? [`${formatRate(operations)}op/s`] : [])].join(", ") || "–";
}

function Results({ results, hiddenMs }: { readonly results: BenchResults; readonly hiddenMs: number }): VNode {
  const t = words.value;
  const points = pointsOf(results.rows);
  const drawing = useMemo(() => rooflineDrawing(results, t), [results, t]);
  const { device, skipped = [] } = results;
  return (
    <>
      {hiddenMs > 0 && (
        <Notice kind="bad">
          <p>{t.failures.hidden(Math.ceil(hiddenMs / 1000))}</p>
        </Notice>
      )}
      <p class="about">{[device.implementation, device.vendor, device.architecture, device.description].filter(Boolean).join(" · ")}</p>
      <p class="actions after">
        <button type="button" onClick={() => saveText("results.json", `${JSON.stringify(results, null, 1)}\n`)}>
          {t.saveBench}
        </button>
      </p>
      {points.length > 0 && (
        <div class="card">
          <h3>{t.roofline}</h3>
          <p class="about">{t.rooflineAbout}</p>
          <Figure label={t.roofline} drawing={drawing} />
        </div>
      )}
      <Scroll label={t.benchTitle}>
        <table>
          <thead>
            <tr>
              {points.length > 0 && <th scope="col" class="number" aria-label="#" />}
              <th scope="col">{t.benchTable.name}</th>
              <th scope="col" class="number">
                {t.benchTable.time}
              </th>
              <th scope="col" class="number">
                {t.benchTable.spread}
              </th>
              <th scope="col" class="number">
                {t.benchTable.rate}
              </th>
              <th scope="col" class="number">
                {t.benchTable.share}
              </th>
            </tr>
          </thead>
          <tbody>
            {results.rows.map((row) => (
              <tr key={row.name}>
                {points.length > 0 && <td class="number">{points.find((point) => point.row === row)?.number ?? ""}</td>}
                <th scope="row">{row.name}</th>
                <td class="number">{formatMs(row.median)}</td>
                <td class="number">{rowCells(row)[2]}</td>
                <td class="number">{rateOf(row)}</td>
                <td class="number">{row.limitShare === undefined ? "–" : formatShare(row.limitShare)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {warnings(results.rows).map((line) => (
        <p key={line} class="about">
          {line}
        </p>
      ))}
      {skipped.length > 0 && (
        <details class="about">
          <summary>{t.skipped(skipped.length)}</summary>
          <ul>
            {skipped.map(({ name, reason }) => (
              <li key={name}>{`${name}: ${reason}`}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

const whole = (text: string, otherwise: number): number => (/^[1-9]\d{0,5}$/.test(text.trim()) ? Number(text) : otherwise);

export function Bench(): VNode {
  const t = words.value;
  const [what, setWhat] = useState<What>("device");
  const [shape, setShape] = useState("tinyllama-1.1b");
  const [rows, setRows] = useState("1");
  const [filter, setFilter] = useState("");
  const [backend, setBackend] = useState<"webgpu" | "cpu">("webgpu");
  const [prompt, setPrompt] = useState("64");
  const [newTokens, setNewTokens] = useState("32");
  const [state, setState] = useState<State>({ kind: "idle" });
  const asked = (): BenchAsked => {
    if (what === "device") return { what };
    if (what === "kernels") return { what, shape, rows: rows.split(/[\s,]+/).map((n) => whole(n, 1)), filter };
    return { what, place: place.value, backend, prompt: whole(prompt, 64), newTokens: whole(newTokens, 32) };
  };
  const measure = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (state.kind === "running") return;
    setState({ kind: "running", news: null });
    const background = watchBackground();
    try {
      const call = engine.call("bench", asked(), (news) => setState({ kind: "running", news }));
      setState({ kind: "done", results: await call.result, hiddenMs: background.hiddenMs() });
      engine.end();
    } catch (error) {
      const trouble = troubleOf(error);
      setState(trouble.kind === "ended" ? { kind: "idle" } : { kind: "failed", trouble });
    } finally {
      background.end();
    }
  };
  const number = (id: string, label: string, value: string, set: (text: string) => void): VNode => (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} type="text" inputMode="numeric" value={value} onInput={({ currentTarget }) => set(currentTarget.value)} />
    </div>
  );
  return (
    <>
      <div class="intro">
        <h2>{t.benchTitle}</h2>
        <p>{t.benchAbout}</p>
      </div>
      <form class="form" onSubmit={(event) => void measure(event)}>
        <div class="field">
          <label for="what">{t.benchOf}</label>
          <select id="what" value={what} onChange={({ currentTarget }) => setWhat(currentTarget.value as What)}>
            {(["device", "kernels", "model"] as const).map((name) => (
              <option key={name} value={name}>
                {t.benchWhat[name]}
              </option>
            ))}
          </select>
        </div>
        {what === "kernels" && (
          <>
            <div class="field">
              <label for="shape">{t.shape}</label>
              <select id="shape" value={shape} onChange={({ currentTarget }) => setShape(currentTarget.value)}>
                {Object.keys(synthShapes).map((name) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            </div>
            {number("rows", t.rows, rows, setRows)}
            <div class="field">
              <label for="benchfilter">{t.filter}</label>
              <input id="benchfilter" type="text" value={filter} onInput={({ currentTarget }) => setFilter(currentTarget.value)} />
            </div>
          </>
        )}
        {what === "model" && (
          <>
            <div class="field">
              <label for="benchbackend">{t.computeOn}</label>
              <select
                id="benchbackend"
                value={backend}
                onChange={({ currentTarget }) => setBackend(currentTarget.value as "webgpu" | "cpu")}
              >
                <option value="webgpu">{t.backends.webgpu}</option>
                <option value="cpu">{t.backends.cpu}</option>
              </select>
            </div>
            {number("prompt", t.promptTokens, prompt, setPrompt)}
            {number("new", t.newTokens, newTokens, setNewTokens)}
          </>
        )}
        <div class="actions">
          {state.kind === "running" ? (
            <button key="stop" type="button" class="main" onClick={() => engine.end()}>
              {t.stop}
            </button>
          ) : (
            <button key="go" type="submit" class="main">
              {t.measure}
            </button>
          )}
        </div>
      </form>
      {state.kind === "running" && (
        <Progress label={t.measuring} {...(state.news ? { done: state.news.done, total: state.news.total } : {})} />
      )}
      <div aria-live="polite">
        {state.kind === "failed" && (
          <Notice kind="bad">
            <p>{sentenceOf(state.trouble, t)}</p>
          </Notice>
        )}
        {state.kind === "done" && <Results results={state.results} hiddenMs={state.hiddenMs} />}
      </div>
    </>
  );
}
