/**
 * The contract of a kernel: one static WGSL string and the record that says how to call it. A kernel is data;
 * conformance/test/gpu/kernels.test.ts compares every record with its WGSL and compiles it on Dawn's null backend.
 */
import { GureumError } from "../../core/errors.ts";
import type { Needs } from "../device/capabilities.ts";

/** How a binding is declared: `var<storage, read>`, `var<storage, read_write>`, `var<uniform>`. */
export type BindingKind = "read" | "readWrite" | "uniform";
export type ScalarType = "u32" | "i32" | "f32";

/**
 * A compute kernel with entry point `main`.
 * In its WGSL, binding i of `bindings` is `@group(0) @binding(i)` under the same name; where `params` is not empty the uniform
 * `params: Params` follows as the next binding, a struct of exactly these 4-byte fields in this order.
 */
export interface Kernel<Buffers extends string = string, Params extends string = string> extends Needs {
  /** The file's name: also GPU label, law and benchmark. */
  readonly name: string;
  readonly wgsl: string;
  readonly bindings: Readonly<Record<Buffers, BindingKind>>;
  readonly params: Readonly<Record<Params, ScalarType>>;
  /** `override` declarations, set when the pipeline is made. */
  readonly overrides?: Readonly<Record<string, ScalarType | "bool">>;
  /** Names of `const NAME = …;` and `alias NAME = …;` lines (each on a line of its own) that `emitted` may replace. */
  readonly emits?: readonly string[];
}

/** Load-time constants of a pipeline. */
export interface Constants {
  readonly overrides?: Readonly<Record<string, number | boolean>>;
  /** Right-hand sides for the lines named in `emits`. */
  readonly emitted?: Readonly<Record<string, string | number>>;
}

/** The kernel's WGSL with the `emitted` lines put in place of its own. @throws GureumError "usage" for an unknown name */
export function emit(kernel: Kernel, emitted: Constants["emitted"] = {}): string {
  let wgsl = kernel.wgsl;
  for (const [name, value] of Object.entries(emitted)) {
    const line = new RegExp(`^(const|alias) ${name}\\b([^=]*)=[^;]*;`, "m");
    if (!kernel.emits?.includes(name) || !line.test(wgsl))
      throw new GureumError("usage", { where: kernel.name, what: "no such emitted constant", got: name });
    wgsl = wgsl.replace(line, (_all, keyword: string, type: string) => `${keyword} ${name}${type}= ${value};`);
  }
  return wgsl;
}

/** Bytes of a kernel's Params struct as a uniform: a multiple of 16; 0 without params. */
export const paramsByteLength = (kernel: Kernel): number => Math.ceil(Object.keys(kernel.params).length / 4) * 16;
