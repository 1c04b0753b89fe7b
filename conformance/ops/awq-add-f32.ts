/** A linear of one row that adds to the residual: int4 weights in f32. */
import type { AwqMatrix } from "../../core/tensor.ts";
import { type AddKit, addKit } from "../cases/add.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { f32Product } from "../cases/products.ts";

export const kit: AddKit<AwqSpec, AwqMatrix> = addKit("awq-add-f32", f32Product);
