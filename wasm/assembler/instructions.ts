/**
 * WebAssembly's instructions as typed functions, under the specification's own names: `f64x2.mul(a, b)` is the value that
 * `a b f64x2.mul` leaves. Only what kernels here use is listed.
 * Source: WebAssembly Core Specification 2.0, 5.4 (instructions); relaxed SIMD proposal for `relaxed_madd`.
 */
import { signed, unsigned, type Value, type ValueType } from "./value.ts";

type Unary<A extends ValueType, R extends ValueType = A> = (a: Value<A>) => Value<R>;
type Binary<A extends ValueType, R extends ValueType = A> = (a: Value<A>, b: Value<A>) => Value<R>;
/** A vector and a number of bits. */
type Shift = (a: Value<"v128">, bits: number) => Value<"v128">;
/** Reads memory at address + offset; any alignment. */
type Load<R extends ValueType> = (address: Value<"i32">, offset?: number) => Value<R>;
type Extract<R extends ValueType> = (a: Value<"v128">, lane: number) => Value<R>;
type Replace<L extends ValueType> = (a: Value<"v128">, lane: number, value: Value<L>) => Value<"v128">;
/** An instruction that leaves nothing. */
export interface Statement {
  readonly code: readonly number[];
}
type Store<A extends ValueType> = (address: Value<"i32">, value: Value<A>, offset?: number) => Statement;

const SIMD = 0xfd;
const simd = (opcode: number): number[] => [SIMD, ...unsigned(opcode)];
/** Alignment hint 2^0, then the offset. */
const memory = (offset: number): number[] => [0, ...unsigned(offset)];

const unary =
  <A extends ValueType, R extends ValueType>(type: R, opcode: readonly number[]): Unary<A, R> =>
  (a) => ({ type, code: [...a.code, ...opcode] });
const binary =
  <A extends ValueType, R extends ValueType>(type: R, opcode: readonly number[]): Binary<A, R> =>
  (a, b) => ({ type, code: [...a.code, ...b.code, ...opcode] });
const load =
  <R extends ValueType>(type: R, opcode: readonly number[]): Load<R> =>
  (address, offset = 0) => ({ type, code: [...address.code, ...opcode, ...memory(offset)] });
const store =
  <A extends ValueType>(opcode: readonly number[]): Store<A> =>
  (address, value, offset = 0) => ({ code: [...address.code, ...value.code, ...opcode, ...memory(offset)] });
const shift =
  (opcode: number): Shift =>
  (a, bits) => ({ type: "v128", code: [...a.code, ...i32.const(bits).code, ...simd(opcode)] });
const extract =
  <R extends ValueType>(type: R, opcode: number): Extract<R> =>
  (a, lane) => ({ type, code: [...a.code, ...simd(opcode), lane] });
const replace =
  <L extends ValueType>(opcode: number): Replace<L> =>
  (a, lane, value) => ({ type: "v128", code: [...a.code, ...value.code, ...simd(opcode), lane] });

/** The same builder for each name of a table of opcodes. */
function each<K extends string, F>(opcodes: Readonly<Record<K, number>>, make: (opcode: number) => F): Readonly<Record<K, F>> {
  return Object.fromEntries(Object.entries<number>(opcodes).map(([name, opcode]) => [name, make(opcode)])) as Record<K, F>;
}
const v128Unary = (opcode: number): Unary<"v128"> => unary("v128", simd(opcode));
const v128Binary = (opcode: number): Binary<"v128"> => binary("v128", simd(opcode));

/** Either of two values: `a` where the condition is not 0. */
export const select = <T extends ValueType>(condition: Value<"i32">, a: Value<T>, b: Value<T>): Value<T> => ({
  type: a.type,
  code: [...a.code, ...b.code, ...condition.code, 0x1b],
});

