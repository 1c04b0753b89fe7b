/**
 * Inputs made from seeds: by bytes, by words of a dictionary, and by nodes of a JSON tree, so that most of them get past the
 * first check of a parser. One number decides an input whole: (seed, round) makes it again.
 */
import { uniform } from "../../arbitraries.ts";

export type Next = () => number;

/** How the bytes of a target are built. */
export type Shape = "bytes" | "text" | "json" | "safetensors";

export interface Grammar {
  readonly shape: Shape;
  readonly seeds: readonly Uint8Array[];
  /** What the format is made of: keywords, keys, operators. */
  readonly words: readonly string[];
}

/** Share of inputs that are grown to tens of kilobytes. */
const GROWN = 0.2;

const whole = (next: Next, n: number): number => Math.floor(next() * n);
const pick = <T>(next: Next, list: readonly T[]): T => list[whole(next, list.length)]!;

/** Numbers on which sizes, offsets and counts break. */
const numbers: readonly unknown[] = [
  0,
  -0,
  -1,
  1,
  0.5,
  255,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e21,
  1e308,
  16_777_215,
];
const values: readonly unknown[] = [
  ...numbers,
  null,
  true,
  false,
  "",
  "0",
  "\u0000",
  "\ud800",
  "가",
  "__proto__",
  "constructor",
  [],
  {},
  [[]],
  [0],
  { a: 0 },
];

const clone = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)));

/** Every place of a tree: its holder and the key there. */
function places(value: unknown): [Record<string, unknown>, string][] {
  const found: [Record<string, unknown>, string][] = [];
  const visit = (node: unknown): void => {
    if (node === null || typeof node !== "object") return;
    for (const key of Object.keys(node)) {
      found.push([node as Record<string, unknown>, key]);
      if (found.length < 4000) visit((node as Record<string, unknown>)[key]);
    }
  };
  visit(value);
  return found;
}

function changedTree(next: Next, tree: unknown, other: unknown, words: readonly string[]): unknown {
  const root = { root: clone(tree) };
  for (let n = 1 + whole(next, 4); n > 0; n--) {
    const [holder, key] = pick(next, places(root));
    const node = holder[key];
    const how = whole(next, 9);
    if (how === 0 && key !== "root") delete holder[key];
    else if (how === 1) holder[key] = clone(pick(next, values));
    else if (how === 2) holder[key] = pick(next, words);
    else if (how === 3 && typeof node === "number") holder[key] = node + pick(next, [-1, 1, 0.5, 2 ** 16, 2 ** 32]);
    else if (how === 4 && typeof node === "string") holder[key] = node.repeat(1 + whole(next, 40)).slice(0, 4000);
    else if (how === 5) {
      const [from, name] = pick(next, places({ other }));
      holder[key] = clone(from[name]);
    } else if (how === 6 && Array.isArray(node)) node.push(...(clone(node) as unknown[]).slice(0, 50));
    else if (how === 7) {
      let nested: unknown = node;
      for (let depth = whole(next, 200); depth > 0; depth--) nested = next() < 0.5 ? [nested] : { [pick(next, words)]: nested };
      holder[key] = nested;
    } else if (node !== null && typeof node === "object" && !Array.isArray(node))
      (node as Record<string, unknown>)[pick(next, words)] = clone(pick(next, values));
    else holder[key] = clone(pick(next, numbers));
  }
  return root.root;
}

/** A node of the tree many times over, so that the text has some tens of kilobytes: what grows faster than a file shows there. */
function grownTree(next: Next, tree: unknown): unknown {
  const root = { root: tree };
  const target = 4096 << whole(next, 5);
  const copies = (value: unknown): number => Math.min(20_000, Math.ceil(target / (1 + JSON.stringify(value).length)));
  const [holder, key] = pick(next, places(root));
  const node = holder[key];
  if (typeof node === "string") holder[key] = (node || "a").repeat(Math.ceil(target / (node.length || 1)));
  else if (Array.isArray(node) && node.length > 0) {
    const [one, at] = [pick(next, node as unknown[]) ?? null, whole(next, node.length)];
    node.splice(at, 0, ...Array<unknown>(copies(one)).fill(one));
  } else if (node !== null && typeof node === "object" && Object.keys(node).length > 0) {
    const [name, one] = pick(next, Object.entries(node));
    for (let n = copies({ [`${name}0000`]: one }); n > 0; n--) (node as Record<string, unknown>)[name + n] = one;
  } else holder[key] = Array<unknown>(copies(node ?? null)).fill(node ?? null);
  return root.root;
}

