/** The line that a failure prints, and the case it stands for. */
import { GureumError } from "../../core/errors.ts";
import { quoteWords } from "../../core/text.ts";
import type { AnyKit, AnySubject } from "../kit.ts";
import { lawNames, lawOn, Measured, subjectName } from "./case.ts";
import type { Failure } from "./row.ts";

/** What a failure says whose case was not tested. */
export const REFUSED = "not tested: the subject does not take this case";

/** The command that runs the case of a failure alone, quoted for a POSIX shell; `words` go before the line. */
export const replayCommand = ({ replay }: Failure, words: readonly string[] = []): string =>
  quoteWords(["gureum", "conformance", ...words, "--replay", replay]);

const badLine = (got: string): GureumError =>
  new GureumError("usage", {
    where: "--replay",
    what: "line",
    expected: 'one that a failure printed: ["op","backend/variant","law",{…}]',
    got,
  });

/** The parts of a replay line. @throws GureumError "usage" */
export function parseReplay(line: string): [op: string, subject: string, law: string, spec: unknown] {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    throw badLine(line.slice(0, 80));
  }
  const isLine = Array.isArray(parts) && parts.length === 4 && parts.slice(0, 3).every((part) => typeof part === "string");
  if (!isLine || (parts as unknown[])[3] === null || typeof (parts as unknown[])[3] !== "object") throw badLine(line.slice(0, 80));
  return parts as [string, string, string, unknown];
}

/**
 * Runs the case of a replay line alone.
 * @throws GureumError "usage" for any other line, or one that names what is not there
 */
export async function replay(
  line: string,
  kits: Readonly<Record<string, AnyKit>>,
  subjects: readonly AnySubject[],
): Promise<Failure | null> {
  const [op, name, law, spec] = parseReplay(line);
  const kit = Object.hasOwn(kits, op) ? kits[op] : undefined;
  const subject = subjects.find((s) => s.op === op && subjectName(s) === name);
  if (!kit || !subject) throw badLine(`${op} on ${name}, which is not here`);
  if (!lawNames(kit, subject).includes(law)) throw badLine(`law ${JSON.stringify(law)}, which ${op} does not have`);
  try {
    kit.length(kit.make(spec));
  } catch (cause) {
    throw badLine(`a case that ${op} does not have (${cause instanceof Error ? cause.message : cause})`);
  }
  const m = new Measured();
  const message = await lawOn(kit, subject, law, spec, m, false);
  if (m.refused > 0) return { law, message: REFUSED, replay: line };
  return message === null ? null : { law, message, replay: line };
}
