/** Words that are not a command's own: help, version, texts from files and pipes, readers that go away, completion. About 25 s of CPU. */
import { execFile } from "node:child_process";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { optionsOf, partsOf } from "../../../cli/completion.ts";
import type { Command } from "../../../cli/words.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { VERSION } from "../../../core/version.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { textOf } from "../house/tree.ts";
import { expectFailure, gureum } from "./gureum.ts";

const work = freshFolder("words");
beforeAll(async () => {
  await writeFile(join(work, "text.txt"), "구름이\n좋다\n");
});

const names = [...textOf("cli.ts").matchAll(/name: "([a-z]+)"/g)].map(([, name]) => name!).filter((name) => name !== "completion");

/** A command by its name, and the object itself. */
async function commandOf(name: string): Promise<Command> {
  const module = (await import(new URL(`../../../dist/cli/${name}.js`, import.meta.url).href)) as Record<string, Command>;
  return module[name]!;
}

describe("gureum", () => {
  it("says its version and its help, whichever way it is asked", async () => {
    expect(await gureum(["--version"])).toEqual({ code: 0, out: `${VERSION}\n`, err: "" });
    const { out } = await gureum(["--help"]);
    for (const name of [...names, "completion"]) expect(out).toMatch(new RegExp(`^  ${name} +\\S`, "m"));
    expect((await gureum(["-h"])).out).toBe(out);
    const chat = (await gureum(["chat", "--help"])).out;
    expect(chat).toMatch(/^usage: gureum chat/);
    expect((await gureum(["chat", "-h"])).out).toBe(chat);
    expect((await gureum(["help", "chat"])).out).toBe(chat);
  });
});

describe("a text", () => {
  const text = "구름이\n좋다";
  const from = { word: [text], file: (): string[] => ["--file", join(work, "text.txt")] };
  const fast = ["--backend", "cpu", "--max-new-tokens", "3"];

  it.each([
    ["tokenize", [], [text]],
    ["generate", fast, [text]],
    ["chat", fast, [text]],
    ["logits", ["--backend", "cpu", "--top", "2"], ["--text", text]],
  ] as const)("of %s may be a word, a file or what is piped in, and is the same", async (name, more, word) => {
    const said = await gureum([name, ...word, ...more]);
    expect(said.code, said.err).toBe(0);
    expect((await gureum([name, ...from.file(), ...more])).out).toBe(said.out);
    expect((await gureum([name, "--file", "-", ...more], `${text}\r\n`)).out).toBe(said.out);
    // What is piped into chat is a conversation, a message a line.
    if (name !== "chat") expect((await gureum([name, ...more], `${text}\n`)).out).toBe(said.out);
  });

  it("loses one line end at its end and no more, and the mark before UTF-8", async () => {
    const ids = async (input: string): Promise<string> => (await gureum(["tokenize"], input)).out;
    const word = async (s: string): Promise<string> => (await gureum(["tokenize", s])).out;
    expect(await ids("a\n\n")).toBe(await word("a\n"));
    expect(await ids("\ufeffa")).toBe(await word("a"));
  });

  it.each([
    [["generate"], /the text to continue is missing/],
    [["logits"], /give --ids, --text or --file/],
    [["tokenize"], /give TEXT, or --file, or --ids/],
    [["diff"], /give --text, --file or --ids/],
    [["generate", "a", "--file", "x"], /--file is the text/],
    [["logits", "--ids", "1", "--file", "x"], /--file is the text/],
    [["chat", "a", "--file", "x"], /--file is the text/],
  ])("that is missing, or there twice, is wrong usage: %j", async (args, about) => {
    expectFailure(await gureum(args), 2, about);
  });

  it("that cannot be read is named", async () => {
    expectFailure(await gureum(["tokenize", "--file", join(work, "none")]), 1, /none: no such file/);
    expectFailure(await gureum(["tokenize", "--file", work]), 1, /is a folder/);
    await writeFile(join(work, "latin1"), Buffer.from([0x61, 0xe9, 0x62]));
    expectFailure(await gureum(["tokenize", "--file", join(work, "latin1")]), 1, /latin1: not UTF-8 text/);
  });

  it("that is piped in line by line is no less text, and a bad line is named by its number", async () => {
    const latin1 = '(printf \'"a"\\n"a\\xe9b"\\n\') | node "$0" "$@"';
    const lines = await gureum(["tokenize", "--jsonl"], "", latin1);
    expect([lines.code, lines.err]).toEqual([1, "gureum: stdin line 2: not UTF-8 text — save or convert it as UTF-8\n"]);
    const talk = await gureum(["chat", "--backend", "cpu", "--max-new-tokens", "2"], "", latin1);
    expect(talk.code).toBe(1);
    expect(talk.err).toMatch(/gureum: stdin line 2: not UTF-8 text/);
    const id = await gureum(["tokenize", "--jsonl", "--decode"], "[1]\n[1.5]\n");
    expect([id.code, id.err]).toEqual([1, "gureum: stdin line 2 > tokenizer: not a token id, expected a whole number from 0, got 1.5\n"]);
  });

  it("of ids that are no tokens is told of: they decode to nothing", async () => {
    const { code, out, err } = await gureum(["tokenize", "--ids", "387 99999, 99999"]);
    expect([code, err]).toEqual([0, "note: no tokens of this tokenizer, and decoded to nothing: 99999\n"]);
    expect(out).toBe((await gureum(["tokenize", "--ids", "387"])).out);
  });

  it("of which a message gets no answer is exit 1, once the others are answered", async () => {
    const { code, out, err } = await gureum(["chat", "--backend", "cpu", "--max-new-tokens", "2"], "hi\n/none\nhi\n");
    expect([code, out.trimEnd().split("\n").length]).toEqual([1, 2]);
    expect(err).toMatch(/no command \/none/);
  });
});