type I32Binary = "add" | "sub" | "mul" | "and" | "or" | "shl" | "shr_s" | "shr_u" | "div_u" | "eq" | "ne" | "lt_u" | "gt_u" | "ge_u";
/** Addresses, counts and bits; comparisons give 1 or 0. */
export const i32: Readonly<Record<I32Binary, Binary<"i32">>> & {
  readonly const: (n: number) => Value<"i32">;
  readonly eqz: Unary<"i32">;
  readonly wrap_i64: Unary<"i64", "i32">;
  readonly trunc_f64_s: Unary<"f64", "i32">;
  readonly reinterpret_f32: Unary<"f32", "i32">;
  readonly load: Load<"i32">;
  readonly load16_s: Load<"i32">;
  readonly load16_u: Load<"i32">;
} = {
  const: (n) => ({ type: "i32", code: [0x41, ...signed(BigInt(n | 0))] }),
  eqz: unary("i32", [0x45]),
  wrap_i64: unary("i32", [0xa7]),
  trunc_f64_s: unary("i32", [0xaa]),
  reinterpret_f32: unary("i32", [0xbc]),
  load16_s: load("i32", [0x2e]),
  load: load("i32", [0x28]),
  load16_u: load("i32", [0x2f]),
  ...each(
    {
      eq: 0x46,
      ne: 0x47,
      lt_u: 0x49,
      gt_u: 0x4b,
      ge_u: 0x4f,
      add: 0x6a,
      sub: 0x6b,
      mul: 0x6c,
      div_u: 0x6e,
      and: 0x71,
      or: 0x72,
      shl: 0x74,
      shr_s: 0x75,
      shr_u: 0x76,
    },
    (opcode): Binary<"i32"> => binary("i32", [opcode]),
  ),
};

type I64Binary = "add" | "sub" | "mul" | "div_u" | "and" | "or" | "shl" | "shr_s" | "shr_u";
export const i64: Readonly<Record<I64Binary, Binary<"i64">>> & {
  readonly const: (n: bigint) => Value<"i64">;
  readonly eqz: Unary<"i64", "i32">;
  readonly extend_i32_s: Unary<"i32", "i64">;
  readonly extend_i32_u: Unary<"i32", "i64">;
  readonly reinterpret_f64: Unary<"f64", "i64">;
} = {
  const: (n) => ({ type: "i64", code: [0x42, ...signed(BigInt.asIntN(64, n))] }),
  eqz: unary("i32", [0x50]),
  extend_i32_s: unary("i64", [0xac]),
  extend_i32_u: unary("i64", [0xad]),
  reinterpret_f64: unary("i64", [0xbd]),
  ...each(
    { add: 0x7c, sub: 0x7d, mul: 0x7e, div_u: 0x80, and: 0x83, or: 0x84, shl: 0x86, shr_s: 0x87, shr_u: 0x88 },
    (opcode): Binary<"i64"> => binary("i64", [opcode]),
  ),
};

export const f32: {
  readonly load: Load<"f32">;
  readonly store: Store<"f32">;
  readonly demote_f64: Unary<"f64", "f32">;
  readonly mul: Binary<"f32">;
  readonly add: Binary<"f32">;
  readonly min: Binary<"f32">;
  readonly max: Binary<"f32">;
  readonly const: (x: number) => Value<"f32">;
  readonly abs: Unary<"f32">;
  readonly convert_i64_u: Unary<"i64", "f32">;
} = {
  load: load("f32", [0x2a]),
  abs: unary("f32", [0x8b]),
  convert_i64_u: unary("f32", [0xb5]),
  min: binary("f32", [0x96]),
  max: binary("f32", [0x97]),
  const: (x) => ({ type: "f32", code: [0x43, ...bytesOf([x], 4, (view, at, value) => view.setFloat32(at, value, true))] }),
  store: store([0x38]),
  demote_f64: unary("f32", [0xb6]),
  mul: binary("f32", [0x94]),
  add: binary("f32", [0x92]),
};

/** The little-endian bytes of some numbers, `width` bytes each. */
function bytesOf<T>(values: readonly T[], width: number, set: (view: DataView, at: number, value: T) => void): number[] {
  const view = new DataView(new ArrayBuffer(width * values.length));
  for (const [i, value] of values.entries()) set(view, width * i, value);
  return Array.from(new Uint8Array(view.buffer));
}
const bytesOfF64 = (values: readonly number[]): number[] => bytesOf(values, 8, (view, at, x) => view.setFloat64(at, x, true));

