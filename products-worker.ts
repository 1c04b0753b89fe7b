/** The thread that holds the GPU for products.ts: it takes operands from shared memory and puts results there. */
import { GureumError } from "./core/errors.ts";
import { openDevice } from "./gpu/device/device.ts";
import { makeProducts, type Products } from "./gpu/model/products.ts";
import type { Ask, Shared } from "./products.ts";

interface Port {
  listen(listener: (message: Ask) => void): void;
}

/** Answers what `port` hears, one after the other. */
export function serve(port: Port): void {
  let control: Int32Array = new Int32Array(0);
  let text: Uint8Array = new Uint8Array(0);
  let shared: Shared | undefined;
  let products: Products | undefined;
  /** WebGPU takes no shared memory: operands are copied here first. */
  const own = { x: new ArrayBuffer(0), y: new ArrayBuffer(0) };
  const copied = (name: "x" | "y", byteLength: number): ArrayBuffer => {
    if (own[name].byteLength < byteLength) own[name] = new ArrayBuffer(byteLength);
    new Uint8Array(own[name]).set(new Uint8Array(shared![name], 0, byteLength));
    return own[name];
  };
  /** Whether somebody waits for the end of it. */
  const answer = async (ask: Ask): Promise<boolean> => {
    if (ask.kind === "open") {
      control = new Int32Array(ask.control);
      text = new Uint8Array(ask.text);
      const gpu = await openDevice({ robustness: false, ...(ask.adapter === undefined ? {} : { adapter: ask.adapter }) });
      products = makeProducts(gpu);
      control[1] = gpu.capabilities.software ? 1 : 0;
      return true;
    }
    if (ask.kind === "memory") {
      shared = ask.shared;
      return false;
    }
    for (const old of ask.dropped) products!.drop(old);
    if (ask.kind !== "product") {
      const { grid, key, sent } = ask;
      const { N, K, G } = grid;
      const count = sent ? N * K : 0;
      const W = { dtype: "F32", data: new Float32Array(copied("y", 4 * count), 0, count), key } as const;
      if (ask.kind === "behindScales") {
        await products!.behindScales(ask.to, W, new Float32Array(copied("x", 4 * K), 0, K), grid);
        return true;
      }
      const groups = (N * K) / G;
      const x = copied("x", 4 * (K * G + 2 * groups));
      const out = new Float32Array(shared!.out, 0, 4 * groups);
      await products!.clip(out, W, new Float32Array(x, 0, K * G), new Float32Array(x, 4 * K * G, 2 * groups), grid, ask.asymmetric);
      return true;
    }
    const { rows, N, K, dtype, key, sent } = ask;
    const x = new Float32Array(copied("x", 4 * rows * K), 0, rows * K);
    const count = sent ? N * K : 0;
    const bytes = copied("y", (dtype === "F32" ? 4 : 2) * count);
    const data = dtype === "F32" ? new Float32Array(bytes, 0, count) : new Uint16Array(bytes, 0, count);
    const out = new Float32Array(shared!.out, 0, rows * N);
    await products!.product(out, x, { dtype, data, ...(key === undefined ? {} : { key }) }, rows, N, K);
    return true;
  };
  let last: Promise<void> = Promise.resolve();
  port.listen((ask) => {
    last = last.then(async () => {
      let state = 1;
      try {
        if (!(await answer(ask))) return;
      } catch (error) {
        state = 2;
        const { code, details } = error instanceof GureumError ? error : { code: "device-lost", details: { what: String(error) } };
        control[1] = new TextEncoder().encodeInto(JSON.stringify({ code, details }), text).written;
      }
      Atomics.store(control, 0, state);
      Atomics.notify(control, 0);
    });
  });
}
