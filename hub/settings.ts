/**
 * Where the hub is, where its files lie on this disk, and with whose right they are asked for: the environment variables of Python's
 * huggingface_hub, so that both find the same folder and the same token. Source: huggingface_hub `constants.py`, `utils/_auth.py`.
 */

import { homedir } from "node:os";
import { join } from "node:path";
import { GureumError } from "../core/errors.ts";
import { readTextFile } from "../core/host/node.ts";
import { type Patience, usualPatience } from "../core/host/web-ask.ts";
import { withoutEnd } from "../core/text.ts";

/** Variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Settings {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  /** The folder that holds models--org--name. */
  readonly cache: string;
  readonly offline: boolean;
  readonly token: string | null;
  readonly patience: Patience;
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

/** "~" and "$NAME" as a shell reads them. */
function expand(path: string, env: Environment): string {
  const home = path.replace(/^~(?=\/|\\|$)/, () => env.HOME || homedir());
  return home.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => env[(braced ?? bare)!] ?? whole);
}

/** @throws GureumError "io" for a token file that is there and cannot be read, "usage" for what no server takes as a token. */
async function readToken(env: Environment, home: string): Promise<string | null> {
  const clean = (text: string | undefined, where: string): string | null => {
    const token = text?.replace(/[\r\n]/g, "").trim() || null;
    if (token !== null && !/^[\x21-\x7e]+$/.test(token))
      throw new GureumError("usage", { where, what: "holds characters that no token has", remedy: "set it anew" });
    return token;
  };
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return null;
  const given = clean(env.HF_TOKEN, "HF_TOKEN") ?? clean(env.HUGGING_FACE_HUB_TOKEN, "HUGGING_FACE_HUB_TOKEN");
  if (given) return given;
  const path = expand(env.HF_TOKEN_PATH || join(home, "token"), env);
  return clean((await readTextFile(path)) ?? undefined, path);
}

/** @throws GureumError "usage" */
function endpointOf(env: Environment): string {
  const text = withoutEnd(env.HF_ENDPOINT || "https://huggingface.co", "/");
  if (/^https?:\/\/[^/]/.test(text) && URL.canParse(text)) return text;
  throw new GureumError("usage", { where: "HF_ENDPOINT", what: "not an address", expected: "https://…", got: JSON.stringify(text) });
}

/** @throws GureumError "io", "usage" */
export async function settingsOf(env: Environment, patience: Partial<Patience> = {}): Promise<Settings> {
  const home = expand(env.HF_HOME || join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "huggingface"), env);
  return {
    endpoint: endpointOf(env),
    cache: expand(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, "hub"), env),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    token: await readToken(env, home),
    patience: { ...usualPatience, ...patience },
  };
}