export const f64: Readonly<Record<"add" | "sub" | "mul" | "div" | "min" | "max", Binary<"f64">>> & {
  readonly const: (x: number) => Value<"f64">;
  readonly load: Load<"f64">;
  readonly store: Store<"f64">;
  readonly sqrt: Unary<"f64">;
  readonly promote_f32: Unary<"f32", "f64">;
  readonly floor: Unary<"f64">;
  readonly convert_i32_s: Unary<"i32", "f64">;
  readonly convert_i64_u: Unary<"i64", "f64">;
  readonly reinterpret_i64: Unary<"i64", "f64">;
  readonly abs: Unary<"f64">;
  readonly gt: Binary<"f64", "i32">;
  readonly lt: Binary<"f64", "i32">;
  readonly eq: Binary<"f64", "i32">;
} = {
  const: (x) => ({ type: "f64", code: [0x44, ...bytesOfF64([x])] }),
  load: load("f64", [0x2b]),
  store: store([0x39]),
  sqrt: unary("f64", [0x9f]),
  promote_f32: unary("f64", [0xbb]),
  floor: unary("f64", [0x9c]),
  convert_i32_s: unary("f64", [0xb7]),
  convert_i64_u: unary("f64", [0xba]),
  reinterpret_i64: unary("f64", [0xbf]),
  abs: unary("f64", [0x99]),
  gt: binary("i32", [0x64]),
  lt: binary("i32", [0x63]),
  eq: binary("i32", [0x61]),
  ...each({ add: 0xa0, sub: 0xa1, mul: 0xa2, div: 0xa3, min: 0xa4, max: 0xa5 }, (opcode): Binary<"f64"> => binary("f64", [opcode])),
};

/** Vectors of 128 bits, whatever their lanes. */
export const v128: Readonly<Record<"and" | "or" | "xor", Binary<"v128">>> & {
  readonly load: Load<"v128">;
  /** Two 32-bit words, each zero-extended to 64 bits. */
  readonly load32x2_u: Load<"v128">;
  readonly load32_splat: Load<"v128">;
  readonly load64_splat: Load<"v128">;
  /** 64 bits, the upper half zero. */
  readonly load64_zero: Load<"v128">;
  readonly store: Store<"v128">;
  readonly any_true: Unary<"v128", "i32">;
} = {
  load: load("v128", simd(0x00)),
  load32x2_u: load("v128", simd(0x06)),
  load32_splat: load("v128", simd(0x09)),
  load64_splat: load("v128", simd(0x0a)),
  load64_zero: load("v128", simd(0x5d)),
  store: store(simd(0x0b)),
  any_true: unary("i32", simd(0x53)),
  ...each({ and: 0x4e, or: 0x50, xor: 0x51 }, v128Binary),
};

const constant = (bytes: readonly number[]): Value<"v128"> => ({ type: "v128", code: [...simd(0x0c), ...bytes] });

export const i8x16: {
  /** Byte i of the result is byte lanes[i] of a (0..15) and b (16..31). */
  readonly shuffle: (a: Value<"v128">, b: Value<"v128">, lanes: readonly number[]) => Value<"v128">;
} = {
  shuffle: (a, b, lanes) => ({ type: "v128", code: [...a.code, ...b.code, ...simd(0x0d), ...lanes] }),
};

/** A shuffle of lanes of `width` bytes: lane i of the result is lane lanes[i] of a and b side by side. */
export const shuffleLanes = (a: Value<"v128">, b: Value<"v128">, width: number, lanes: readonly number[]): Value<"v128"> =>
  i8x16.shuffle(
    a,
    b,
    lanes.flatMap((lane) => Array.from({ length: width }, (_, i) => lane * width + i)),
  );

