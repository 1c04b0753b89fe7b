/**
 * The part of JavaScript's WebAssembly interface that is used here, typed by hand because neither lib es2023 nor a host's types are at
 * hand in this room, and what the host allows. Source: WebAssembly JavaScript Interface 2.0; threads and relaxed SIMD proposals.
 */
import { GureumError } from "../core/errors.ts";
import { kernelModule } from "./kernels/module.ts";

export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
}
/** A compiled module; it can be sent to workers. */
export interface WasmModule {
  readonly module?: never;
}
/** scratch, from, to, then the kernel's own parameters. */
export type KernelFunction = (...args: number[]) => void;
interface WasmApi {
  readonly Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
  readonly Instance: new (
    module: WasmModule,
    imports: { env: { memory: WasmMemory; exp: (x: number) => number } },
  ) => { readonly exports: Readonly<Record<string, KernelFunction>> };
  compile(bytes: Uint8Array<ArrayBuffer>): Promise<WasmModule>;
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
}

const api = (): WasmApi | undefined => (globalThis as unknown as { WebAssembly?: WasmApi }).WebAssembly;

/** Kernels ready to run on this host. */
export interface Wasm {
  readonly module: WasmModule;
  /** Whether memories can be shared between threads. */
  readonly shared: boolean;
  /** Whether multiply-adds are fused (relaxed SIMD). */
  readonly relaxed: boolean;
  /** @throws GureumError "out-of-memory" */
  makeMemory(byteLength: number, where: string): WasmMemory;
  instantiate(memory: WasmMemory): Readonly<Record<string, KernelFunction>>;
}

/** Bytes of a page, and the most that a 32-bit memory holds. */
export const pageBytes = 65536;
export const maxMemoryBytes: number = 65536 * pageBytes;

let opened: Promise<Wasm | { readonly refusal: string }> | undefined;

/** Compiles the kernels, once a process; or says in a few words why this host does not run them. */
export function openWasm(): Promise<Wasm | { readonly refusal: string }> {
  opened ??= open();
  return opened;
}

async function open(): Promise<Wasm | { readonly refusal: string }> {
  const wasm = api();
  if (!wasm) return { refusal: "this host has no WebAssembly" };
  const shared = typeof SharedArrayBuffer !== "undefined";
  const candidates = [true, false].map((relaxed) => ({ relaxed, bytes: kernelModule({ shared, relaxed }) }));
  const found = candidates.find(({ bytes }) => wasm.validate(bytes));
  if (!found) return { refusal: "this host's WebAssembly has no SIMD" };
  let module: WasmModule;
  try {
    module = await wasm.compile(found.bytes);
  } catch (error) {
    // A content security policy without 'wasm-unsafe-eval'.
    return { refusal: `this host forbids WebAssembly: ${error instanceof Error ? error.message : error}` };
  }
  return {
    module,
    shared,
    relaxed: found.relaxed,
    makeMemory(byteLength, where) {
      const pages = Math.ceil(byteLength / pageBytes);
      try {
        return new wasm.Memory({ initial: pages, maximum: pages, shared });
      } catch (error) {
        throw new GureumError("out-of-memory", { where, what: `cannot allocate ${pages * pageBytes} bytes` }, error);
      }
    },
    instantiate: (memory) => new wasm.Instance(module, { env: { memory, exp: Math.exp } }).exports,
  };
}
