import { packFixed16Digits, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import { awqAddFixed16, tuneAdd } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { type Fixed16Case, MOST_BY_HAND } from "../cases/fixed16.ts";
import type { RowCase } from "../ops/awq-add-fixed16.ts";
import { fromPlanes, packed, squaresOf } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, hand, inside, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** How many words of digits and blocks are not those of the CPU's quantization of `scaled`. */
function digitErrors(scaled: Float32Array, digits: Uint32Array, blocks: Uint32Array): number {
  const x = quantizeFixed16(scaled, 1, scaled.length);
  const expected = packFixed16Digits(x, 0);
  const scales = asF32(blocks);
  let wrong = 0;
  for (let i = 0; i < expected.length; i++) if (digits[i] !== expected[i]) wrong++;
  for (let b = 0; b < x.scales.length; b++) {
    if (scales[4 * b] !== x.scales[b]) wrong++;
    if ((blocks[4 * b + 1]! | 0) !== x.sums[b]) wrong++;
    if (blocks[4 * b + 3] !== 0) wrong++;
  }
  return wrong;
}

/** Two ways to cut a workgroup: a small team takes several turns along K. */
const teams = [
  { team: 32, teams: 1 },
  { team: 64, teams: 4 },
] as const;

export const subjects = (rig: Rig): AnyGpuSubject[] => {
  /** residual += x̂ W. */
  const add = async ({ x, weight, bias, norm }: RowCase, shape: (typeof teams)[number]) => {
    const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
    // Widths of models in the teams that models get: more turns than those compile for half a minute in software.
    const cut = K > MOST_BY_HAND ? tuneAdd({ K, N, group }, workgroupLimits(rig.gpu.capabilities)) : shape;
    const read = await runKernel(rig, 1, 0, (io) => {
      const given = { x_in: inPlanes(x), ...packed(io, [weight]), residual: inPlanes(bias), next_norm: inPlanes(norm) };
      io.run(awqAddFixed16, { K, N, group, ...cut }, given);
    });
    return { read, residual: fromPlanes(read.residual!), scaled: fromPlanes(read.scaled!) };
  };
  return teams.flatMap((shape) => {
    const variant = `awq-add-fixed16-${shape.teams}x${shape.team}`;
    return [
      subject<Fixed16Case>(
        awqAddFixed16,
        async (c, out) => {
          const { residual, read } = await add({ ...c, norm: new Float32Array(c.bias.length).fill(1) }, shape);
          hand(out, residual, read);
        },
        { op: "awq-matmul-fixed16", variant },
      ),
      subject<RowCase>(
        awqAddFixed16,
        async (c, out) => {
          const { residual, scaled, read } = await add(c, shape);
          const wrong = digitErrors(scaled, inside(read.out_digits!), inside(read.out_blocks!));
          hand(out, [...residual, ...scaled, ...squaresOf(read.out_blocks!), wrong], read);
        },
        { variant },
      ),
    ];
  });
};
