/**
 * The safetensors format: u64 little-endian header length, JSON header, tensor bytes without holes. The reader takes
 * the header only and hands out ranges; the writer streams. Rules follow `safetensors/src/tensor.rs` of
 * huggingface/safetensors 0.6 and the format's README; where those two differ (first byte, padding, duplicate keys) the
 * README's stricter word holds. Not here: shards (shards.ts), what tensors mean (weights.ts).
 */
import { type DType, dtypeBits } from "../dtype.ts";
import { GureumError, within, withinAsync } from "../errors.ts";
import { type Json, jsonKind, parseMembers, quote } from "../json.ts";
import { encodeUtf8 } from "../utf8.ts";
import { type ByteSink, collectBytes } from "./byte-sink.ts";
import { type ByteSource, readBytes } from "./byte-source.ts";
import { foreignFile } from "./foreign.ts";

/** Longest header the format allows, in bytes. */
export const maxHeaderBytes = 100_000_000;
/** Far more than a tensor's entry, and its metadata, have: a tree of empty objects takes seventy times its bytes in memory. */
const maxEntryBytes = 65_536;
const maxMetadataBytes = 4_000_000;

const u64Max = 2n ** 64n - 1n;
const metadataKey = "__metadata__";

export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** An open file: its header in memory, its tensors on demand. */
export interface Safetensors {
  readonly source: ByteSource;
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

const bad = (what: string, expected?: string, got?: string): GureumError =>
  new GureumError("format", { what, ...(expected === undefined ? {} : { expected }), ...(got === undefined ? {} : { got }) });

function isDType(name: string): name is DType {
  return Object.hasOwn(dtypeBits, name);
}

const describeShape = (shape: readonly number[]): string => `[${shape.slice(0, 8).join(", ")}${shape.length > 8 ? ", …" : ""}]`;

/** product(shape) · bits, exact, where every step stays within 2^53; null otherwise. */
function smallBitLength(bits: number, shape: readonly number[]): number | null {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return null;
  }
  return Number.isSafeInteger(count * bits) ? count * bits : null;
}

/** The same in big integers, by the format's rule: no product may leave u64, even where a later size is 0. */
function exactBitLength(bits: number, shape: readonly number[]): bigint {
  let count = 1n;
  for (const size of shape) {
    count *= BigInt(size);
    if (count > u64Max) throw bad("the product of the shape overflows u64", undefined, describeShape(shape));
  }
  if (count * BigInt(bits) > u64Max) throw bad("the size of the tensor overflows u64", undefined, `${count} × ${bits} bits`);
  return count * BigInt(bits);
}

/**
 * Bytes of a tensor of this dtype and shape: product(shape) · bits / 8.
 * @throws GureumError "format" as the format's rules say, or where it is no size a file can have.
 */
export function tensorByteLength(dtype: DType, shape: readonly number[]): number {
  for (const size of shape) if (!Number.isSafeInteger(size) || size < 0) throw bad("shape", "whole numbers from 0 to 2^53 - 1", `${size}`);
  const bits = smallBitLength(dtypeBits[dtype], shape) ?? exactBitLength(dtypeBits[dtype], shape);
  if (BigInt(bits) % 8n !== 0n) throw bad(`${dtype} elements do not fill whole bytes`, "a multiple of 8 bits", `${bits}`);
  const byteLength = BigInt(bits) / 8n;
  if (byteLength > BigInt(Number.MAX_SAFE_INTEGER)) throw bad("the tensor is larger than any file", undefined, `${byteLength} bytes`);
  return Number(byteLength);
}

/** A u64 that is also an exact number: the format's integers, none of which can honestly be larger than a file. */
function parseSize(value: Json | undefined, what: string): number {
  if (typeof value === "bigint" && value > 0n) throw bad(what, "at most 2^53 - 1", jsonKind(value));
  if (typeof value !== "number" || value < 0) throw bad(what, "an unsigned integer", jsonKind(value));
  return value;
}

interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function parseEntry(name: string, value: Json): Entry {
  if (!(value instanceof Map)) throw bad("tensor entry", "an object", jsonKind(value));
  const dtype = value.get("dtype");
  if (typeof dtype !== "string" || !isDType(dtype)) throw bad("dtype", "one of the format's", jsonKind(dtype));
  const shape = value.get("shape");
  if (!Array.isArray(shape)) throw bad("shape", "an array", jsonKind(shape));
  const sizes = shape.map((size) => parseSize(size, "shape"));
  const offsets = value.get("data_offsets");
  if (!Array.isArray(offsets) || offsets.length !== 2)
    throw bad("data_offsets", "two numbers", Array.isArray(offsets) ? `${offsets.length}` : jsonKind(offsets));
  const begin = parseSize(offsets[0], "data_offsets");
  const end = parseSize(offsets[1], "data_offsets");
  if (end < begin) throw bad("data_offsets", "begin at most end", `[${begin}, ${end}]`);
  const byteLength = tensorByteLength(dtype, sizes);
  if (byteLength !== end - begin)
    throw bad(`data_offsets disagree with ${dtype} ${describeShape(sizes)}`, `${byteLength} bytes`, `${end - begin}`);
  return { name, dtype, shape: sizes, begin, end };
}

function parseMetadata(value: Json): Map<string, string> {
  if (value === null) return new Map();
  if (!(value instanceof Map)) throw bad(metadataKey, "an object of strings", jsonKind(value));
  const metadata = new Map<string, string>();
  for (const [key, text] of value) {
    if (typeof text !== "string") throw bad(`${metadataKey} ${quote(key)}`, "a string", jsonKind(text));
    metadata.set(key, text);
  }
  return metadata;
}

/**
 * The header's JSON (without the 8 length bytes) of a file whose tensor bytes number `dataByteLength`. Every rule of
 * the format is checked: UTF-8, first byte, padding, duplicate keys, dtype × shape = length, no overlap, no hole, no
 * trailing byte. Unknown keys inside a tensor's entry are passed over, as the reference does.
 * @throws GureumError "format".
 */
export function parseHeader(header: Uint8Array, dataByteLength: number): Pick<Safetensors, "metadata" | "tensors"> {
  if (header[0] !== 0x7b) throw bad("header", 'to start with "{"', header.length === 0 ? "nothing" : `0x${header[0]!.toString(16)}`);
  let end = header.length;
  while (header[end - 1] === 0x20) end--;
  if (header[end - 1] !== 0x7d) throw bad("header", 'to end with "}" and spaces', `0x${header[end - 1]!.toString(16)}`);
  let metadata: ReadonlyMap<string, string> = new Map();
  const entries: Entry[] = [];
  // What is no JSON is said first; then the first entry that is wrong.
  let wrong: unknown;
  const take = (name: string, value: Json): void => {
    try {
      if (name === metadataKey) metadata = parseMetadata(value);
      else entries.push(within(quote(name), () => parseEntry(name, value)));
    } catch (error) {
      wrong ??= error;
    }
  };
  within("header", () => parseMembers(header.subarray(0, end), (name) => (name === metadataKey ? maxMetadataBytes : maxEntryBytes), take));
  if (wrong !== undefined) throw wrong;
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const tensors = new Map<string, TensorInfo>();
  let at = 0;
  for (const { name, dtype, shape, begin, end: stop } of entries) {
    if (begin !== at)
      throw new GureumError("format", {
        where: quote(name),
        what: begin < at ? "overlaps the tensor before it" : "leaves a hole before it",
        expected: `begin ${at}`,
        got: `${begin}`,
      });
    tensors.set(name, { name, dtype, shape, byteOffset: 8 + header.length + begin, byteLength: stop - begin });
    at = stop;
  }
  if (at !== dataByteLength)
    throw new GureumError("format", {
      what: at < dataByteLength ? "trailing bytes after the last tensor" : "the file is cut off",
      expected: `${at} tensor bytes`,
      got: `${dataByteLength}`,
      ...(at > dataByteLength ? { remedy: "download it again" } : {}),
    });
  return { metadata, tensors };
}

/**
 * Reads and checks the header of `source`; no tensor is read. Memory: a small multiple of the header, which never
 * exceeds the file.
 * @throws GureumError "format" with the file's name, or what `source` throws.
 */
export function openSafetensors(source: ByteSource): Promise<Safetensors> {
  return withinAsync(source.name, async () => {
    if (source.byteLength < 8) throw bad("too short for a safetensors file", "at least 8 bytes", `${source.byteLength}`);
    const lengthBytes = await readBytes(source, 0, 8);
    const length = new DataView(lengthBytes.buffer).getBigUint64(0, true);
    const fits = length <= BigInt(maxHeaderBytes) && 8 + Number(length) <= source.byteLength;
    const foreign = fits ? null : foreignFile("", await readBytes(source, 0, Math.min(200, source.byteLength)), true);
    if (foreign) throw foreign;
    if (length > BigInt(maxHeaderBytes)) throw bad("header length", `at most ${maxHeaderBytes}`, `${length}`);
    const headerLength = Number(length);
    if (8 + headerLength > source.byteLength)
      throw bad("the file is cut off inside its header", `${8 + headerLength} bytes`, `${source.byteLength}`);
    const header = await readBytes(source, 8, headerLength);
    return { source, ...parseHeader(header, source.byteLength - 8 - headerLength) };
  });
}

