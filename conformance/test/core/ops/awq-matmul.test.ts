import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { f16Values } from "../../../../core/dtype.ts";
import { awqMatmul } from "../../../../core/ops/awq-matmul.ts";
import type { AwqMatrix } from "../../../../core/tensor.ts";
import { dataFile, largeFixtures, readTensors } from "../../fixtures/golden.ts";

interface Case {
  readonly name: string;
  readonly K: number;
  readonly N: number;
  readonly group_size: number;
  readonly M: number;
  readonly bias: boolean;
}

/** Every y of AutoAWQ's linears, rounded to f32, bit for bit. */
async function checkAll(path: string, count: number): Promise<void> {
  const { cases } = JSON.parse(readFileSync(`${path}.json`, "utf8")) as { cases: Case[] };
  expect(cases).toHaveLength(count);
  const tensors = await readTensors(`${path}.safetensors`);
  for (const { name, K, N, group_size, M, bias } of cases) {
    const buffer = (what: string): ArrayBuffer => tensors.get(`${name}.${what}`)!.bytes.slice().buffer;
    const weight: AwqMatrix = {
      kind: "awq",
      inFeatures: K,
      outFeatures: N,
      groupSize: group_size,
      qweight: new Int32Array(buffer("qweight")),
      qzeros: new Int32Array(buffer("qzeros")),
      scales: new Uint16Array(buffer("scales")),
    };
    const out = new Float32Array(M * N);
    const biasValues = bias ? Float32Array.from(new Uint16Array(buffer("bias")), (bits) => f16Values()[bits]!) : null;
    awqMatmul(out, new Float32Array(buffer("x")), weight, biasValues, M);
    expect(out, name).toEqual(Float32Array.from(new Float64Array(buffer("y"))));
  }
}

describe("awq-matmul", () => {
  it("gives AutoAWQ's linears, computed in float64, to the last bit of f32", () => checkAll(dataFile("awq-linear"), 11));
  it.skipIf(!largeFixtures)("does so on the full set", () => checkAll(join(largeFixtures!, "golden/awq/linear"), 18));
});
