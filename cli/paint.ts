/** Colours, on a terminal that has them: never under NO_COLOR, always under FORCE_COLOR (https://no-color.org, https://force-color.org). */
import process from "node:process";

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], cyan: [36, 39] } as const;

export type Style = keyof typeof codes;

/** Whether what is written to the stream may hold colours. */
export function hasColours({ isTTY = false }: { readonly isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): boolean {
  const { FORCE_COLOR: forced, NO_COLOR: none, TERM: terminal } = env;
  if (forced !== undefined && forced !== "") return forced !== "0" && forced !== "false";
  return !none && isTTY && terminal !== "dumb";
}

/** Text for stderr in a style. */
export function paint(style: Style, text: string): string {
  const [on, off] = codes[style];
  return hasColours(process.stderr, process.env) ? `\x1b[${on}m${text}\x1b[${off}m` : text;
}
