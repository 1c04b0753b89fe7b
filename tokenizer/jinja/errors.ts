/** What goes wrong inside a template. The line is added where it is known. */
import { GureumError } from "../../core/errors.ts";

/** @throws GureumError "template": Python or Jinja refuse it too. */
export function fail(what: string): never {
  throw new GureumError("template", { what });
}

/** @throws GureumError "template": more than a rendering may take, whoever wrote it. */
export function exceed(what: string): never {
  throw new GureumError("template", { what, remedy: "give fewer or shorter messages, or another template" });
}

/** @throws GureumError "template": jinja2 has it, this layer has not. */
export function refuse(what: string): never {
  throw new GureumError("template", { what: `${what} is not supported` });
}
