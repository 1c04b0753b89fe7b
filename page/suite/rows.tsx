/** The rows of a run as a table, and what was violated with the line that replays it. */

import type { VNode } from "preact";
import { useState } from "preact/hooks";
import type { Failure, Row } from "../../conformance/check/row.ts";
import { Notice } from "../shell/notice.tsx";
import { short } from "../shell/numbers.ts";
import { Scroll } from "../shell/scroll.tsx";
import { words } from "../shell/words.ts";
import { keyOf } from "./others.ts";

function verdictOf({ failures, cases, leftOut }: Row): { readonly text: string; readonly kind: string } {
  const { verdict } = words.value;
  if (failures.length > 0) return { text: verdict.violated, kind: "violated" };
  if (cases === 0) return { text: verdict.notRun, kind: "about" };
  return { text: leftOut ? verdict.part : verdict.holds, kind: "holds" };
}

export function Rows({ rows, there }: { readonly rows: readonly Row[]; readonly there: readonly Row[] | null }): VNode {
  const { table } = words.value;
  return (
    <Scroll label={words.value.suiteTitle}>
      <table>
        <thead>
          <tr>
            <th scope="col">{table.op}</th>
            <th scope="col">{table.variant}</th>
            <th scope="col">{table.verdict}</th>
            <th scope="col" class="number">
              {table.headroom}
            </th>
            {there && (
              <th scope="col" class="number">
                {table.there}
              </th>
            )}
            <th scope="col" class="number">
              {table.worst}
            </th>
            <th scope="col" class="number">
              {table.bound}
            </th>
            <th scope="col" class="number">
              {table.cases}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => {
            const verdict = verdictOf(row);
            return (
              <tr key={keyOf(row)}>
                <th scope="row">{row.op}</th>
                <td>{`${row.backend}/${row.variant}`}</td>
                <td class={verdict.kind}>{verdict.text}</td>
                <td class="number">{short(row.worst?.headroom)}</td>
                {there && <td class="number">{short(there.find((one) => keyOf(one) === keyOf(row))?.worst?.headroom)}</td>}
                <td class="number">{short(row.worst?.error)}</td>
                <td class="number">{short(row.worst?.bound)}</td>
                <td class="number">{row.cases.toLocaleString()}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

function Line({ failure }: { readonly failure: Failure }): VNode {
  const t = words.value;
  const [copied, setCopied] = useState(false);
  return (
    <>
      <pre class="replay-line">{failure.replay}</pre>
      <button type="button" onClick={() => void navigator.clipboard.writeText(failure.replay).then(() => setCopied(true))}>
        {copied ? t.copied : t.copy}
      </button>
    </>
  );
}

export function Violations({ rows }: { readonly rows: readonly Row[] }): VNode {
  return (
    <>
      {rows.flatMap((row) =>
        row.failures.map((failure) => (
          <Notice key={failure.replay} kind="bad">
            <h3>{keyOf(row)}</h3>
            <p>{`${failure.law}: ${failure.message}`}</p>
            <Line failure={failure} />
          </Notice>
        )),
      )}
    </>
  );
}
