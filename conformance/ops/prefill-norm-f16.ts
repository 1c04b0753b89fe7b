/** The norm of rows as f16 operands. */
import { asF16, expectRmsNorm, wgsl } from "../accuracy.ts";
import { PREFILL_EPS, type RowsCase, type RowsSpec, rowsKit } from "../cases/prefill-rows.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<RowsSpec, RowsCase> = rowsKit(
  "prefill-norm-f16",
  "out = f16(x / √(mean x² + eps) · y)",
  (c) => asF16(expectRmsNorm(c.x, c.y, PREFILL_EPS, c.T, wgsl)),
  false,
);
