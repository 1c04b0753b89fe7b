/** A linear of one row that adds to the residual: dense weights. */
import type { DenseMatrix } from "../../core/tensor.ts";
import { type AddKit, addKit } from "../cases/add.ts";
import { type DenseSpec, denseProduct } from "../cases/products.ts";

export const kit: AddKit<DenseSpec, DenseMatrix> = addKit("dense-add", denseProduct);
