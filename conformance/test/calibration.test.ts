/** Calibration text: what files may hold, how conversations go through the model's template, how blocks are cut. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { builtinItems, calibrationOf, readCalibrationFile } from "../../calibration.ts";
import { type Chat, embeddedModel, GureumError, openChat } from "../../index.ts";
import { freshFolder } from "./fixtures/fresh-folder.ts";

const place = freshFolder("calibration");
let chat: Chat;
beforeAll(async () => {
  chat = await openChat(embeddedModel());
});

const fileOf = (name: string, text: string): string => {
  writeFileSync(join(place, name), text);
  return join(place, name);
};
const whole = { samples: 1000, tokens: 1000 };
const messages = [
  { role: "user", content: "안녕?" },
  { role: "assistant", content: "안녕하세요." },
];

describe("calibration text", () => {
  it("of a file: plain, one JSON value for each line, or a list of them", async () => {
    const lines = ['"구름"', '{"text": "비"}', JSON.stringify({ messages }), "", "[1, 5, 7]", '{"ids": [2, 3]}'];
    const items = ["구름", "비", messages, { ids: [1, 5, 7] }, { ids: [2, 3] }];
    expect(await readCalibrationFile(fileOf("a.jsonl", lines.join("\n")))).toEqual(items);
    expect(await readCalibrationFile(fileOf("a.json", `[${lines.filter((line) => line !== "").join(",")}]`))).toEqual(items);
    expect(await readCalibrationFile(fileOf("a.txt", "한 줄\n두 줄"))).toEqual(["한 줄\n두 줄"]);
  });

  it("goes one text after the other, each from its own BOS, conversations by the model's template, and is cut into blocks", () => {
    const { tokenizer } = chat;
    const text = tokenizer.encode("구름이 많다", { addBos: true });
    const turns = chat.encode(messages, { addGenerationPrompt: false });
    expect(text[0]).toBe(tokenizer.bosId);
    const all = [...text, ...turns];
    expect(calibrationOf("x", ["구름이 많다", messages], chat, whole).texts).toEqual([all]);
    const cut = calibrationOf("x", ["구름이 많다", messages], chat, { samples: 1000, tokens: 7 }).texts;
    expect(cut.flat()).toEqual(all);
    expect(cut.slice(0, -1).every((block) => block.length === 7)).toBe(true);
  });

  it("of more blocks than are wanted is taken evenly; sequences of ids stay apart and need no tokenizer", () => {
    const none = new GureumError("not-found", { where: "m", what: "no tokenizer" });
    const ids = Array.from({ length: 10 }, (_, i) => i);
    const cut = (samples: number): unknown => calibrationOf("x", [{ ids }, { ids: [99] }], none, { samples, tokens: 2 }).texts;
    expect(cut(100)).toEqual([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [99]]);
    expect(cut(2)).toEqual([
      [0, 1],
      [6, 7],
    ]);
    expect(() => calibrationOf("x", ["text"], none, whole)).toThrow("no tokenizer");
    expect(() => calibrationOf("x", [], none, whole)).toThrow(/^x: no calibration text — give a file/);
    for (const nothing of [[""], ["", ""]]) expect(() => calibrationOf("x", nothing, chat, whole)).toThrow(/^x: no calibration text/);
  });

  it("that comes built in is Korean and English, and enough for several blocks", () => {
    const { texts } = calibrationOf("builtin", builtinItems(), chat, { samples: 128, tokens: 512 });
    expect(texts.length).toBeGreaterThan(8);
    const text = builtinItems()
      .map((item) => JSON.stringify(item))
      .join("");
    const [korean, latin] = [text.match(/[가-힣]/g)!.length, text.match(/[A-Za-z]/g)!.length];
    expect(korean).toBeGreaterThan(1500);
    expect(latin).toBeGreaterThan(5000);
  });

  it.each([
    ["b.jsonl", '"ok"\n{"messages": []}', /b\.jsonl, line 2 > messages: no messages/],
    ["c.jsonl", "{", /c\.jsonl, line 1: not JSON/],
    ["d.json", '{"text": "x"}', /d\.json: not a list of texts, conversations or ids/],
    ["e.json", "[3]", /e\.json, entry 0: not a calibration text, expected "a text"/],
  ])("that is broken is refused with its place: %s", async (name, text, about) => {
    await expect(readCalibrationFile(fileOf(name, text))).rejects.toMatchObject({ code: "format", message: expect.stringMatching(about) });
  });
});
