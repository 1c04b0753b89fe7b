/** Laws of the safetensors reader and writer, with the reference implementation's own vectors. */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ByteSource, memorySource } from "../../../../core/checkpoint/byte-source.ts";
import {
  encodeSafetensors,
  openSafetensors,
  parseHeader,
  readTensor,
  type TensorEntry,
  tensorByteLength,
  writeSafetensors,
} from "../../../../core/checkpoint/safetensors.ts";
import { type DType, dtypeBits } from "../../../../core/dtype.ts";
import { GureumError } from "../../../../core/errors.ts";
import { encodeUtf8 } from "../../../../core/utf8.ts";

const dtypes = Object.keys(dtypeBits) as DType[];

/** A file of this header text, the stated length (the header's own unless given), and that many zero bytes of data. */
function fileOf(header: string | Uint8Array, dataBytes = 0, statedLength?: bigint): Uint8Array {
  const json = typeof header === "string" ? encodeUtf8(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, statedLength ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const open = (bytes: Uint8Array): ReturnType<typeof openSafetensors> => openSafetensors(memorySource("a.safetensors", bytes));
const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown): string =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

const tensorEntry = fc
  .record({
    name: fc.string({ unit: "grapheme", maxLength: 8 }).filter((name) => name !== "__metadata__" && !/\p{Surrogate}/u.test(name)),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.nat(4), { maxLength: 4 }),
    seed: fc.nat(255),
  })
  .filter(({ dtype, shape }) => (shape.reduce((a, b) => a * b, 1) * dtypeBits[dtype]) % 8 === 0)
  .map(({ name, dtype, shape, seed }) => {
    const data = Uint8Array.from({ length: tensorByteLength(dtype, shape) }, (_, i) => (i * 31 + seed) & 255);
    return { name, dtype, shape, data };
  });
const tensorEntries = fc.uniqueArray(tensorEntry, { maxLength: 6, selector: ({ name }) => name });
const metadata = fc
  .dictionary(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), { maxKeys: 3 })
  .map((object) => new Map(Object.entries(object)))
  .filter((map) => ![...map].flat().some((text) => /\p{Surrogate}/u.test(text)));

describe("writeSafetensors", () => {
  it("is undone by openSafetensors: names, dtypes, shapes, bytes, metadata", async () => {
    await fc.assert(
      fc.asyncProperty(tensorEntries, metadata, async (tensors, info) => {
        const file = await open(await encodeSafetensors(tensors, info));
        expect(new Map(file.metadata)).toEqual(info);
        expect(file.tensors.size).toBe(tensors.length);
        for (const { name, dtype, shape, data } of tensors) {
          expect(file.tensors.get(name)).toMatchObject({ dtype, shape, byteLength: data.length });
          expect(await readTensor(file, name)).toEqual(data);
        }
      }),
    );
  });

  it("gives the same bytes whatever the order and the chunks", async () => {
    await fc.assert(
      fc.asyncProperty(tensorEntries, fc.integer({ min: 1, max: 9 }), async (tensors, step) => {
        const chunked: TensorEntry[] = tensors.map(({ name, dtype, shape, data }) => ({
          name,
          dtype,
          shape,
          data: async function* () {
            for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step);
          },
        }));
        expect(await encodeSafetensors(chunked.reverse())).toEqual(await encodeSafetensors(tensors));
      }),
    );
  });

  it("starts the tensors at a multiple of 8, each at a multiple of its element", async () => {
    await fc.assert(
      fc.asyncProperty(tensorEntries, async (tensors) => {
        const file = await open(await encodeSafetensors(tensors));
        for (const { dtype, byteOffset, byteLength } of file.tensors.values())
          if (dtypeBits[dtype] >= 8 && byteLength > 0) expect(byteOffset % (dtypeBits[dtype] / 8)).toBe(0);
      }),
    );
  });

  it("writes what the reference writes (vectors of tensor.rs)", async () => {
    const empty = Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0, ...encodeUtf8("{}      "));
    expect(await encodeSafetensors([])).toEqual(empty);
    const tagged = Uint8Array.of(40, 0, 0, 0, 0, 0, 0, 0, ...encodeUtf8('{"__metadata__":{"framework":"pt"}}     '));
    expect(await encodeSafetensors([], new Map([["framework", "pt"]]))).toEqual(tagged);
    const data = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer);
    const attention = await encodeSafetensors([{ name: "attn0", dtype: "F32", shape: [1, 1, 2, 3], data }]);
    const header = '{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ';
    expect(attention).toEqual(Uint8Array.of(72, 0, 0, 0, 0, 0, 0, 0, ...encodeUtf8(header), ...data));
  });

  it("refuses repeated, reserved and malformed names, and bytes that disagree with the shape", async () => {
    const one = { name: "a", dtype: "U8", shape: [1], data: Uint8Array.of(1) } as const;
    await expect(encodeSafetensors([one, one])).rejects.toThrow(/"a": two tensors of one name/);
    await expect(encodeSafetensors([{ ...one, name: "__metadata__" }])).rejects.toThrow(/reserved/);
    await expect(encodeSafetensors([{ ...one, name: "\ud800" }])).rejects.toThrow(/lone surrogate/);
    await expect(encodeSafetensors([{ ...one, shape: [2] }])).rejects.toThrow(/"a": bytes given disagree with U8 \[2\], expected 2, got 1/);
    await expect(encodeSafetensors([{ ...one, shape: [0] }])).rejects.toThrow(GureumError);
    await expect(encodeSafetensors([{ ...one, dtype: "F4", shape: [3] }])).rejects.toThrow(/do not fill whole bytes/);
    await expect(encodeSafetensors([{ ...one, shape: [0.5] }])).rejects.toThrow(GureumError);
  });

  it("never sends more than a tensor's bytes", async () => {
    let sent = 0;
    const endless: TensorEntry = {
      name: "a",
      dtype: "U8",
      shape: [10],
      data: function* () {
        for (;;) yield new Uint8Array(4);
      },
    };
    const written = writeSafetensors([endless], async (bytes) => {
      sent += bytes.length;
    });
    await expect(written).rejects.toThrow(/expected 10, got 12 or more/);
    expect(sent).toBeLessThan(8 + 80 + 10);
  });
});

