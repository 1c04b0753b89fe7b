/**
 * The file `tokenizer.model`: sentencepiece's ModelProto, read into a plain record.
 * Source: google/sentencepiece `src/sentencepiece_model.proto`, and the checks of `src/model_interface.cc`.
 * Only what encoding and decoding depend on is kept; a denormalizer and the word and char models are refused by name.
 */
import { GureumError, within } from "../core/errors.ts";
import { decodeUtf8 } from "../core/utf8.ts";
import { type Field, readFields } from "./protobuf.ts";

/** ModelProto.SentencePiece.Type, in words. */
export type PieceType = "normal" | "unknown" | "control" | "userDefined" | "unused" | "byte";

export interface SentencePiece {
  readonly piece: string;
  /** log probability (unigram) or minus the merge's rank (BPE); float32 */
  readonly score: number;
  readonly type: PieceType;
}

export interface SentencePieceModel {
  /** In the order of their ids. */
  readonly pieces: readonly SentencePiece[];
  readonly modelType: "bpe" | "unigram";
  readonly byteFallback: boolean;
  readonly treatWhitespaceAsSuffix: boolean;
  readonly unkSurface: string;
  readonly unkPiece: string;
  readonly bosPiece: string;
  readonly eosPiece: string;
  readonly padPiece: string;
  /** Empty: the identity. */
  readonly precompiledCharsmap: Uint8Array;
  readonly addDummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly escapeWhitespaces: boolean;
}

const pieceTypes: readonly (PieceType | undefined)[] = [undefined, "normal", "unknown", "control", "userDefined", "unused", "byte"];

function expectWireType(field: Field, wireType: Field["wireType"], name: string): void {
  if (field.wireType !== wireType)
    throw new GureumError("format", { where: name, what: "wrong wire type", expected: `${wireType}`, got: `${field.wireType}` });
}

function text(field: Field, name: string): string {
  expectWireType(field, 2, name);
  return within(name, () => decodeUtf8(field.bytes));
}

function flag(field: Field, name: string): boolean {
  expectWireType(field, 0, name);
  return field.value !== 0;
}

/** sentencepiece allows 8,000 bytes of text; the other fields take a few more. */
const maxPieceBytes = 8192;

function parsePiece(bytes: Uint8Array): SentencePiece {
  let piece = "";
  let score = 0;
  let type: PieceType = "normal";
  readFields(bytes, (field) => {
    if (field.number === 1) piece = text(field, "piece");
    else if (field.number === 2) {
      expectWireType(field, 5, "score");
      score = new DataView(field.bytes.buffer, field.bytes.byteOffset).getFloat32(0, true);
    } else if (field.number === 3) {
      expectWireType(field, 0, "type");
      const known = pieceTypes[field.value];
      if (!known)
        throw new GureumError("format", { where: "type", what: "unknown type of piece", expected: "1 to 6", got: `${field.value}` });
      type = known;
    }
  });
  if (bytes.length > maxPieceBytes)
    throw new GureumError("format", { what: "a piece is too long", expected: `under ${maxPieceBytes} bytes`, got: `${bytes.length}` });
  if (piece === "") throw new GureumError("format", { what: "a piece is empty" });
  if (piece.includes("\0")) throw new GureumError("format", { what: "a piece holds U+0000" });
  if (!Number.isFinite(score)) throw new GureumError("non-finite", { where: "score", what: "not a number", got: `${score}` });
  return { piece, score, type };
}

