/** `gureum tokenize`: text to ids and back. */
import { GureumError, within } from "../core/errors.ts";
import { openTokenizer } from "../index.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { modelPlace } from "./place.ts";
import { inputLines, note, parseJson, printJson, printLine } from "./terminal.ts";
import { textFromWords, textHelp, textOptions } from "./text.ts";
import { type Command, parseIds, parseWords, refuseIdle, usage } from "./words.ts";

export const tokenize: Command = {
  help: `usage: gureum tokenize TEXT | --file FILE [options]
       gureum tokenize --ids 1,2,3 [options]
       gureum tokenize --jsonl [--decode] [options]   a JSON value a line from stdin

  --model DIR|FILE|NAME       model folder, tokenizer.model, tokenizer.json, or a name on the hub, org/name[@revision]
                              (default: the small model that comes with gureum)
${textHelp}
  --as text|rendered          text: a literal "<s>" is three characters; rendered: it is the special token, as in a
                              rendered chat template (default: text)
  --special-tokens            the same as --as rendered
  --jsonl                     read a JSON string a line, write an array of ids a line
  --decode                    with --jsonl: read arrays of ids, write strings
  --json                      print one JSON object: ids, pieces, text`,
  async run(args) {
    const words = parseWords(
      "tokenize",
      args,
      {
        ...textOptions,
        model: { type: "string" },
        ids: { type: "string" },
        as: { type: "string" },
        "special-tokens": { type: "boolean" },
        jsonl: { type: "boolean" },
        decode: { type: "boolean" },
        json: { type: "boolean" },
      },
      1,
    );
    if (!words.flag("jsonl")) refuseIdle("tokenize", words, ["decode"], "goes with --jsonl");
    const reads = words.text("ids") !== undefined || words.flag("decode");
    if (reads) refuseIdle("tokenize", words, ["as", "special-tokens"], "reads a text: not with ids");
    if (words.has("as")) refuseIdle("tokenize", words, ["special-tokens"], "is --as rendered: give one of them");
    const as = words.text("as") ?? (words.flag("special-tokens") ? "rendered" : "text");
    if (as !== "text" && as !== "rendered") throw usage("tokenize", `--as is text or rendered, got ${JSON.stringify(as)}`);
    const idsText = words.text("ids");
    const text = await textFromWords("tokenize", words, words.positionals[0], idsText !== undefined || words.flag("jsonl"));
    const given = Number(text !== undefined) + Number(idsText !== undefined) + Number(words.flag("jsonl"));
    if (given !== 1) throw usage("tokenize", "give TEXT, or --file, or --ids, or --jsonl");
    const tokenizer = await openTokenizer(await modelPlace(words.text("model"), "text"));
    const encode = (s: string): number[] => [...tokenizer.encode(s, { specialTokens: as === "rendered" ? "recognise" : "text" })];
    if (words.flag("jsonl")) {
      await eachLine(words.flag("decode") ? decodeLine(tokenizer) : encodeLine(encode));
      return 0;
    }
    const ids = idsText !== undefined ? parseIds("tokenize", idsText) : encode(text!);
    const strange = idsText === undefined ? [] : ids.filter((id) => tokenizer.idToPiece(id) === "");
    if (strange.length > 0) note(`note: no tokens of this tokenizer, and decoded to nothing: ${[...new Set(strange)].join(", ")}`);
    const decoded = idsText !== undefined ? tokenizer.decode(ids) : text!;
    if (words.flag("json")) await printJson({ ids, pieces: ids.map((id) => tokenizer.idToPiece(id)), text: decoded });
    else await printLine(idsText !== undefined ? decoded : ids.join(","));
    return 0;
  },
};

const encodeLine =
  (encode: (s: string) => number[]) =>
  (value: unknown): unknown => {
    if (typeof value !== "string")
      throw new GureumError("format", { what: "a line", expected: "a JSON string", got: JSON.stringify(value).slice(0, 40) });
    return encode(value);
  };

const decodeLine =
  (tokenizer: Tokenizer) =>
  (value: unknown): unknown => {
    if (!Array.isArray(value) || !value.every((id) => typeof id === "number"))
      throw new GureumError("format", { what: "a line", expected: "a JSON array of ids", got: JSON.stringify(value).slice(0, 40) });
    return tokenizer.decode(value);
  };

async function eachLine(turn: (value: unknown) => unknown): Promise<void> {
  let number = 0;
  for await (const line of inputLines()) {
    number++;
    if (line === "") continue;
    const where = `stdin line ${number}`;
    const value = parseJson(where, line);
    await printJson(within(where, () => turn(value)));
  }
}
