/**
 * The law kits by op, and what belongs to all of them. Which files there are, ops.ts says: it is written from the tree.
 */
import { GureumError } from "../core/errors.ts";
import type { AnyKit, AnySubject } from "./kit.ts";
import * as kits from "./ops.ts";

/** `laws["rms-norm"]` is the kit of rms-norm, with the types of its cases. */
export const laws: typeof kits = kits;

/** The kit of an op. @throws GureumError "usage" where no kit has this name */
export function kitOf(op: string): AnyKit {
  if (!Object.hasOwn(kits, op))
    throw new GureumError("usage", {
      where: "conformance",
      what: "no such op",
      got: JSON.stringify(op) ?? String(op),
      remedy: `ops are ${Object.keys(kits).join(", ")}`,
    });
  return (kits as Readonly<Record<string, AnyKit>>)[op]!;
}

/** The ops of core as subjects, each beside its laws. */
export const cpuSubjects = (): readonly AnySubject[] =>
  Object.values<AnyKit>(kits).flatMap(({ name, reference }) =>
    reference ? [{ op: name, backend: "cpu", variant: "reference", refuses: true, ...reference }] : [],
  );