describe("a reader that goes away", () => {
  const model = embeddedModelPath();
  it.each([
    [["--help"]],
    [["chat", "안녕", "--backend", "cpu"]],
    [["generate", "구름", "--backend", "cpu"]],
    [["tokenize", "구름"]],
    [["inspect", model]],
    [["logits", "--ids", "1,2", "--backend", "cpu"]],
    [["conformance", "--backend", "cpu", "--filter", "add cpu", "--runs", "3"]],
    [["bench", "--help"]],
    [["completion", "zsh"]],
  ])("ends the command quietly: %j", async (args) => {
    const { code, err } = await gureum(args, "", 'set -o pipefail; node "$0" "$@" | true');
    expect(err).not.toMatch(/gureum:|Error|EPIPE| at /);
    expect(code).toBe(141);
  });

  it("ends a conversation and a stream of lines, too", async () => {
    const shell = 'set -o pipefail; node "$0" "$@" | head -1';
    const talk = await gureum(["chat", "--backend", "cpu", "--max-new-tokens", "4"], "안녕\n안녕\n안녕\n안녕\n", shell);
    expect(talk.err).not.toMatch(/gureum:|Error|EPIPE/);
    const lines = await gureum(["tokenize", "--jsonl"], '"a"\n'.repeat(200_000), shell);
    expect([lines.code, lines.out, lines.err]).toEqual([141, "[387]\n".replace("387", lines.out.replace(/\D/g, "")), ""]);
  });

  it("of what is told on stderr does not end the answer", async () => {
    const { code, out } = await gureum(
      ["generate", "구름", "--backend", "cpu", "--max-new-tokens", "2"],
      "",
      '(node "$0" "$@"; echo "code $?") 2> >(true)',
    );
    expect(code).toBe(0);
    expect(out).toMatch(/code 0\n$/);
  });
});

describe("the options in a command's help", () => {
  it.each(names.filter((name) => name !== "bench" && name !== "conformance"))("are the options that it takes: %s", async (name) => {
    const command = await commandOf(name);
    for (const { name: option, value } of optionsOf(command.help)) {
      const words = value === null ? [option] : [option, "1"];
      // Before anything else a command reads its words; the first that it does not know is named.
      await expect(command.run([...words, "--no-such-option"]), `${name} ${option}`).rejects.toThrow(/--no-such-option/);
    }
  });

  it("are all that the commands take", async () => {
    const folder = fileURLToPath(new URL("../../../cli/", import.meta.url));
    const helps = (await Promise.all(names.map(commandOf))).map(({ help }) => help).join("\n");
    const known = new Set(optionsOf(helps).map(({ name }) => name));
    const files = (await readdir(folder)).filter((file) => file.endsWith(".ts"));
    const taken = (await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")))).flatMap((source) =>
      [...source.matchAll(/["']?([a-z-]+)["']?: \{ type: "(?:string|boolean)"/g)].map(([, name]) => `--${name}`),
    );
    expect(taken.length).toBeGreaterThan(40);
    expect([...new Set(taken)].filter((name) => !known.has(name))).toEqual([]);
  });
});

describe("completion", () => {
  it("of bash offers commands, parts, options and values, and files where it offers nothing", async () => {
    const script = join(work, "gureum.bash");
    await writeFile(script, (await gureum(["completion", "bash"])).out);
    const offers = async (...words: string[]): Promise<string[]> => {
      const program = `source ${script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gureum; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return (await promisify(execFile)("bash", ["-c", program, "bash", ...words])).stdout.split("\n").filter(Boolean);
    };
    expect(await offers("gureum", "ge")).toEqual(["generate"]);
    expect(await offers("gureum", "bench", "")).toEqual(["device", "kernels", "model", "peers", "compare"]);
    expect(await offers("gureum", "chat", "--max")).toEqual(["--max-new-tokens"]);
    expect(await offers("gureum", "chat", "--backend", "")).toEqual(["auto", "cpu", "webgpu"]);
    expect(await offers("gureum", "chat", "--backend", "w")).toEqual(["webgpu"]);
    for (const words of [
      ["chat", "--file", ""],
      ["chat", "--model", "m"],
      ["inspect", "m"],
    ])
      expect(await offers("gureum", ...words)).toEqual([]);
  });

  it.each(["zsh", "fish"])("of %s names every command and option, and is right for the shell where there is one", async (shell) => {
    const { code, out } = await gureum(["completion", shell]);
    expect(code).toBe(0);
    for (const name of names) {
      expect(out).toContain(name);
      for (const { name: option } of optionsOf((await commandOf(name)).help)) expect(out).toContain(option.slice(2));
    }
    const script = join(work, `gureum.${shell}`);
    await writeFile(script, out);
    const found = await promisify(execFile)(shell, ["-n", script]).then(
      ({ stderr }) => stderr,
      (error: { code?: unknown; stderr?: string }) => (error.code === "ENOENT" ? "" : error.stderr),
    );
    expect(found).toBe("");
  });

  it("reads what help says: options, values, parts", () => {
    const help =
      "usage: gureum x one [options]\n       gureum x two\n\n  --a FILE  what a is\n  --b c|d --e   both\nthree\n  --f N,N,…        x";
    expect(optionsOf(help)).toEqual([
      { name: "--a", what: "what a is", value: "FILE" },
      { name: "--b", what: "both", value: "c|d" },
      { name: "--e", what: "both", value: null },
      { name: "--f", what: "x", value: "N,N,…" },
    ]);
    expect(partsOf("x", help)).toEqual(["one", "two"]);
  });

  it("knows no other shell", async () => {
    expectFailure(await gureum(["completion", "tcsh"]), 2, /bash, zsh, fish, got "tcsh"/);
  });
});
