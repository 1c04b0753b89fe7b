/** What deno.test.ts runs in Deno, which has relaxed SIMD and web workers: prints one JSON object. */
import { nodeThreads } from "../../../core/host/node-threads.ts";
import { webThreads } from "../../../core/host/web-threads.ts";
import { type CpuOps, referenceOps } from "../../../core/model/ops.ts";
import { plain, values } from "../../arbitraries.ts";
import { awqMatrix, usualAwq } from "../../cases/matrices.ts";
import { BITS_LAW, BOUND_LAW } from "../../check/case.ts";
import { checkKernel } from "../../check.ts";
import { kitOf } from "../../laws.ts";
import { wasmSubjects } from "../../subjects/wasm.ts";
import { wasmOps } from "./ops.ts";

const [f64, fixed16] = [await wasmOps(), await wasmOps({ arithmetic: "fixed16" })];
const failures: unknown[] = [];
let cases = 0;
for (const subject of wasmSubjects(f64, fixed16)) {
  const row = await checkKernel(kitOf(subject.op), subject, { runs: 60, seed: 7, laws: [subject.sameBits ? BITS_LAW : BOUND_LAW] });
  cases += row.cases;
  failures.push(...row.failures);
}

/** A linear large enough to be shared, again and again, so that workers take part. */
const [K, N] = [512, 2048];
const matrix = awqMatrix(usualAwq, K, N, 128);
const x = values(plain, K);
const result = (ops: CpuOps, weight: typeof matrix): Float32Array => {
  const out = new Float32Array(N);
  for (let i = 0; i < 20; i++) ops.pass(() => ops.linear(out, x, { weight, bias: null }, 1));
  return out;
};
const expected = result(referenceOps, matrix);
const threads: Record<string, boolean> = {};
for (const [name, host] of Object.entries({ node: nodeThreads(), web: webThreads(2) })) {
  const ops = await wasmOps({ threads: 2, host });
  const arrays = [matrix.qweight, matrix.qzeros, matrix.scales] as const;
  const sizes = arrays.map(({ byteLength }) => byteLength);
  const config = { hiddenSize: K, intermediateSize: N, vocabSize: N, numAttentionHeads: 1, headDim: K } as Parameters<
    typeof ops.placeWeights
  >[0];
  const [q, z, s] = ops.placeWeights(
    config,
    sizes.reduce((a, b) => a + b),
    3,
  )(sizes) as [Uint8Array, Uint8Array, Uint8Array];
  const qweight = new Int32Array(q.buffer, q.byteOffset, arrays[0].length);
  const qzeros = new Int32Array(z.buffer, z.byteOffset, arrays[1].length);
  const scales = new Uint16Array(s.buffer, s.byteOffset, arrays[2].length);
  qweight.set(arrays[0]);
  qzeros.set(arrays[1]);
  scales.set(arrays[2]);
  result(ops, { ...matrix, qweight, qzeros, scales });
  await new Promise((done) => setTimeout(done, 300));
  const out = result(ops, { ...matrix, qweight, qzeros, scales });
  threads[name] = ops.threads === 2 && out.every((y, i) => Object.is(y, expected[i]));
  ops.dispose();
}
console.log(JSON.stringify({ relaxed: f64.relaxed, cases, failures, threads }));