export const i16x8: Readonly<Record<"add" | "sub" | "max_s" | "eq", Binary<"v128">>> &
  Readonly<Record<"shl" | "shr_s" | "shr_u", Shift>> & {
    readonly splat: Unary<"i32", "v128">;
  } = {
  splat: unary("v128", simd(0x10)),
  ...each({ eq: 0x2d, add: 0x8e, sub: 0x91, max_s: 0x98 }, v128Binary),
  ...each({ shl: 0x8b, shr_s: 0x8c, shr_u: 0x8d }, shift),
};

export const i32x4: Readonly<Record<"add" | "sub" | "mul" | "eq" | "gt_s" | "dot_i16x8_s", Binary<"v128">>> &
  Readonly<Record<"shl" | "shr_s" | "shr_u", Shift>> &
  Readonly<Record<"extend_low_i16x8_u" | "extend_high_i16x8_u" | "extend_low_i16x8_s" | "extend_high_i16x8_s", Unary<"v128">>> & {
    readonly const: (a: number, b: number, c: number, d: number) => Value<"v128">;
    readonly splat: Unary<"i32", "v128">;
  } = {
  const: (...lanes) => constant(bytesOf(lanes, 4, (view, at, n) => view.setInt32(at, n, true))),
  splat: unary("v128", simd(0x11)),
  ...each({ eq: 0x37, gt_s: 0x3b, add: 0xae, sub: 0xb1, mul: 0xb5, dot_i16x8_s: 0xba }, v128Binary),
  ...each({ shl: 0xab, shr_s: 0xac, shr_u: 0xad }, shift),
  ...each({ extend_low_i16x8_s: 0xa7, extend_high_i16x8_s: 0xa8, extend_low_i16x8_u: 0xa9, extend_high_i16x8_u: 0xaa }, v128Unary),
};

export const i64x2: { readonly const: (a: bigint, b: bigint) => Value<"v128"> } = {
  const: (...lanes) => constant(bytesOf(lanes, 8, (view, at, n) => view.setBigUint64(at, BigInt.asUintN(64, n), true))),
};

export const f32x4: Readonly<Record<"add" | "mul", Binary<"v128">>> &
  Readonly<Record<"convert_i32x4_s" | "demote_f64x2_zero", Unary<"v128">>> & {
    readonly splat: Unary<"f32", "v128">;
    readonly extract_lane: Extract<"f32">;
    readonly const: (x: number) => Value<"v128">;
  } = {
  splat: unary("v128", simd(0x13)),
  extract_lane: extract("f32", 0x1f),
  const: (x) => constant(bytesOf([x, x, x, x], 4, (view, at, value) => view.setFloat32(at, value, true))),
  ...each({ add: 0xe4, mul: 0xe6 }, v128Binary),
  ...each({ convert_i32x4_s: 0xfa, demote_f64x2_zero: 0x5e }, v128Unary),
};

export const f64x2: Readonly<Record<"add" | "sub" | "mul" | "div", Binary<"v128">>> &
  Readonly<Record<"sqrt" | "promote_low_f32x4" | "convert_low_i32x4_s", Unary<"v128">>> & {
    readonly splat: Unary<"f64", "v128">;
    readonly extract_lane: Extract<"f64">;
    readonly replace_lane: Replace<"f64">;
    readonly const: (a: number, b: number) => Value<"v128">;
    /** a · b + c, rounded once or twice as the host pleases. */
    readonly relaxed_madd: (a: Value<"v128">, b: Value<"v128">, c: Value<"v128">) => Value<"v128">;
  } = {
  splat: unary("v128", simd(0x14)),
  extract_lane: extract("f64", 0x21),
  replace_lane: replace(0x22),
  const: (...lanes) => constant(bytesOfF64(lanes)),
  relaxed_madd: (a, b, c) => ({ type: "v128", code: [...a.code, ...b.code, ...c.code, ...simd(0x107)] }),
  ...each({ add: 0xf0, sub: 0xf1, mul: 0xf2, div: 0xf3 }, v128Binary),
  ...each({ sqrt: 0xef, promote_low_f32x4: 0x5f, convert_low_i32x4_s: 0xfe }, v128Unary),
};
