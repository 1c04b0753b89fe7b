/** A sentence that the person should not miss, with what to do about it. */
import type { ComponentChildren, VNode } from "preact";

export const Notice = ({ kind, children }: { readonly kind: "info" | "bad" | "good"; readonly children: ComponentChildren }): VNode => (
  <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
    {children}
  </div>
);

/** How far something is; without `total` it only says that it goes on. */
export const Progress = ({ label, done, total }: { readonly label: string; readonly done?: number; readonly total?: number }): VNode => (
  <div class="progress">
    <span>{label}</span>
    {total ? <progress aria-label={label} value={done ?? 0} max={total} /> : <progress aria-label={label} />}
  </div>
);
