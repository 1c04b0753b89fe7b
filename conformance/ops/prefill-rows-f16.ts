/** Rows as f16 operands. */
import { asF16, makeExpected } from "../accuracy.ts";
import { type RowsCase, type RowsSpec, rowsKit } from "../cases/prefill-rows.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<RowsSpec, RowsCase> = rowsKit(
  "prefill-rows-f16",
  "out = f16(x)",
  ({ x }) => {
    const e = makeExpected(x.length);
    e.value.set(x);
    return asF16(e);
  },
  true,
);
