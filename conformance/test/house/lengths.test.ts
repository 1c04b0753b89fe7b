/** What laws are tried on. */
import fc from "fast-check";
import { expect, it } from "vitest";

it("lists that a law says may be long are long now and then", () => {
  const lengths = fc.sample(fc.array(fc.nat(), { maxLength: 400 }), 100).map(({ length }) => length);
  expect(Math.max(...lengths)).toBeGreaterThan(200);
});
