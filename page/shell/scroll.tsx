/** A table that may be larger than the page: scrolled by itself, also by keys. */
import type { ComponentChildren, VNode } from "preact";

export const Scroll = ({ label, children }: { readonly label: string; readonly children: ComponentChildren }): VNode => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
  <section class="wide-table" aria-label={label} tabIndex={0}>
    {children}
  </section>
);
