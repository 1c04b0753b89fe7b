/**
 * out[t, f] = f16(silu(g) · u) in eights, g and u the products of row t with rows f and F + f of repacked int4 weights [2F, K], plus biases
 * (wgsl/gate-up-end.ts), for at most 16 rows: awq-rows16-f16-matrix.ts in one piece, a subgroup's 32 columns 16 of gate and the
 * same 16 of up. x and out have room for 16 rows; rows after T come out of whatever x holds there. F % 16 = 0, K % 64 = 0, G % 32 = 0. Workgroup
 * memory 6.75 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type GateUpShape, gatedWgsl, gateUpBindings, gateUpOverrides, gateUpSizes } from "../../wgsl/gate-up-end.ts";
import { f16MatrixNeeds } from "../../wgsl/subgroup-matrix.ts";
import { ROWS16, rows16Memory, rows16Wgsl } from "./awq-rows16-f16-matrix.ts";

export const awqRows16GateUpMatrix: Card<"x" | "weights" | "groups" | "bias" | "out", GateUpShape> = makeCard({
  name: "awq-rows16-gate-up-matrix",
  ...f16MatrixNeeds,
  wgsl: rows16Wgsl({
    bindings: gateUpBindings,
    overrides: `${gateUpOverrides}\n`,
    wgsl: `\n${gatedWgsl("staged")}`,
    columns: 16,
    second: "F",
    end: `workgroupBarrier();
  subgroupMatrixStore<row_major>(&staged, 0u, c0, 9u);
  subgroupMatrixStore<row_major>(&staged, 4u, c1, 9u);
  workgroupBarrier();
  let f = wg.x * 16u + lane % 2u * 8u;
  out[(lane / 2u * F + f) / 8u] = gated(lane / 2u * 9u + lane % 2u * 2u, f);`,
  }),
  workgroupBytes: rows16Memory,
  call: ({ K, F, group, hasBias }) => ({
    overrides: { K, N: 2 * F, GROUP: group, HAS_BIAS: hasBias },
    workgroups: () => [F / 16, 1, 1],
  }),
  sizes: (shape) => gateUpSizes(shape, ROWS16),
});
