/** Writers for what the tokenizer room reads: sentencepiece's ModelProto and its charsmap (a Darts double array). */
import { encodeUtf8 } from "../../../core/utf8.ts";
import type { SentencePieceModel } from "../../../tokenizer/sentencepiece-model.ts";

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

const lengthDelimited = (number: number, bytes: ArrayLike<number>): number[] => [
  ...varint(number * 8 + 2),
  ...varint(bytes.length),
  ...Array.from(bytes),
];
const flag = (number: number, value: boolean): number[] => [...varint(number * 8), value ? 1 : 0];
const float32 = (number: number, value: number): number[] => [...varint(number * 8 + 5), ...new Uint8Array(Float32Array.of(value).buffer)];

const types = ["", "normal", "unknown", "control", "userDefined", "unused", "byte"];

/** A model without a piece of its own says what its parts are by these. */
export const plainModel: Omit<SentencePieceModel, "pieces"> = {
  modelType: "bpe",
  byteFallback: false,
  treatWhitespaceAsSuffix: false,
  unkSurface: " \u2047 ",
  unkPiece: "<unk>",
  bosPiece: "<s>",
  eosPiece: "</s>",
  padPiece: "<pad>",
  precompiledCharsmap: new Uint8Array(0),
  addDummyPrefix: false,
  removeExtraWhitespaces: false,
  escapeWhitespaces: true,
};

/** `tokenizer.model` bytes of a model. */
export function writeModel(model: SentencePieceModel): Uint8Array {
  const bytes: number[] = [];
  for (const { piece, score, type } of model.pieces)
    for (const byte of lengthDelimited(1, [
      ...lengthDelimited(1, encodeUtf8(piece)),
      ...float32(2, score),
      ...varint(3 * 8),
      ...varint(types.indexOf(type)),
    ]))
      bytes.push(byte);
  const trainer = [
    ...varint(3 * 8),
    model.modelType === "bpe" ? 2 : 1,
    ...flag(24, model.treatWhitespaceAsSuffix),
    ...flag(35, model.byteFallback),
    ...lengthDelimited(44, encodeUtf8(model.unkSurface)),
    ...lengthDelimited(45, encodeUtf8(model.unkPiece)),
    ...lengthDelimited(46, encodeUtf8(model.bosPiece)),
    ...lengthDelimited(47, encodeUtf8(model.eosPiece)),
    ...lengthDelimited(48, encodeUtf8(model.padPiece)),
  ];
  const normalizer = [
    ...lengthDelimited(2, model.precompiledCharsmap),
    ...flag(3, model.addDummyPrefix),
    ...flag(4, model.removeExtraWhitespaces),
    ...flag(5, model.escapeWhitespaces),
  ];
  return Uint8Array.from([...bytes, ...lengthDelimited(2, trainer), ...lengthDelimited(3, normalizer)]);
}

/** The 256 byte pieces. */
export const bytePieces: readonly { piece: string; score: number; type: "byte" }[] = Array.from({ length: 256 }, (_, byte) => ({
  piece: `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  score: 0,
  type: "byte",
}));

interface Node {
  readonly children: Map<number, Node>;
  value: number;
}

/** `precompiled_charsmap` bytes of rules "key becomes value"; keys are not empty. */
export function writeCharsmap(rules: ReadonlyMap<string, string>): Uint8Array {
  const root: Node = { children: new Map(), value: -1 };
  const blob: number[] = [];
  for (const [key, value] of rules) {
    let node = root;
    for (const byte of encodeUtf8(key)) {
      const child: Node = node.children.get(byte) ?? { children: new Map(), value: -1 };
      node.children.set(byte, child);
      node = child;
    }
    node.value = blob.length;
    blob.push(...encodeUtf8(value), 0);
  }
  const units = new Map<number, number>([[0, 0]]);
  // A unit's label says which byte led to it, not from where: no two nodes may have the same base.
  const bases = new Set<number>();
  const place = (node: Node, index: number, label: number): void => {
    const labels = [...node.children.keys()];
    if (node.value >= 0) labels.push(0);
    let base = 1;
    while (bases.has(base) || labels.some((l) => units.has(base ^ l))) base++;
    bases.add(base);
    units.set(index, (((index ^ base) << 10) | (node.value >= 0 ? 0x100 : 0) | label) >>> 0);
    for (const l of labels) units.set(base ^ l, 0);
    if (node.value >= 0) units.set(base, (0x80000000 | node.value) >>> 0);
    for (const [l, child] of node.children) place(child, base ^ l, l);
  };
  place(root, 0, 0);
  const size = Math.max(...units.keys()) + 1;
  const bytes = new DataView(new ArrayBuffer(4 + 4 * size));
  bytes.setUint32(0, 4 * size, true);
  for (const [index, unit] of units) bytes.setUint32(4 + 4 * index, unit, true);
  return Uint8Array.from([...new Uint8Array(bytes.buffer), ...blob]);
}
