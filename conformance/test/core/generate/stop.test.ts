/** Stop strings: where a text ends, and what is held back meanwhile. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeStopMatcher } from "../../../../core/generate/stop.ts";

describe("stop strings", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "구"), maxLength: 30 });
  it("end the text before the first of them, wherever the text is cut", () => {
    fc.assert(
      fc.property(
        letters,
        fc.array(fc.string({ unit: fc.constantFrom("a", "b", "구"), minLength: 1, maxLength: 4 }), { maxLength: 3 }),
        fc.array(fc.nat(5)),
        (text, stops, cuts) => {
          const matcher = makeStopMatcher(stops);
          let shown = "";
          let stopped = false;
          for (let at = 0, i = 0; at < text.length && !stopped; i++) {
            const size = 1 + (cuts[i % Math.max(1, cuts.length)] ?? 0);
            const part = matcher.push(text.slice(at, at + size));
            shown += part.text;
            stopped = part.stopped;
            at += size;
          }
          if (!stopped) shown += matcher.flush();
          const ends = stops.map((s) => text.indexOf(s)).filter((at) => at >= 0);
          expect(stopped).toBe(ends.length > 0);
          // A long stop string may begin before a short one that is complete earlier: what counts is what can be shown
          // safely.
          const expected = ends.length > 0 ? text.slice(0, Math.min(...ends)) : text;
          if (stops.length <= 1 || !stopped) expect(shown).toBe(expected);
          else {
            expect(text.startsWith(shown)).toBe(true);
            for (const stop of stops) expect(shown).not.toContain(stop);
          }
        },
      ),
    );
  });

  it("are held back whole, however long what may be their beginning is", () => {
    const arbitrary = fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.constantFrom(1, 7, 1000), fc.nat(2999), fc.boolean());
    fc.assert(
      fc.property(arbitrary, ([length, period, cut, ends]) => {
        const stop = `${Array.from({ length }, (_, i) => String.fromCharCode(97 + ((i % period) % 26))).join("")}!`;
        // Its beginning, all of it but the last letter, and then that letter or another one.
        const text = `b${stop.slice(0, cut % stop.length)}?${stop.slice(0, -1)}${ends ? "!" : "."}c`;
        const matcher = makeStopMatcher([stop]);
        let shown = "";
        for (const letter of text) {
          const part = matcher.push(letter);
          shown += part.text;
          if (part.stopped) break;
        }
        expect(ends ? shown : shown + matcher.flush()).toBe(ends ? text.slice(0, text.indexOf(stop)) : text);
      }),
      { numRuns: 40 },
    );
  });
});
