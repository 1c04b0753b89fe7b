/**
 * Changes members of a JSON object in its text: all else stays as it was written, "1e-05" and the order of keys too,
 * which reading and writing the values anew would not keep.
 */
import { GureumError } from "../errors.ts";

interface Member {
  readonly key: string;
  /** From the key's quote to the end of the value. */
  readonly from: number;
  readonly to: number;
}

/** The end of the JSON value that begins at `at`: the text is known to be valid. */
function endOfValue(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') {
      for (i++; text[i] !== '"'; i++) if (text[i] === "\\") i++;
    } else if (c === "{" || c === "[") depth++;
    else if (c === "}" || c === "]") {
      if (depth === 0) return i;
      depth--;
      if (depth === 0) return i + 1;
    } else if (c === "," && depth === 0) return i;
  }
  return text.length;
}

function membersOf(text: string): Member[] {
  const members: Member[] = [];
  let at = text.indexOf("{") + 1;
  for (;;) {
    while (/[\s,]/.test(text[at] ?? "")) at++;
    if (text[at] !== '"') return members;
    const from = at;
    const keyEnd = endOfString(text, at);
    const colon = text.indexOf(":", keyEnd);
    let value = colon + 1;
    while (/\s/.test(text[value] ?? "")) value++;
    let to = endOfValue(text, value);
    while (/\s/.test(text[to - 1]!)) to--;
    members.push({ key: JSON.parse(text.slice(from, keyEnd)) as string, from, to });
    at = to;
  }
}

function endOfString(text: string, at: number): number {
  let i = at + 1;
  for (; text[i] !== '"'; i++) if (text[i] === "\\") i++;
  return i + 1;
}

/**
 * The object's text with members set to values (in place where they are, else at the end) or, for undefined, taken out.
 * Indentation of new values is two spaces.
 * @throws GureumError "format" where the text is no JSON object
 */
export function withMembers(text: string, changes: Readonly<Record<string, unknown>>): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GureumError("format", { what: `not JSON (${(error as Error).message})` });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new GureumError("format", { what: "not a JSON object" });
  const left = new Map(Object.entries(changes));
  const parts: string[] = [];
  const written = (key: string, member: unknown): string =>
    `${JSON.stringify(key)}: ${JSON.stringify(member, null, 2).replaceAll("\n", "\n  ")}`;
  for (const { key, from, to } of membersOf(text)) {
    if (!left.has(key)) parts.push(text.slice(from, to));
    else if (left.get(key) !== undefined) parts.push(written(key, left.get(key)));
    left.delete(key);
  }
  for (const [key, member] of left) if (member !== undefined) parts.push(written(key, member));
  return `{\n${parts.map((part) => `  ${part}`).join(",\n")}\n}`;
}