const join = (parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

const encoder = new TextEncoder();

function changedBytes(next: Next, seed: Uint8Array, other: Uint8Array, words: readonly string[]): Uint8Array {
  let bytes: Uint8Array = seed.slice();
  for (let n = 1 + whole(next, 6); n > 0; n--) {
    const at = whole(next, bytes.length + 1);
    const length = 1 + whole(next, Math.min(64, bytes.length + 1));
    const how = whole(next, 7);
    if (how === 0 && bytes.length > 0) bytes[at % bytes.length]! ^= 1 << whole(next, 8);
    else if (how === 1 && bytes.length > 0) bytes[at % bytes.length] = pick(next, [0, 1, 0x7f, 0x80, 0xff, whole(next, 256)]);
    else if (how === 2) bytes = join([bytes.subarray(0, at), bytes.subarray(at + length)]);
    else if (how === 3) bytes = join([bytes.subarray(0, at), encoder.encode(pick(next, words)), bytes.subarray(at)]);
    else if (how === 4) {
      const from = whole(next, other.length + 1);
      bytes = join([bytes.subarray(0, at), other.subarray(from, from + length), bytes.subarray(at)]);
    } else if (how === 5) {
      const part = bytes.subarray(at, at + length);
      bytes = join([bytes.subarray(0, at), ...Array<Uint8Array>(1 + whole(next, 60)).fill(part), bytes.subarray(at)]);
    } else bytes = join([bytes.subarray(0, at), Uint8Array.from({ length: 8 }, () => whole(next, 256)), bytes.subarray(at + 8)]);
  }
  if (next() < GROWN && bytes.length > 0) {
    const at = whole(next, bytes.length);
    const part = bytes.subarray(at, at + 1 + whole(next, 300));
    const times = Math.floor((4096 << whole(next, 5)) / part.length);
    bytes = join([bytes.subarray(0, at), ...Array<Uint8Array>(times).fill(part), bytes.subarray(at)]);
  }
  return bytes.subarray(0, 1 << 16);
}

const parsed = new Map<Uint8Array, unknown>();
/** A seed as a tree; undefined where it is no JSON. */
function treeOf(seed: Uint8Array): unknown {
  if (!parsed.has(seed)) {
    let tree: unknown;
    try {
      tree = JSON.parse(new TextDecoder().decode(seed));
    } catch {
      tree = undefined;
    }
    parsed.set(seed, tree);
  }
  return parsed.get(seed);
}

/** A header as safetensors wants it: its length before it. */
function withLength(next: Next, header: Uint8Array): Uint8Array {
  const out = new Uint8Array(8 + header.length + whole(next, 40));
  const lie = next() < 0.1 ? pick(next, [-1, 1, 2 ** 20, -header.length]) : 0;
  new DataView(out.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(header.length + lie)), true);
  out.set(header, 8);
  return out;
}

/** The input of one round. */
export function makeInput({ shape, seeds, words }: Grammar, seed: number, round: number): Uint8Array {
  const next = uniform((Math.imul(seed, 0x9e3779b1) ^ Math.imul(round + 1, 0x85ebca6b)) | 0);
  const [one, other] = [pick(next, seeds), pick(next, seeds)];
  if (shape === "bytes" || shape === "text" || next() < 0.25) {
    const bytes = changedBytes(next, one, other, words);
    return shape === "safetensors" ? withLength(next, bytes) : bytes;
  }
  const changed = changedTree(next, treeOf(one), treeOf(other), words);
  const tree = next() < GROWN ? grownTree(next, changed) : changed;
  const text = encoder.encode(JSON.stringify(tree) ?? "null");
  return shape === "safetensors" ? withLength(next, text) : text;
}