/** The rules of `InitializePieces`: no piece twice in its map, one unknown piece, all 256 bytes or none. */
function checkPieces(pieces: readonly SentencePiece[], byteFallback: boolean): void {
  if (pieces.length === 0) throw new GureumError("format", { what: "no pieces", expected: "a sentencepiece model" });
  const ordinary = new Set<string>();
  const reserved = new Set<string>();
  let unknown = 0;
  const bytes = new Set<string>();
  for (const [id, { piece, type }] of pieces.entries()) {
    const names = type === "normal" || type === "userDefined" || type === "unused" ? ordinary : reserved;
    if (names.has(piece)) throw new GureumError("format", { where: `piece ${id}`, what: `"${piece}" is defined twice` });
    names.add(piece);
    if (type === "unknown" && ++unknown > 1) throw new GureumError("format", { where: `piece ${id}`, what: "a second unknown piece" });
    if (type === "byte") {
      if (!byteFallback) throw new GureumError("format", { where: `piece ${id}`, what: "a byte piece in a model without byte_fallback" });
      if (!/^<0x[0-9A-F]{2}>$/.test(piece))
        throw new GureumError("format", { where: `piece ${id}`, what: "not a byte piece", expected: "<0x00> to <0xFF>", got: piece });
      bytes.add(piece);
    }
  }
  if (unknown === 0) throw new GureumError("format", { what: "no unknown piece" });
  if (byteFallback && bytes.size !== 256)
    throw new GureumError("format", { what: "byte_fallback without all byte pieces", expected: "256", got: `${bytes.size}` });
}

/**
 * Bytes of a `tokenizer.model` to its record.
 * @throws GureumError "format" where they are not one, "non-finite" for a score, "unsupported" for the word and char models.
 */
export function parseSentencePieceModel(bytes: Uint8Array): SentencePieceModel {
  const pieces: SentencePiece[] = [];
  let modelType = 1;
  const model = {
    byteFallback: false,
    treatWhitespaceAsSuffix: false,
    unkSurface: " \u2047 ",
    unkPiece: "<unk>",
    bosPiece: "<s>",
    eosPiece: "</s>",
    padPiece: "<pad>",
    precompiledCharsmap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
    escapeWhitespaces: true,
  };
  const trainerField = (field: Field): void => {
    if (field.number === 3) {
      expectWireType(field, 0, "model_type");
      modelType = field.value;
    } else if (field.number === 24) model.treatWhitespaceAsSuffix = flag(field, "treat_whitespace_as_suffix");
    else if (field.number === 35) model.byteFallback = flag(field, "byte_fallback");
    else if (field.number === 44) model.unkSurface = text(field, "unk_surface");
    else if (field.number === 45) model.unkPiece = text(field, "unk_piece");
    else if (field.number === 46) model.bosPiece = text(field, "bos_piece");
    else if (field.number === 47) model.eosPiece = text(field, "eos_piece");
    else if (field.number === 48) model.padPiece = text(field, "pad_piece");
  };
  const normalizerField = (field: Field): void => {
    if (field.number === 2) {
      expectWireType(field, 2, "precompiled_charsmap");
      model.precompiledCharsmap = new Uint8Array(field.bytes);
    } else if (field.number === 3) model.addDummyPrefix = flag(field, "add_dummy_prefix");
    else if (field.number === 4) model.removeExtraWhitespaces = flag(field, "remove_extra_whitespaces");
    else if (field.number === 5) model.escapeWhitespaces = flag(field, "escape_whitespaces");
  };
  readFields(bytes, (field) => {
    if (field.number < 1 || field.number > 5) return;
    const name = ["", `piece ${pieces.length}`, "trainer_spec", "normalizer_spec", "self_test_data", "denormalizer_spec"][field.number]!;
    expectWireType(field, 2, name);
    within(name, () => {
      if (field.number === 1) pieces.push(parsePiece(field.bytes));
      else if (field.number === 2) readFields(field.bytes, trainerField);
      else if (field.number === 3) readFields(field.bytes, normalizerField);
      else if (field.number === 5)
        readFields(field.bytes, (inner) => {
          if (inner.number === 2 && inner.bytes.length > 0)
            throw new GureumError("unsupported", { where: "precompiled_charsmap", what: "a denormalizer is not supported" });
        });
    });
  });
  if (modelType !== 1 && modelType !== 2)
    throw new GureumError(modelType === 3 || modelType === 4 ? "unsupported" : "format", {
      where: "trainer_spec > model_type",
      what: "this kind of model is not supported",
      expected: "1 (unigram) or 2 (BPE)",
      got: `${modelType}`,
    });
  checkPieces(pieces, model.byteFallback);
  return { ...model, pieces, modelType: modelType === 2 ? "bpe" : "unigram" };
}
