/** What only a terminal shows: a conversation's keys, colours, bars. About 25 s of CPU. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { hasColours } from "../../../cli/paint.ts";
import { asMessage, pasteFilter } from "../../../cli/paste.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { gureum } from "./gureum.ts";
import { hasScript, type Screen, screenOf } from "./screen.ts";

const ESC = "\x1b";
const CTRL_C = "\x03";
const CTRL_D = "\x04";
const UP = "\x1b[A";
const paste = (text: string): string => `\x1b[200~${text}\x1b[201~`;
/** The prompt, bold, with the cursor behind it. */
const ready = new RegExp(`> ${ESC}\\[22m${ESC}\\[3G$`);
const answered = /tokens\/s on cpu/;

const home = freshFolder("terminal");
let screen: Screen | undefined;
afterEach(() => screen?.kill());

const chat = (...words: string[]): Screen => {
  screen = screenOf(["chat", "--backend", "cpu", "--max-new-tokens", "16", ...words], { XDG_STATE_HOME: home });
  return screen;
};
const answers = (rows: readonly string[]): number[] => rows.flatMap((row) => /^(\d+) prompt tokens/.exec(row)?.[1] ?? []).map(Number);

describe.runIf(hasScript)("a conversation in a terminal", () => {
  it("takes three pasted lines as one message, and what is typed behind them too", async () => {
    const s = chat("--no-history");
    await s.sees(ready);
    s.type(paste("안녕하세요\r너는\t누구니?\n고마워\n"));
    await s.sees(/고마워/);
    s.type("!\r");
    await s.sees(answered);
    const { out } = await gureum(["chat", "안녕하세요\n너는\t누구니?\n고마워!", "--backend", "cpu", "--max-new-tokens", "16"]);
    const rows = await s.rows();
    expect(rows).toContain("> 안녕하세요␊너는␉누구니?␊고마워!");
    expect(rows).toContain(out.trim());
    expect(answers(rows)).toHaveLength(1);
    s.type(CTRL_D);
    expect(await s.ended).toBe(0);
    expect(s.raw().lastIndexOf("\x1b[?2004l")).toBeGreaterThan(s.raw().lastIndexOf("\x1b[?2004h"));
  });

  it("clears the typed line at Ctrl-C, and leaves at the second on an empty one", async () => {
    const s = chat("--no-history");
    await s.sees(ready);
    s.type("not to be said");
    await s.sees(/said/);
    s.type(CTRL_C);
    await s.sees(ready);
    s.type("너는 누구니?\r");
    await s.sees(answered);
    await s.sees(ready);
    const rows = await s.rows();
    expect(rows.filter((row) => row.startsWith(">")).map((row) => row.trimEnd())).toEqual(["> 너는 누구니?", ">"]);
    s.type(CTRL_C);
    await s.sees(/Ctrl-C once more/);
    s.type(CTRL_C);
    expect(await s.ended).toBe(0);
  });

  it("stops an answer at Ctrl-C and goes on; what was typed meanwhile is the next line", async () => {
    const s = chat("--no-history", "--max-new-tokens", "4000", "--temperature", "9", "--seed", "1", "--stop-id", "1");
    await s.sees(ready);
    s.type("길게 말해줘\r");
    await s.sees(/\r\n[^\r]{20}/);
    s.type("typed");
    s.type(CTRL_C);
    await s.sees(/new \(aborted\)/);
    await s.sees(/typed/);
    s.type(CTRL_C);
    await s.sees(ready);
    s.type(CTRL_D);
    expect(await s.ended).toBe(0);
    expect((await s.rows()).join("\n").match(/typed/g) ?? []).toHaveLength(0);
  });

  it("obeys /clear, /system and /help, and says what it does not know", async () => {
    const s = chat("--no-history");
    const say = async (line: string, until: RegExp): Promise<void> => {
      await s.sees(ready);
      s.type(`${line}\r`);
      await s.sees(until);
    };
    await say("안녕", answered);
    await say("안녕", answered);
    await say("/clear", /forgotten/);
    await say("안녕", answered);
    await say("/system 너는 시인이다.", /new conversation/);
    await say("/system", /너는 시인이다/);
    await say("안녕", answered);
    await say("/help", /Ctrl-C stops/);
    await say("/nothing", /no command \/nothing/);
    await say("//help", answered);
    const counts = answers(await s.rows());
    expect(counts).toHaveLength(5);
    expect(counts[1]).toBeGreaterThan(counts[0]!);
    expect(counts[2]).toBe(counts[0]);
    expect(counts[3]).not.toBe(counts[0]);
  });

  it("keeps what was typed for the next conversation, in a file of its owner, unless told not to", async () => {
    const file = join(home, "gureum/history");
    const first = chat();
    await first.sees(ready);
    first.type(`${paste("one\ntwo")}\r`);
    await first.sees(answered);
    first.type(CTRL_D);
    await first.ended;
    expect(await readFile(file, "utf8")).toBe("one␊two\n");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const second = chat();
    await second.sees(ready);
    second.type(UP);
    await second.sees(/one␊two/);
    second.type(CTRL_C);
    await second.sees(ready);
    second.type(CTRL_D);
    await second.ended;
    const third = chat("--no-history");
    await third.sees(ready);
    third.type(`${UP}new\r`);
    await third.sees(answered);
    third.type(CTRL_D);
    await third.ended;
    expect((await third.rows()).join("\n")).not.toContain("one␊two");
    expect(await readFile(file, "utf8")).toBe("one␊two\n");
  });

  it("shows control characters of what a model says, and does not obey them", async () => {
    const s = screenOf(["tokenize", "--ids", "3,4,5,30"]);
    expect(await s.ended).toBe(0);
    expect(await s.rows()).toEqual(["\u2400\u2401\u2402\u241b"]);
  });

  it("colours its own words, and under NO_COLOR nothing", async () => {
    // Colours are the codes 30 to 39; bold and dim are no colours, but fall under the same rule.
    const coloured = new RegExp(`${ESC}\\[(1|2|3\\d)m`);
    const plain = screenOf(["chat", "안녕", "--backend", "cpu", "--max-new-tokens", "2"], { NO_COLOR: "1" });
    const bright = screenOf(["chat", "안녕", "--backend", "cpu", "--max-new-tokens", "2"]);
    expect([await plain.ended, await bright.ended]).toEqual([0, 0]);
    expect(plain.raw()).not.toMatch(coloured);
    expect(bright.raw()).toMatch(coloured);
  });
});

