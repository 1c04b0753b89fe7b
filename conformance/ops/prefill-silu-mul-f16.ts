/** SiLU · up of rows as f16 operands. */
import { asF16, expectSiluMul, wgsl } from "../accuracy.ts";
import { type RowsCase, type RowsSpec, rowsKit } from "../cases/prefill-rows.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<RowsSpec, RowsCase> = rowsKit(
  "prefill-silu-mul-f16",
  "out = f16(silu(x) · y)",
  (c) => asF16(expectSiluMul(c.x, c.y, c.x.length, wgsl)),
  true,
);
