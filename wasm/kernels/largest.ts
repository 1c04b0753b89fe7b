/**
 * The largest of |h| as bit patterns over `bytes` bytes of 16-bit floats at `data` (sign bits ignored), eight of them, to `out` as i16: 0x7c00
 * or more where an f16, 0x7f80 or more where a bfloat16 is infinite or NaN. `bytes` is a multiple of 16.
 */
import { i16x8, i32, i32x4, v128 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { zero } from "./halves.ts";
import { type Kernel, kernel } from "./kernel.ts";

export const largest: Kernel = kernel("largest", ["out", "data", "bytes"], (f, p) => {
  const at = f.local("i32");
  const most: Local<"v128"> = f.local("v128");
  const magnitude = i32x4.const(0x7fff7fff, 0x7fff7fff, 0x7fff7fff, 0x7fff7fff);
  f.set(most, zero);
  f.for(at, p.data, i32.add(p.data, p.bytes), i32.const(16), () => f.set(most, i16x8.max_s(most, v128.and(v128.load(at), magnitude))));
  f.do(v128.store(p.out, most));
});
