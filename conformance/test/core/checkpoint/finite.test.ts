/** The search for NaN and infinity, against Number.isFinite of every element. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findNonFinite } from "../../../../core/checkpoint/finite.ts";
import { widenFloats } from "../../../../core/dtype.ts";

describe.each(["F16", "BF16", "F32"] as const)("findNonFinite in %s", (dtype) => {
  const width = dtype === "F32" ? 4 : 2;

  it("gives the first element that is not finite, wherever a part begins and ends", () => {
    const byte = fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0, max: 0x3b }) }, fc.constantFrom(0x7c, 0x7f, 0x80, 0xff, 0xfc, 0x7b));
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 60 }),
        fc.array(byte, { maxLength: 60 }),
        fc.nat(12),
        fc.nat(7),
        (noise, bytes, byteOffset, shift) => {
          const part = Uint8Array.from([...noise.subarray(0, shift), ...bytes]).subarray(Math.min(shift, noise.length));
          const first = (width - (byteOffset % width)) % width;
          const whole = part.slice(first, first + Math.max(0, Math.floor((part.length - first) / width)) * width);
          const at = widenFloats(whole.buffer, dtype).findIndex((value) => !Number.isFinite(value));
          expect(findNonFinite(part, byteOffset, dtype)).toBe(at < 0 ? -1 : (byteOffset + first) / width + at);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("knows every pattern of an exponent", () => {
    if (width === 4) return;
    for (let bits = 0; bits < 65536; bits++) {
      const finite = Number.isFinite(widenFloats(Uint16Array.of(bits).buffer, dtype)[0]!);
      for (const place of [0, 1]) {
        const pair = Uint16Array.of(0, 0);
        pair[place] = bits;
        if (findNonFinite(new Uint8Array(pair.buffer), 8, dtype) !== (finite ? -1 : 4 + place)) expect.fail(`0x${bits.toString(16)}`);
      }
    }
  });
});