describe.runIf(hasScript)("a bar", () => {
  it("shows share and time left on a terminal, and leaves nothing behind", async () => {
    const s = screenOf(["synth", "--shape", "tinyllama-1.1b", join(home, "synth"), "--seed", "1"]);
    await s.sees(/writing [█░]{25} +\d+ % .*?(\d+ min )?\d+ s left/);
    s.type(CTRL_C);
    await s.ended;
    const piped = await gureum(["tokenize", "구름"]);
    expect(piped.err).toBe("");
  });

  it.each([
    ["logits", ["--text", "구름이 하늘에 떠 있다. ".repeat(35)], /reading the text/],
    ["logits", ["--text", "구름이 하늘에 떠 있다. ".repeat(35), "--hidden-states", "--out", "FILE"], /reading the text/],
  ])("shows how far %s is over a long text, never that nothing is left", async (command, words, label) => {
    const out = join(home, "logits.safetensors");
    const slow = ["--ops", "javascript", "--threads", "1"];
    const s = screenOf([command, ...words.map((word) => (word === "FILE" ? out : word)), ...slow]);
    expect(await s.ended).toBe(0);
    const shown = s
      .raw()
      .split(ESC)
      .filter((part) => / left/.test(part));
    expect(shown.filter((line) => label.test(line)).length).toBeGreaterThan(1);
    expect(shown.filter((line) => / 0 s left/.test(line))).toEqual([]);
  });

  it("gives way to what is told, and is gone at the end", async () => {
    const s = screenOf(["generate", "구름", "--backend", "cpu", "--max-new-tokens", "2"]);
    expect(await s.ended).toBe(0);
    expect((await s.rows()).filter((row) => /[█░]/.test(row))).toEqual([]);
  });
});

