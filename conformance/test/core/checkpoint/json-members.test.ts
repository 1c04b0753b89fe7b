import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { withMembers } from "../../../../core/checkpoint/json-members.ts";

describe("members changed in an object's text", () => {
  it("give what changing the object gives, whatever the spaces, and the other members keep their spelling", () => {
    const space = fc.constantFrom("", " ", "\n  ", "\t");
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ maxLength: 6 }), fc.jsonValue({ maxDepth: 2 })),
        fc.dictionary(fc.string({ maxLength: 6 }), fc.option(fc.jsonValue({ maxDepth: 1 }), { nil: undefined })),
        space,
        (object, changes, blank) => {
          const members = Object.entries(object).map(
            ([key, value]) => `${JSON.stringify(key)}${blank}:${blank}${JSON.stringify(value, null, blank)}`,
          );
          const text = `${blank}{${blank}${members.join(`${blank},${blank}`)}${blank}}${blank}`;
          // Own members alone: "__proto__" is a key like any other in JSON.
          const expected = new Map(Object.entries(JSON.parse(text) as object));
          for (const [key, value] of Object.entries(changes)) {
            if (value === undefined) expected.delete(key);
            else expected.set(key, JSON.parse(JSON.stringify(value)));
          }
          const got = new Map(Object.entries(JSON.parse(withMembers(text, changes)) as object));
          expect(got).toEqual(expected);
        },
      ),
    );
    expect(withMembers('{"a": 1e-05,"b" : [1.0, "}"], "c": {"d": "\\""}}', { b: 2, e: [3] })).toBe(
      '{\n  "a": 1e-05,\n  "b": 2,\n  "c": {"d": "\\""},\n  "e": [\n    3\n  ]\n}',
    );
  });

  it("of something else are refused", () => {
    for (const text of ["[1]", "null", "{", ""]) expect(() => withMembers(text, {})).toThrow(expect.objectContaining({ code: "format" }));
  });
});