/**
 * A tensor's bytes, little-endian as in the file, in an array of their own.
 * @throws GureumError "missing-tensor", "out-of-memory", or what the source throws.
 */
export async function readTensor(file: Safetensors, name: string): Promise<Uint8Array> {
  const info = file.tensors.get(name);
  if (!info) throw new GureumError("missing-tensor", { where: file.source.name, what: `no tensor ${quote(name)}` });
  const target = allocateBytes(info.byteLength, name);
  await file.source.readInto(info.byteOffset, target);
  return target;
}

/**
 * Zeroed bytes.
 * @throws GureumError "out-of-memory" where the JavaScript engine has no such array.
 */
export function allocateBytes(byteLength: number, where: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(byteLength);
  } catch (error) {
    throw new GureumError("out-of-memory", { where, what: `cannot allocate ${byteLength} bytes` }, error);
  }
}

/** A tensor to write: its bytes at once, or a producer of consecutive chunks that is called when their turn comes. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => AsyncIterable<Uint8Array> | Iterable<Uint8Array>);
}

const dtypeOrder: readonly string[] = Object.keys(dtypeBits);

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}

function checkWellFormed(text: string, what: string): void {
  if (/\p{Surrogate}/u.test(text)) throw new GureumError("usage", { where: quote(text), what: `lone surrogate in a ${what}` });
}

/**
 * Writes a file in the reference's order (dtype from widest to narrowest, then name by code point), so that the same
 * tensors give the same bytes whatever their order here. The header is padded with spaces to a multiple of 8.
 * @throws GureumError "usage" for a name that is reserved, repeated or not well-formed, or a header past the limit;
 * "shape" where an entry's bytes disagree with dtype × shape; what `sink` throws.
 */
export async function writeSafetensors(
  entries: readonly TensorEntry[],
  sink: ByteSink,
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  const seen = new Set<string>();
  const planned = entries.map((entry) => {
    checkWellFormed(entry.name, "tensor name");
    if (entry.name === metadataKey || seen.has(entry.name))
      throw new GureumError("usage", {
        where: quote(entry.name),
        what: seen.has(entry.name) ? "two tensors of one name" : "a reserved name",
      });
    seen.add(entry.name);
    return { entry, key: encodeUtf8(entry.name), byteLength: within(quote(entry.name), () => tensorByteLength(entry.dtype, entry.shape)) };
  });
  planned.sort((a, b) => dtypeOrder.indexOf(b.entry.dtype) - dtypeOrder.indexOf(a.entry.dtype) || compareBytes(a.key, b.key));

  const members: string[] = [];
  if (metadata.size > 0) {
    for (const text of [...metadata].flat()) checkWellFormed(text, "metadata string");
    const pairs = [...metadata].map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`);
    members.push(`"${metadataKey}":{${pairs.join(",")}}`);
  }
  let at = 0;
  for (const { entry, byteLength } of planned) {
    const { name, dtype, shape } = entry;
    members.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${at + byteLength}]}`);
    at += byteLength;
  }
  const json = encodeUtf8(`{${members.join(",")}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  if (headerLength > maxHeaderBytes)
    throw new GureumError("usage", { what: "header too long", expected: `at most ${maxHeaderBytes} bytes`, got: `${headerLength}` });
  const head = new Uint8Array(8 + headerLength).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerLength), true);
  head.set(json, 8);
  await sink(head);

  for (const { entry, byteLength } of planned) {
    let written = 0;
    const chunks = entry.data instanceof Uint8Array ? [entry.data] : entry.data();
    for await (const chunk of chunks) {
      written += chunk.length;
      if (written > byteLength) break;
      await sink(chunk);
    }
    if (written !== byteLength)
      throw new GureumError("shape", {
        where: quote(entry.name),
        what: `bytes given disagree with ${entry.dtype} ${describeShape(entry.shape)}`,
        expected: `${byteLength}`,
        got: written > byteLength ? `${written} or more` : `${written}`,
      });
  }
}

/** `writeSafetensors` into memory. */
export function encodeSafetensors(entries: readonly TensorEntry[], metadata?: ReadonlyMap<string, string>): Promise<Uint8Array> {
  return collectBytes((sink) => writeSafetensors(entries, sink, metadata));
}
