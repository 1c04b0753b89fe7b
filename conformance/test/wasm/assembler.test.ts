/** The assembler: what it writes is what the specification says, and computes what JavaScript computes. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Body, localOf, writeBody } from "../../../wasm/assembler/function.ts";
import { f64, f64x2, i32, i32x4, i64x2, type Statement, shuffleLanes, v128 } from "../../../wasm/assembler/instructions.ts";
import { assemble, type ModuleFunction } from "../../../wasm/assembler/module.ts";
import { type Local, signed, sized, unsigned } from "../../../wasm/assembler/value.ts";
import { kernelModule, kernels } from "../../../wasm/kernels/module.ts";

/** The parts of JavaScript's interface that these tests use. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (descriptor: { initial: number }) => { buffer: ArrayBuffer };
    Module: new (bytes: Uint8Array) => object;
    Instance: new (module: object, imports: object) => { exports: Record<string, (...args: number[]) => number> };
    validate(bytes: Uint8Array): boolean;
  };
};

/** A module of one function over i32 parameters. */
function compiled(paramCount: number, write: (f: Body, params: readonly Local<"i32">[]) => void) {
  const params = Array.from({ length: paramCount }, (_, i) => localOf("i32", i));
  const run: ModuleFunction = {
    name: "run",
    index: 0,
    params: params.map(() => "i32" as const),
    result: null,
    body: writeBody(paramCount, (f) => write(f, params)),
  };
  const memory = new WebAssembly.Memory({ initial: 1 });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(assemble([], [run], false)), { env: { memory } });
  return { run: exports.run!, view: new DataView(memory.buffer) };
}
/** i32.store, which no kernel needs. */
const storeI32 = (address: number, value: Local<"i32">): Statement => ({
  code: [...i32.const(address).code, ...value.code, 0x36, 0, 0],
});

describe("numbers in LEB128", () => {
  const read = (bytes: readonly number[], isSigned: boolean): bigint => {
    const value = bytes.reduce((sum, byte, i) => sum | (BigInt(byte & 127) << BigInt(7 * i)), 0n);
    return isSigned ? BigInt.asIntN(7 * bytes.length, value) : value;
  };
  it("read back, in the fewest bytes, all but the last with their top bit set", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n, s) => {
        for (const [bytes, value, isSigned] of [
          [unsigned(n), BigInt(n), false],
          [signed(s), s, true],
        ] as const) {
          expect(read(bytes, isSigned)).toBe(value);
          expect(bytes.every((byte, i) => byte > 127 === i < bytes.length - 1)).toBe(true);
          const shorter = bytes.slice(0, -1);
          if (shorter.length > 0) expect(read([...shorter.slice(0, -1), shorter.at(-1)! & 127], isSigned)).not.toBe(value);
        }
      }),
    );
  });

  it("are those of the specification's examples", () => {
    expect(unsigned(624485)).toEqual([0xe5, 0x8e, 0x26]);
    expect(signed(-123456n)).toEqual([0xc0, 0xbb, 0x78]);
    expect(sized([1, 2])).toEqual([2, 1, 2]);
  });
});

describe("a written function", () => {
  it("computes i32 as JavaScript does", () => {
    const cases = {
      add: (a: number, b: number) => (a + b) | 0,
      sub: (a: number, b: number) => (a - b) | 0,
      mul: (a: number, b: number) => Math.imul(a, b),
      and: (a: number, b: number) => a & b,
      or: (a: number, b: number) => a | b,
      shl: (a: number, b: number) => a << b,
      shr_s: (a: number, b: number) => a >> b,
      shr_u: (a: number, b: number) => (a >>> b) | 0,
      lt_u: (a: number, b: number) => (a >>> 0 < b >>> 0 ? 1 : 0),
      gt_u: (a: number, b: number) => (a >>> 0 > b >>> 0 ? 1 : 0),
      ge_u: (a: number, b: number) => (a >>> 0 >= b >>> 0 ? 1 : 0),
      eq: (a: number, b: number) => (a === b ? 1 : 0),
      ne: (a: number, b: number) => (a !== b ? 1 : 0),
    } as const;
    for (const [name, expected] of Object.entries(cases)) {
      const { run, view } = compiled(2, (f, [a, b]) => {
        const result = f.local("i32");
        f.set(result, i32[name as keyof typeof cases](a!, b!));
        f.do(storeI32(0, result));
      });
      fc.assert(
        fc.property(fc.integer(), fc.integer(), (a, b) => {
          run(a, b);
          expect(view.getInt32(0, true), name).toBe(expected(a, b));
        }),
        { numRuns: 50 },
      );
    }
  });

  it("loops while the count is below its end, not at all where it begins there, and takes the branch that holds", () => {
    const { run, view } = compiled(3, (f, [from, to, step]) => {
      const [i, sum] = f.locals("i32", 2) as [Local<"i32">, Local<"i32">];
      f.for(i, from!, to!, step!, () =>
        f.if(
          i32.and(i, i32.const(1)),
          () => f.set(sum, i32.add(sum, i)),
          () => f.set(sum, i32.sub(sum, i32.const(1000))),
        ),
      );
      f.do(storeI32(0, sum));
    });
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), fc.integer({ min: 1, max: 9 }), (from, to, step) => {
        let sum = 0;
        for (let i = from; i < to; i += step) sum += i % 2 === 1 ? i : -1000;
        run(from, to, step);
        expect(view.getInt32(0, true)).toBe(sum);
      }),
    );
  });

  it("keeps constants' bits, lanes' order and offsets", () => {
    const { run, view } = compiled(0, (f) => {
      const zero = i32.const(0);
      f.do(v128.store(zero, i32x4.const(1, -2, 0x7fffffff, -0x80000000), 16));
      f.do(v128.store(zero, f64x2.const(-0, 2 ** -1074), 32));
      f.do(v128.store(zero, i64x2.const(0x4330000000000000n, -1n), 48));
      f.do(f64.store(zero, f64.const(Math.PI), 64));
      f.do(v128.store(zero, shuffleLanes(v128.load(zero, 16), i32x4.const(5, 6, 7, 8), 4, [3, 4, 0, 7]), 80));
    });
    run();
    expect([0, 4, 8, 12].map((at) => view.getInt32(16 + at, true))).toEqual([1, -2, 0x7fffffff, -0x80000000]);
    expect([view.getFloat64(32, true), view.getFloat64(40, true)]).toEqual([-0, 2 ** -1074]);
    expect([view.getBigUint64(48, true), view.getBigInt64(56, true)]).toEqual([0x4330000000000000n, -1n]);
    expect(view.getFloat64(64, true)).toBe(Math.PI);
    expect([0, 4, 8, 12].map((at) => view.getInt32(80 + at, true))).toEqual([-0x80000000, 5, 1, 8]);
  });
});

describe("the kernels' module", () => {
  it.each([true, false])("is valid, for memory that is shared: %s", (shared) => {
    expect(WebAssembly.validate(kernelModule({ shared, relaxed: false }))).toBe(true);
  });

  it("is small, and names each kernel once", () => {
    expect(kernelModule({ shared: true, relaxed: false }).length).toBeLessThan(65_536);
    expect(new Set(kernels.map(({ name }) => name)).size).toBe(kernels.length);
  });

  it("fuses multiply-adds where relaxed SIMD is there, and nothing else changes", () => {
    const [fused, plain] = [true, false].map((relaxed) => kernelModule({ shared: true, relaxed }).length);
    expect(fused).toBeLessThan(plain!);
  });
});