describe("openSafetensors", () => {
  it("accepts zero-size tensors, scalars, any order of entries, null metadata and unknown entry keys", async () => {
    const header = `{"b":${entry("F32", [], 2, 6)},"z":${entry("F32", [0, 9], 2, 2)},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":[{}]},"__metadata__":null}`;
    const file = await open(fileOf(header, 6));
    expect([...file.tensors.keys()]).toEqual(["a", "z", "b"]);
    expect(file.tensors.get("z")).toMatchObject({ byteLength: 0, shape: [0, 9] });
  });

  const a = (dtype: string, shape: unknown, begin: unknown, end: unknown): string => `{"a":${entry(dtype, shape, begin, end)}}`;
  const big = "18446744073709551615";
  it.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /at least 8 bytes, got 0/],
    ["a header longer than the file", fileOf("{}", 0, 3n), /cut off inside its header, expected 11 bytes, got 10/],
    ["a header over 100 MB", fileOf("{}", 0, 100_000_001n), /header length, expected at most 100000000/],
    ["a header length of 2^64 - 1", fileOf("{}", 0, 2n ** 64n - 1n), /at most 100000000, got 18446744073709551615/],
    ["an empty header", fileOf(""), /start with "{"/],
    ["a leading space", fileOf(" {}"), /start with "{"/],
    ["padding that is no space", fileOf("{}\n"), /end with "}" and spaces/],
    ["bytes after the object", fileOf("{} {}"), /more after the JSON value/],
    ["an array", fileOf("[]"), /start with "{"/],
    ["broken UTF-8 in a name", fileOf(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)), /not UTF-8/],
    ["a duplicate tensor", fileOf(`{"a":${entry("U8", [1], 0, 1)},"a":${entry("U8", [1], 0, 1)}}`, 1), /duplicate key "a"/],
    [
      "a duplicate key in an entry",
      fileOf('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
      /duplicate key "dtype"/,
    ],
    ["metadata that is no string", fileOf('{"__metadata__":{"a":1}}'), /__metadata__ "a", expected a string, got 1/],
    ["metadata that is no object", fileOf('{"__metadata__":[]}'), /__metadata__, expected an object/],
    ["an unknown dtype", fileOf(a("F17", [1], 0, 1), 1), /"a": dtype, expected one of the format's, got "F17"/],
    ["a dtype named like a method", fileOf(a("toString", [1], 0, 1), 1), /dtype/],
    ["a missing shape", fileOf('{"a":{"dtype":"U8","data_offsets":[0,1]}}', 1), /shape, expected an array, got nothing/],
    ["a negative size", fileOf(a("U8", [-1], 0, 1), 1), /expected an unsigned integer, got -1/],
    ["a fractional size", fileOf('{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}', 1), /an unsigned integer/],
    ["minus zero", fileOf('{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}'), /an unsigned integer/],
    ["three offsets", fileOf('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}', 1), /two numbers, got 3/],
    ["reversed offsets", fileOf(a("U8", [1], 1, 0), 1), /begin at most end/],
    [
      "a number beyond 2^53",
      fileOf('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,9007199254740993]}}'),
      /at most 2\^53 - 1, got 9007199254740993/,
    ],
    ["a u64 offset", fileOf(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[${big},${big}]}}`, 1), /at most 2\^53 - 1/],
    ["a product over u64", fileOf(a("U8", [2 ** 40, 2 ** 40], 0, 1), 1), /product of the shape overflows u64/],
    ["a product over u64 times zero", fileOf(a("U8", [2 ** 40, 2 ** 40, 0], 0, 0)), /overflows u64/],
    ["bits over u64", fileOf(a("U64", [2 ** 30, 2 ** 30], 0, 1), 1), /size of the tensor overflows u64/],
    ["a size that disagrees", fileOf(a("F32", [2], 0, 4), 4), /"a": data_offsets disagree with F32 \[2\], expected 8 bytes, got 4/],
    ["half a byte", fileOf(a("F4", [3], 0, 2), 2), /F4 elements do not fill whole bytes/],
    ["a hole", fileOf(a("U8", [1], 1, 2), 2), /"a": leaves a hole before it, expected begin 0, got 1/],
    ["an overlap", fileOf(`{"a":${entry("U8", [2], 0, 2)},"b":${entry("U8", [2], 1, 3)}}`, 3), /"b": overlaps the tensor before it/],
    ["trailing bytes", fileOf(a("U8", [1], 0, 1), 2), /trailing bytes after the last tensor, expected 1 tensor bytes, got 2/],
    ["a truncated file", fileOf(a("U8", [2], 0, 2), 1), /the file is cut off, expected 2 tensor bytes, got 1/],
    ["2000-deep nesting", fileOf(`{"a":${"[".repeat(2000)}${"]".repeat(2000)}}`), /nested deeper than 128/],
  ])("refuses %s, naming the file", async (_, bytes, message) => {
    const opened = open(bytes);
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(/^a\.safetensors(:| >) /);
    await expect(opened).rejects.toMatchObject({ name: "GureumError", code: "format" });
  });

  it("allocates nothing on the word of a lying header", async () => {
    let largest = 0;
    const bytes = fileOf(a("U8", [2 ** 50], 0, 2 ** 50), 0);
    const spy: ByteSource = {
      ...memorySource("a", bytes),
      async readInto(byteOffset, target) {
        largest = Math.max(largest, target.length);
        target.set(bytes.subarray(byteOffset, byteOffset + target.length));
      },
    };
    await expect(openSafetensors(spy)).rejects.toThrow(/cut off/);
    expect(largest).toBeLessThan(bytes.length);
  });

  it("gives a value or a GureumError for any bytes, and for any flipped byte of a good file", async () => {
    const fails = async (bytes: Uint8Array): Promise<void> => {
      await open(bytes).catch((error: unknown) => expect(error).toBeInstanceOf(GureumError));
    };
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), fails));
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), (header) => fails(fileOf(header))));
    await fc.assert(
      fc.asyncProperty(tensorEntries, fc.nat(), fc.nat(255), fc.nat(), async (tensors, at, value, cut) => {
        const bytes = await encodeSafetensors(tensors);
        bytes[at % bytes.length] = value;
        await fails(bytes);
        await fails(bytes.subarray(0, cut % bytes.length));
      }),
      { numRuns: 500 },
    );
  });

  it("reads a header of 100,000 tensors in seconds", async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `"t${i}":${entry("U8", [1], i, i + 1)}`);
    const started = performance.now();
    expect((await open(fileOf(`{${names.join(",")}}`, 100_000))).tensors.size).toBe(100_000);
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

describe("readTensor", () => {
  it("names the file and the tensor it lacks", async () => {
    const file = await open(fileOf("{}"));
    await expect(readTensor(file, "b")).rejects.toThrow(/a\.safetensors: no tensor "b"/);
  });

  it("reads a header of many tensors in eight bytes for each of its own, and a tree in none of its entries", () => {
    const script = `
      const { parseHeader } = await import(process.argv[1]);
      const one = (i) => '"model.layers.' + i + '.w":{"dtype":"F16","shape":[2,2],"data_offsets":[' + 8 * i + ',' + (8 * i + 8) + ']}';
      const text = new TextEncoder().encode("{" + Array.from({ length: 100000 }, (_, i) => one(i)).join(",") + "}");
      gc();
      const before = process.memoryUsage().heapUsed;
      const { tensors } = parseHeader(text, 800000);
      gc();
      console.log(JSON.stringify([tensors.size, (process.memoryUsage().heapUsed - before) / text.length]));`;
    const built = fileURLToPath(new URL("../../../../dist/core/checkpoint/safetensors.js", import.meta.url));
    const out = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "-e", script, "--", built], { encoding: "utf8" });
    const [count, perByte] = JSON.parse(out) as [number, number];
    expect(count).toBe(100_000);
    expect(perByte).toBeLessThan(8);
    const tree = `{"a":{"dtype":"F16","shape":[${"{},".repeat(40_000)}{}],"data_offsets":[0,0]}}`;
    expect(() => parseHeader(encodeUtf8(tree), 0)).toThrow(/longer than any that this file needs/);
  });
});
