/** All kernels as one WebAssembly module. */
import { type FunctionRef, localOf, writeBody } from "../assembler/function.ts";
import { f64x2 } from "../assembler/instructions.ts";
import { assemble, type ImportedFunction, type ModuleFunction } from "../assembler/module.ts";
import { attention } from "./attention.ts";
import { awqMatmul } from "./awq-matmul.ts";
import { awqMatmulFixed16 } from "./awq-matmul-fixed16.ts";
import { awqMatmulRows } from "./awq-matmul-rows.ts";
import { exactAttention } from "./exact-attention.ts";
import { exactAwqRow } from "./exact-awq-row.ts";
import { exactAwqRows } from "./exact-awq-rows.ts";
import { exactMatmulBF16, exactMatmulF16, exactMatmulF32 } from "./exact-matmul.ts";
import { exactSiluMul } from "./exact-silu-mul.ts";
import { expandBF16, expandF16, expandF32, expandFixedBF16, expandFixedF16, expandFixedF32 } from "./expand.ts";
import type { Kernel, Surroundings } from "./kernel.ts";
import { largest } from "./largest.ts";
import { matmulBF16, matmulF16, matmulF32 } from "./matmul.ts";
import { rmsNorm } from "./rms-norm.ts";
import { tileProduct } from "./tile-product.ts";

/** In the order of the module: a kernel calls only earlier ones. */
export const kernels: readonly Kernel[] = [
  tileProduct,
  expandF16,
  expandBF16,
  expandF32,
  awqMatmul,
  awqMatmulRows,
  awqMatmulFixed16,
  matmulF16,
  matmulBF16,
  matmulF32,
  attention,
  rmsNorm,
  largest,
  exactAwqRow,
  exactAwqRows,
  expandFixedF16,
  expandFixedBF16,
  expandFixedF32,
  exactMatmulF16,
  exactMatmulBF16,
  exactMatmulF32,
  exactAttention,
  exactSiluMul,
];

export interface ModuleOptions {
  /** Whether the memory it is given is shared between threads. */
  readonly shared: boolean;
  /** Whether to use relaxed SIMD's fused multiply-add. */
  readonly relaxed: boolean;
}

/** The module's bytes. Exports each kernel under its name; imports `env.memory` and `env.exp`. */
export function kernelModule({ shared, relaxed }: ModuleOptions): Uint8Array<ArrayBuffer> {
  const exp = { name: "exp", index: 0, params: ["f64"], result: "f64" } as const satisfies ImportedFunction;
  const refs = new Map<string, FunctionRef>();
  const around: Surroundings = {
    exp,
    kernel: (name) => refs.get(name)!,
    madd: (acc, a, b) => (relaxed ? f64x2.relaxed_madd(a, b, acc) : f64x2.add(acc, f64x2.mul(a, b))),
  };
  const functions = kernels.map((kernel, i): ModuleFunction => {
    const locals = Object.fromEntries(kernel.params.map((name, index) => [name, localOf("i32", index)]));
    const ref: FunctionRef = { index: 1 + i, params: kernel.params.map(() => "i32" as const), result: null };
    const body = writeBody(kernel.params.length, (f) => kernel.write(f, locals, around));
    refs.set(kernel.name, ref);
    return { ...ref, name: kernel.name, body };
  });
  return assemble([exp], functions, shared);
}
