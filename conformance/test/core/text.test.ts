import { describe, expect, it } from "vitest";
import { alignColumns, formatBytes } from "../../../core/text.ts";

describe("formatBytes", () => {
  it("keeps three digits", () => {
    expect([0, 999, 1000, 1536, 999_499, 999_500, 5_964_046_336].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.00 kB",
      "1.54 kB",
      "999 kB",
      "1.00 MB",
      "5.96 GB",
    ]);
  });
});

describe("alignColumns", () => {
  it("pads each cell to the widest of its column, without blanks at the end", () => {
    const rows = [
      ["name", "bytes", ""],
      ["a", "12", "x"],
      ["longer", "3", ""],
    ];
    expect(alignColumns(rows, (i) => i === 1)).toEqual(["name    bytes", "a          12  x", "longer      3"]);
  });
});
