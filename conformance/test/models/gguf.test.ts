/** The reader of GGUF that turns published models into folders: values by the definition of their types, metadata of every kind. */
import { describe, expect, it } from "vitest";
import { f16Bits } from "../../../core/dtype.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { ggufValues, parseGguf } from "./gguf.ts";

/** `value` in so many bytes, the lowest first. */
const number = (value: number, width: number): number[] => Array.from({ length: width }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);

const text = (value: string): number[] => {
  const utf8 = encodeUtf8(value);
  return [...number(utf8.length, 8), ...utf8];
};

const half = (value: number): number[] => [f16Bits(value) & 0xff, f16Bits(value) >> 8];

describe("a GGUF file", () => {
  it("gives its metadata, and its tensors with the outermost axis first", () => {
    const file = [...number(0x46554747, 4), ...number(3, 4), ...number(1, 8), ...number(3, 8)];
    file.push(...text("name"), ...number(8, 4), ...text("구름"), ...text("count"), ...number(4, 4), ...number(7, 4));
    file.push(...text("list"), ...number(9, 4), ...number(8, 4), ...number(2, 8), ...text("a"), ...text("b"));
    file.push(...text("w"), ...number(2, 4), ...number(32, 8), ...number(2, 8), ...number(8, 4), ...number(0, 8));
    while (file.length % 32 !== 0) file.push(0);
    for (const scale of [0.5, -2]) file.push(...half(scale), ...Array.from({ length: 32 }, (_, i) => (i - 16) & 0xff));
    const { metadata, tensors } = parseGguf(Uint8Array.from(file));
    expect([...metadata]).toEqual([
      ["name", "구름"],
      ["count", 7],
      ["list", ["a", "b"]],
    ]);
    const tensor = tensors.get("w")!;
    expect(tensor.shape).toEqual([2, 32]);
    expect(Array.from(ggufValues(tensor))).toEqual([0.5, -2].flatMap((scale) => Array.from({ length: 32 }, (_, i) => (i - 16) * scale)));
  });
  it("of Q4_1 has values q · d + m, low nibbles first, rounded once to f32", () => {
    const nibbles = Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4));
    const [d, m] = [0.0999755859375, -1.2001953125];
    const values = ggufValues({ type: 3, shape: [32], bytes: Uint8Array.from([...half(d), ...half(m), ...nibbles]) });
    expect(Array.from(values)).toEqual(Array.from({ length: 32 }, (_, i) => Math.fround((i < 16 ? i : 31 - i) * d + m)));
  });
});
