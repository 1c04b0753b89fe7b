/**
 * gate[i] = silu(gate[i]) · up[i] of `exact`; twin of core/exact/functions.ts, bit for bit. gate, up f32, a unit of work is an element.
 */
import { LOG2E } from "../../core/exact/functions.ts";
import { f32, f64, i32, i64 } from "../assembler/instructions.ts";
import type { Local } from "../assembler/value.ts";
import { distance, FARTHEST, powerOf, reciprocalInteger, setDistance } from "./exact-functions.ts";
import { nearest } from "./exact-round.ts";
import { type Kernel, kernel } from "./kernel.ts";

export const exactSiluMul: Kernel = kernel("exact-silu-mul", ["scratch", "from", "to", "gate", "up"], (f, p) => {
  const [at, end] = f.locals("i32", 2) as [Local<"i32">, Local<"i32">];
  const [x, y, sigma] = f.locals("f64", 3) as [Local<"f64">, Local<"f64">, Local<"f64">];
  const d = distance(f);
  /** y = rn(y), as f64. */
  const round = (value: Local<"f64">): void => f.set(value, f64.promote_f32(nearest(value)));
  const product = (a: Local<"f64">, b: Local<"f64">): void => {
    f.set(a, f64.mul(a, b));
    round(a);
  };
  f.set(end, i32.shl(p.to, i32.const(2)));
  f.for(at, i32.shl(p.from, i32.const(2)), end, i32.const(4), () => {
    f.set(x, f64.promote_f32(f32.load(i32.add(p.gate, at))));
    f.set(y, f64.mul(f64.abs(x), f64.const(LOG2E)));
    round(y);
    setDistance(f, d, y);
    // σ = 1 / (1 + e^−|x|)
    const sum = i64.add(i64.const(2n ** 30n), i64.shr_u(d.power, d.whole));
    f.set(sigma, f64.mul(reciprocalInteger(sum), f64.const(2 ** -31)));
    round(sigma);
    f.if(f64.lt(x, f64.const(0)), () => {
      // Times e^−|x|, which is 0 at the end of what a distance holds.
      f.set(y, f64.mul(f64.convert_i64_u(d.power), powerOf(i32.sub(i32.const(-30), i32.wrap_i64(d.whole)))));
      f.if(i32.eq(d.units, i32.const(FARTHEST)), () => f.set(y, f64.const(0)));
      round(y);
      product(sigma, y);
    });
    product(x, sigma);
    f.set(y, f64.promote_f32(f32.load(i32.add(p.up, at))));
    product(x, y);
    f.do(f32.store(i32.add(p.gate, at), f32.demote_f64(x)));
  });
});
