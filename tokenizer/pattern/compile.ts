/**
 * A tree to a program for the matcher: one instruction per place where something is decided. A repetition of a set is one instruction
 * (`run`); any other repetition is its body as often as it must come, then a loop or as many more as may come.
 */
import { GureumError } from "../../core/errors.ts";
import type { Anchor, Node } from "./ast.ts";
import { widthOf } from "./ast.ts";
import type { CharSet } from "./char-set.ts";

export type Instruction =
  /** Takes one code point of the set. */
  | { readonly op: "set"; readonly set: CharSet }
  /** Goes on at `first`; where that fails, at `second`. `slot` numbers the splits. */
  | { readonly op: "split"; first: number; second: number; readonly slot: number }
  | { readonly op: "jump"; to: number }
  /** Takes `min` to `max` of the set, as many as there are, and gives them back one by one unless `possessive`. */
  | {
      readonly op: "run";
      readonly set: CharSet;
      readonly min: number;
      readonly max: number;
      readonly possessive: boolean;
      readonly slot: number;
    }
  | { readonly op: "anchor"; readonly anchor: Anchor }
  /** Runs the instructions after it up to their `accept` by themselves, keeps what they take, and goes on at `next`. */
  | { readonly op: "atomic"; next: number }
  /** Whether one of `bodies` (where they start, how far back; -1: ahead) matches, or none where `negate`; goes on at `next`. */
  | { readonly op: "look"; readonly negate: boolean; readonly bodies: { readonly start: number; readonly back: number }[]; next: number }
  | { readonly op: "accept" };

export interface Program {
  readonly code: readonly Instruction[];
  readonly splits: number;
  readonly runs: number;
}

const maxInstructions = 5_000;

/** @throws GureumError "unsupported" for an expression that unfolds to more than 5,000 instructions. */
export function compileNode(root: Node): Program {
  const code: Instruction[] = [];
  let splits = 0;
  let runs = 0;
  const emit = <T extends Instruction>(instruction: T): T => {
    if (code.length >= maxInstructions)
      throw new GureumError("unsupported", { what: "a regular expression is too large", expected: `at most ${maxInstructions} steps` });
    code.push(instruction);
    return instruction;
  };
  const split = (): { first: number; second: number } =>
    emit({ op: "split", first: code.length + 1, second: code.length + 1, slot: splits++ });

  const compile = (node: Node): void => {
    switch (node.type) {
      case "set":
        emit({ op: "set", set: node.set });
        return;
      case "sequence":
        for (const one of node.nodes) compile(one);
        return;
      case "choice": {
        const ends: { to: number }[] = [];
        for (const [i, one] of node.nodes.entries()) {
          const last = i === node.nodes.length - 1;
          const branch = last ? null : split();
          compile(one);
          if (!last) ends.push(emit({ op: "jump", to: 0 }));
          if (branch) branch.second = code.length;
        }
        for (const end of ends) end.to = code.length;
        return;
      }
      case "repeat":
        compileRepeat(node);
        return;
      case "atomic": {
        const atomic = emit({ op: "atomic", next: 0 });
        compile(node.node);
        emit({ op: "accept" });
        atomic.next = code.length;
        return;
      }
      case "look": {
        const look = emit({ op: "look", negate: node.negate, bodies: [] as { start: number; back: number }[], next: 0 });
        for (const one of !node.ahead && node.node.type === "choice" ? node.node.nodes : [node.node]) {
          look.bodies.push({ start: code.length, back: node.ahead ? -1 : widthOf(one)[0] });
          compile(one);
          emit({ op: "accept" });
        }
        look.next = code.length;
        return;
      }
      case "anchor":
        emit({ op: "anchor", anchor: node.anchor });
    }
  };

  const compileRepeat = (node: Extract<Node, { type: "repeat" }>): void => {
    const { node: body, min, max, kind } = node;
    if (body.type === "set" && kind !== "lazy") {
      emit({ op: "run", set: body.set, min, max, possessive: kind === "possessive", slot: runs++ });
      return;
    }
    if (kind === "possessive") {
      compile({ type: "atomic", node: { ...node, kind: "greedy" } });
      return;
    }
    for (let i = 0; i < min; i++) compile(body);
    const leave = (branch: { first: number; second: number }, to: number): void => {
      if (kind === "greedy") branch.second = to;
      else [branch.first, branch.second] = [to, branch.first];
    };
    if (max === Number.POSITIVE_INFINITY) {
      const start = code.length;
      const branch = split();
      compile(body);
      emit({ op: "jump", to: start });
      leave(branch, code.length);
      return;
    }
    const branches: { first: number; second: number }[] = [];
    for (let i = min; i < max; i++) {
      branches.push(split());
      compile(body);
    }
    for (const branch of branches) leave(branch, code.length);
  };

  compile(root);
  emit({ op: "accept" });
  return { code, splits, runs };
}
