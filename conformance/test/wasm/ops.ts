/** The WebAssembly ops, which every host that runs these tests has. */
import { openWasmCpu, type WasmCpu, type WasmOptions } from "../../../wasm/cpu.ts";

export async function wasmOps(options?: WasmOptions): Promise<WasmCpu> {
  const ops = await openWasmCpu(options);
  if ("refusal" in ops) throw new Error(ops.refusal);
  return ops;
}
