/** A BPE model of characters without merges, for tokenizer.json files of a test. */

/** One id a character, so that ids spell out what the pipeline made of a text. */
export const characters: readonly string[] = ["<unk>", ..."▁ _abcABC[]<>/stkx.,가é", "\u0301", "\t", "\n"];
export const vocab: Readonly<Record<string, number>> = Object.fromEntries(characters.map((piece, id) => [piece, id]));
/** The first id behind the vocabulary. */
export const next: number = characters.length;
export const bpe: Readonly<Record<string, unknown>> = { type: "BPE", unk_token: "<unk>", vocab, merges: [] };