describe("pasted keys", () => {
  const keys = (...chunks: string[]): string => {
    const filter = pasteFilter();
    return chunks.map((chunk) => filter.push(chunk)).join("") + filter.flush();
  };
  const text = paste("a\r\nb\rc\td\n\n");

  it("are one line however the terminal cuts them up", () => {
    expect(keys(`x${text}y`)).toBe("xa␊b␊c␉dy");
    expect(asMessage(keys(text))).toBe("a\nb\nc\td");
    expect(keys(...`x${text}y`)).toBe("xa␊b␊c␉dy");
    for (let at = 1; at < text.length; at++) expect(keys(text.slice(0, at), text.slice(at))).toBe("a␊b␊c␉d");
  });

  it("hold no other control characters, and keys beside them stay keys", () => {
    expect(keys(paste("a\x1b[31mb\x03c"))).toBe("a[31mbc");
    for (const key of ["\x1b", "\x1b[A", "\x1b[2~", "\x03", "가", "\r"]) expect(keys(key)).toBe(key);
  });
});

describe("colours", () => {
  it.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [false, { FORCE_COLOR: "1" }, true],
    [true, { FORCE_COLOR: "0" }, false],
    [false, { FORCE_COLOR: "3", NO_COLOR: "1" }, true],
    [true, { TERM: "dumb" }, false],
  ] as const)("on a terminal: %s, with %o: %s", (isTTY, env, expected) => {
    expect(hasColours({ isTTY }, env)).toBe(expected);
  });

  it("do not reach a file, nor stdout", async () => {
    const { err, out } = await gureum(["tokenize", "--as", "nothing"], "", undefined, { FORCE_COLOR: "1" });
    expect(err).toBe('\x1b[31mgureum:\x1b[39m tokenize: --as is text or rendered, got "nothing" — see gureum tokenize --help\n');
    expect(out).toBe("");
    expect((await gureum(["tokenize", "--as", "nothing"])).err).not.toContain("\x1b");
  });
});

describe("history", () => {
  it("that cannot be kept costs a note, not the conversation", async () => {
    await writeFile(join(home, "file"), "");
    const { openHistory } = await import("../../../cli/history.ts");
    const notes: string[] = [];
    for (const place of [join(home, "file/gureum/history"), "/proc/self/none/gureum/history"]) {
      notes.length = 0;
      const history = await openHistory(place, (why) => notes.push(why));
      await history.add("a");
      await history.add("b");
      expect(history.lines).toEqual([]);
      expect(notes).toEqual([expect.stringMatching(/^the history is not kept: .*gureum/)]);
    }
  });

  it("is read by its owner alone, the newest line first, and cut to a thousand where it is long", async () => {
    const { openHistory } = await import("../../../cli/history.ts");
    const path = join(home, "new/state/gureum/history");
    const tell = (why: string): never => {
      throw new Error(why);
    };
    const first = await openHistory(path, tell);
    expect(first.lines).toEqual([]);
    for (let i = 0; i < 2001; i++) await first.add(`${i}`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(home, "new"))).mode & 0o777).toBe(0o700);
    const { lines } = await openHistory(path, tell);
    expect(lines).toHaveLength(1000);
    expect(lines.slice(0, 2)).toEqual(["2000", "1999"]);
    expect((await readFile(path, "utf8")).split("\n")).toHaveLength(1001);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });
});
