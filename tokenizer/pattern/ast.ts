/**
 * A regular expression as a tree. Every leaf that consumes takes one code point; there are no captures, since nothing asks for them.
 */
import type { CharSet } from "./char-set.ts";

/** A place in a text that consumes nothing. */
export type Anchor = "textStart" | "textEnd" | "textEndOrNewline" | "lineStart" | "lineEnd" | "word" | "notWord";

export type Node =
  | { readonly type: "set"; readonly set: CharSet }
  | { readonly type: "sequence"; readonly nodes: readonly Node[] }
  | { readonly type: "choice"; readonly nodes: readonly Node[] }
  /** `kind` "possessive": what was taken is not given back. */
  | {
      readonly type: "repeat";
      readonly node: Node;
      readonly min: number;
      readonly max: number;
      readonly kind: "greedy" | "lazy" | "possessive";
    }
  | { readonly type: "atomic"; readonly node: Node }
  | { readonly type: "look"; readonly node: Node; readonly ahead: boolean; readonly negate: boolean }
  | { readonly type: "anchor"; readonly anchor: Anchor };

/** Code points a node consumes: [fewest, most]. */
export function widthOf(node: Node): readonly [number, number] {
  switch (node.type) {
    case "set":
      return [1, 1];
    case "sequence": {
      let [least, most] = [0, 0];
      for (const [low, high] of node.nodes.map(widthOf)) {
        least += low;
        most += high;
      }
      return [least, most];
    }
    case "choice": {
      const widths = node.nodes.map(widthOf);
      return widths.reduce(([least, most], [low, high]) => [Math.min(least, low), Math.max(most, high)]);
    }
    case "repeat": {
      const [least, most] = widthOf(node.node);
      return [least * node.min, most === 0 || node.max === 0 ? 0 : most * node.max];
    }
    case "atomic":
      return widthOf(node.node);
    case "look":
    case "anchor":
      return [0, 0];
  }
}
