/** Laws of the strict JSON reader; JSON.parse is the oracle where both must agree. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { asReal, type Json, parseJson, parsePlainJson } from "../../../core/json.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";

const parse = (text: string): Json => parseJson(encodeUtf8(text), "strict");
const python = (text: string): unknown => parsePlainJson(encodeUtf8(text));

/** Our value in JSON.parse's terms. */
function plain(value: Json): unknown {
  const real = asReal(value);
  if (real !== null) return real;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return [...value].map(([key, member]) => [key, plain(member)]);
  return value;
}
function entries(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(entries);
  if (typeof value === "object" && value !== null) return Object.entries(value).map(([key, member]) => [key, entries(member)]);
  return value;
}

describe("the strict dialect", () => {
  it("agrees with JSON.parse on what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: "binary" }), (text) => {
        const wellFormed = !/\\ud[89a-f]/i.test(text);
        fc.pre(wellFormed);
        expect(plain(parse(text))).toEqual(entries(JSON.parse(text)));
      }),
    );
  });

  it("gives a value or a GureumError for any bytes, and a value only where JSON.parse has one", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      ":",
      ",",
      "1",
      "-",
      "0",
      ".",
      "e",
      "true",
      "null",
      "\\u",
      "d800",
      " ",
      "é",
      '"a"',
      "\n",
      "\u0001",
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(pieces, { maxLength: 14 }).map((parts) => encodeUtf8(parts.join(""))),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        let value: Json;
        try {
          value = parseJson(input, "strict");
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          expect((error as Error).message).not.toContain("\n");
          return;
        }
        expect(plain(value)).toEqual(entries(JSON.parse(Buffer.from(input).toString("utf8"))));
      }),
      { numRuns: 2000 },
    );
  });

  it("reads integers exactly, beyond 2^53 and beyond u64", () => {
    expect(parse("9007199254740993")).toBe(9007199254740993n);
    expect(parse("18446744073709551616")).toBe(18446744073709551616n);
    expect(parse("9007199254740991")).toBe(9007199254740991);
    expect(parse("-9007199254740993")).toBe(-9007199254740993n);
    expect(parse("[0,7,-1,123456789012345]")).toEqual([0, 7, -1, 123456789012345]);
    expect(parse("[1.0,1e2,-0]")).toEqual([{ real: 1 }, { real: 100 }, { real: -0 }]);
  });

  it.each([
    ["", /byte 0: not JSON, expected a value, got the end/],
    ["nul", /byte 3: not JSON/],
    ["01", /leading 0/],
    ["1.", /expected a digit/],
    ["+1", /expected a value/],
    ["NaN", /expected a value/],
    ["Infinity", /expected a value/],
    ["1e999", /beyond a 64-bit float/],
    ["[1,]", /expected a value/],
    ["{}{}", /more after the JSON value/],
    ['{"a":1,"a":2}', /byte 7: duplicate key "a"/],
    ['{"a":1,"\\u0061":2}', /duplicate key "a"/],
    ['"\\ud800"', /lone surrogate/],
    ['"\\udc00\\ud800"', /lone surrogate/],
    ['"\\x"', /unknown escape/],
    ['"\n"', /raw control character/],
    ['"abc', /does not end/],
    ["{1:2}", /expected a key in quotes/],
  ])("refuses %j", (text, message) => {
    expect(() => parse(text)).toThrow(GureumError);
    expect(() => parse(text)).toThrow(message);
  });

  it("refuses broken UTF-8 inside a string", () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xc0, 0x80, 0x22), "strict")).toThrow(/string at byte 1: not UTF-8/);
  });

  it("ends 2000-deep and 1,000,000-deep nesting and megabyte-long numbers in an error", () => {
    for (const depth of [129, 2000, 1_000_000]) {
      expect(() => parse("[".repeat(depth) + "]".repeat(depth))).toThrow(/nested deeper than 128/);
      expect(() => parse('{"a":'.repeat(depth))).toThrow(/nested deeper than 128/);
    }
    expect(parse("[".repeat(128) + "]".repeat(128))).toBeInstanceOf(Array);
    expect(() => parse("1".repeat(1_000_000))).toThrow(/a number of 1000000 characters/);
  });
});

describe("Python's dialect", () => {
  it("gives what JSON.parse gives for whatever both read, duplicate keys and lone surrogates included", () => {
    const member = fc.tuple(fc.constantFrom("a", "b", "__proto__", "constructor", "1"), fc.json({ stringUnit: "binary" }));
    const text = fc.array(member).map((members) => `{${members.map(([key, value]) => `"${key}":${value}`).join(",")}}`);
    fc.assert(
      fc.property(text, (json) => {
        const object = python(json) as object;
        for (const name of ["a", "b", "__proto__", "constructor", "toString"]) expect(name in object).toBe(Object.hasOwn(object, name));
        expect(JSON.stringify(object)).toBe(JSON.stringify(JSON.parse(json)));
      }),
    );
  });

  it("reads NaN, infinities, numbers beyond f64 and a byte-order mark, as Python's json does", () => {
    expect(python("[NaN, Infinity, -Infinity, 1e999, -1e999]")).toEqual([Number.NaN, Infinity, -Infinity, Infinity, -Infinity]);
    expect(python('\ufeff{"a": 1}')).toEqual({ a: 1 });
    expect(python('{"a": 1, "a": 2}')).toEqual({ a: 2 });
    expect(python('"\\ud800x\\udc00\\ud83d\\ude00\\ud800\\u0041"')).toBe("\ud800x\udc00\ud83d\ude00\ud800A");
  });

  it.each(["", "nan", "NaNs", "+Infinity", "-", "Infinit", "[1,]", "01", "'a'", "{1:2}", '"\n"', "\ufeff\ufeff1"])("refuses %j", (text) => {
    expect(() => python(text)).toThrow(GureumError);
  });

  it("is bounded as the strict one is", () => {
    expect(() => python("[".repeat(1_000_000))).toThrow(/nested deeper than 128/);
    expect(() => python("1".repeat(1_000_000))).toThrow(/a number of 1000000 characters/);
  });
});
