/** Names of models on the hub: "org/name", or "org/name@revision" with a branch, a tag or a commit. */
import { GureumError } from "../core/errors.ts";

export interface ModelName {
  /** "org/name" */
  readonly id: string;
  readonly revision: string;
  /** As it was given, for messages. */
  readonly text: string;
}

const part = "[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?";
const grammar = new RegExp(`^(${part}/${part})(?:@(.*))?$`, "s");

/** What git takes as a name of a branch or tag, and nothing that leaves the folder of names. */
const isRevision = (text: string): boolean => /^[\w.+-]+(\/[\w.+-]+)*$/.test(text) && !/(^|\/)\.|\.\.|\.lock(\/|$)/.test(text);

/**
 * The name that a text is; null for a text that is none: a path.
 * @throws GureumError "usage" for a name with a revision that cannot be one.
 */
export function parseModelName(text: string): ModelName | null {
  const match = grammar.exec(text);
  if (!match) return null;
  const [, id = "", revision = "main"] = match;
  if (/--|\.\./.test(id) || id.endsWith(".git")) return null;
  if (!isRevision(revision))
    throw new GureumError("usage", {
      where: text,
      what: "not a revision",
      expected: "org/name@BRANCH, TAG or COMMIT",
      got: JSON.stringify(revision),
    });
  return { id, revision, text };
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);
