/** A linear of one row that adds to the residual: int4 weights in fixed16. */
import type { AwqMatrix } from "../../core/tensor.ts";
import { type AddKit, addKit } from "../cases/add.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { fixed16Product } from "../cases/products.ts";

export const kit: AddKit<AwqSpec, AwqMatrix> = addKit("awq-add-fixed16", fixed16Product);
