import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { makeSha256, sha256 } from "../../../core/sha256.ts";

const oracle = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("sha256", () => {
  it("gives FIPS 180-4's example", () => {
    expect(sha256(new TextEncoder().encode("abc"))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  it("agrees with OpenSSL at every length around a block's ends", () => {
    const bytes = Uint8Array.from({ length: 260 }, (_, i) => i * 7 + 3);
    for (let n = 0; n <= bytes.length; n++) expect(sha256(bytes.subarray(0, n)), `${n} bytes`).toBe(oracle(bytes.subarray(0, n)));
  });

  it("does not depend on how the bytes are cut", () => {
    const cuts = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (parts) => {
        const hash = makeSha256();
        for (const part of parts) hash.update(part);
        expect(hash.digest()).toBe(oracle(Buffer.concat(parts)));
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  it("counts beyond 2^32 bits", () => {
    const part = new Uint8Array(2 ** 25 + 1).fill(0x61);
    const [mine, other] = [makeSha256(), createHash("sha256")];
    for (let i = 0; i < 16; i++) {
      mine.update(part);
      other.update(part);
    }
    expect(mine.digest()).toBe(other.digest("hex"));
  });
});
