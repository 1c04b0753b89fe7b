/** What a kernel that multiplies by subgroup matrices asks of a device, and what its text begins with. */
import { f16Matrix, i8Matrix, type Needs } from "../device/capabilities.ts";

/**
 * The extensions; and no diagnostic where matrices are used under a condition: it is the same for all lanes of a subgroup in these
 * kernels, which the compiler's analysis does not see.
 */
export const matrixExtensions = /* wgsl */ `enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);`;

/** f16 operands of 16 × 16, f32 sums. */
export const f16Matrices = /* wgsl */ `alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;`;
export const f16MatrixNeeds: Needs = {
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [f16Matrix],
};

/** i8 operands of 16 × 32 and 32 × 16, i32 sums. */
export const i8Matrices = /* wgsl */ `alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;`;
export const i8MatrixNeeds: Needs = {
  features: ["subgroups", "chromium-experimental-subgroup-matrix"],
  subgroupSize: 32,
  matrices: [i8Matrix],
};
