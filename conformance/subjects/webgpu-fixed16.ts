/**
 * The fused decode kernels as subjects: linears in fixed16, embedding, head, and attention over the f16 cache in splits. Vectors lie in
 * planes (gpu/wgsl/fixed16.ts); here they go in and come out in their natural order.
 */
import { f16Values } from "../../core/dtype.ts";
import type { AwqMatrix } from "../../core/model/weights.ts";
import { packFixed16Digits, quantizeFixed16 } from "../../core/quant/fixed16.ts";
import { recordAttentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { recordAttentionDecode } from "../../gpu/kernels/decode/attention-decode.ts";
import { recordAwqAddFixed16 } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { recordAwqGateUpFixed16 } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { recordAwqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { recordEmbedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { recordHeadF16 } from "../../gpu/kernels/decode/head-f16.ts";
import { recordAwqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { record } from "../../gpu/pipeline/recorder.ts";
import { fixed16FromValues, fixed16Quantize, fixed16Rows } from "../../gpu/wgsl/fixed16.ts";
import { f16Bits } from "../arbitraries.ts";
import type { AttentionCase } from "../cases/attention.ts";
import type { Fixed16Case } from "../cases/fixed16.ts";
import { halves } from "../cases/words.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { RowCase } from "../ops/awq-add-fixed16.ts";
import type { BlockSumsCase } from "../ops/awq-block-sums.ts";
import type { GateUpCase } from "../ops/awq-gate-up-fixed16.ts";
import type { QkvRopeCase } from "../ops/awq-qkv-rope-fixed16.ts";
import type { EmbedCase } from "../ops/embed-fixed16.ts";
import type { HeadCase } from "../ops/head-f16.ts";
import { asF32, hand, type Io, inside, intoOut, type Rig, runKernel } from "./rig.ts";

/** Where element k of a vector of K lies in planes. */
const plane = (k: number, K: number): number => 4 * (((k % 32) >> 2) * (K / 32) + (k >> 5)) + (k & 3);

function inPlanes(x: Float32Array): Float32Array {
  const out = new Float32Array(x.length);
  for (let k = 0; k < x.length; k++) out[plane(k, x.length)] = x[k]!;
  return out;
}

/** Matrices repacked one behind the other, as q, k, v or gate and up are. */
export function packed(io: Io, matrices: readonly AwqMatrix[]): { readonly weights: GPUBuffer; readonly groups: GPUBuffer } {
  const { inFeatures: K, groupSize } = matrices[0]!;
  const rows = matrices.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  const target = { weights: io.scratch("weights", (rows * K) / 2), groups: io.scratch("groups", rows * (K / groupSize) * 4) };
  let firstRow = 0;
  for (const { outFeatures: N, qweight, qzeros, scales } of matrices) {
    const source = { qweight: io.input("qweight", qweight), qzeros: io.input("qzeros", qzeros), scales: io.input("scales", scales) };
    recordAwqRepack(io.recorder, { ...source, ...target }, { K, N, groupSize, firstRow });
    firstRow += N;
  }
  return target;
}

/** A row's digits and blocks, as awq-add-fixed16 leaves them. */
function digitsOf(io: Io, scaled: Float32Array, squares: Float32Array) {
  const x = quantizeFixed16(scaled, 1, scaled.length);
  const blocks = new Uint32Array(4 * squares.length);
  const numbers = new Float32Array(blocks.buffer);
  for (let b = 0; b < squares.length; b++) {
    numbers[4 * b] = x.scales[b]!;
    blocks[4 * b + 1] = x.sums[b]!;
    numbers[4 * b + 2] = squares[b]!;
  }
  return { digits: io.input("digits", packFixed16Digits(x, 0)), blocks: io.input("blocks", blocks) };
}

/** Σ residual² of each block from `blocks`. */
const squaresOf = (blocks: Uint32Array): Float32Array => asF32(blocks).filter((_, i) => i % 4 === 2);

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

/** x̂ from digits and block scales. */
function fromDigits(digits: Uint32Array, blocks: Uint32Array, K: number): Float32Array {
  const scales = asF32(blocks);
  const out = new Float32Array(K);
  for (let k = 0; k < K; k++) {
    const word = (k % 32) >> 2;
    const at = 4 * ((word >> 2) * (K / 32) + (k >> 5)) + (word & 3);
    const shift = 8 * (k & 3);
    const hi = ((digits[at]! >>> shift) << 24) >> 24;
    const lo = (digits[at + K / 4]! >>> shift) & 255;
    out[k] = (256 * hi + lo) * scales[4 * (k >> 5)]!;
  }
  return out;
}

/** Two ways to cut a workgroup: a small team takes several turns along K. */
const teams = [
  { team: 32, teams: 1 },
  { team: 64, teams: 4 },
] as const;

/** The functions that every fixed16 kernel is made of, for four rows of a block: its block sums never leave those kernels. */
const blockSums: Kernel<"x" | "weights" | "groups" | "scales" | "sums" | "products", never> = {
  name: "fixed16-block-sums",
  bindings: { x: "read", weights: "read", groups: "read", scales: "readWrite", sums: "readWrite", products: "readWrite" },
  params: {},
  overrides: { BLOCKS: "u32", GROUPS: "u32", BLOCKS_PER_GROUP: "u32" },
  wgsl: /* wgsl */ `
override BLOCKS: u32 = 1u;
override GROUPS: u32 = 1u;
override BLOCKS_PER_GROUP: u32 = 1u;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> scales: array<u32>;
@group(0) @binding(4) var<storage, read_write> sums: array<i32>;
@group(0) @binding(5) var<storage, read_write> products: array<i32>;
${fixed16Quantize}${fixed16Rows}${fixed16FromValues}
@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let b = id.x;
  if (b >= BLOCKS) { return; }
  let d = digits_of(Block(x[b], x[BLOCKS + b], x[2u * BLOCKS + b], x[3u * BLOCKS + b],
                          x[4u * BLOCKS + b], x[5u * BLOCKS + b], x[6u * BLOCKS + b], x[7u * BLOCKS + b]));
  let r = load_rows(4u * id.y, b);
  let z = vec4<i32>(r.g >> vec4<u32>(16u));
  scales[b] = bitcast<u32>(d.scale);
  sums[b] = d.sum;
  let at = 4u * id.y * BLOCKS + b;
  products[at] = block_sum(r.a, z.x, d);
  products[at + BLOCKS] = block_sum(r.b, z.y, d);
  products[at + 2u * BLOCKS] = block_sum(r.c, z.z, d);
  products[at + 3u * BLOCKS] = block_sum(r.d, z.w, d);
}
`,
};

export function fixed16Subjects(rig: Rig): readonly AnySubject[] {
  const subject = <C>(kernel: string, run: Subject<C>["run"], more: Partial<Subject<C>> = {}): Subject<C> => ({
    op: kernel,
    backend: "webgpu",
    variant: kernel,
    arithmetic: "f32",
    kernels: [kernel],
    run,
    ...more,
  });

  /** residual += x̂ W; gives [residual, scaled, digits, blocks] with their guard bands. */
  const add = async (x: Float32Array, weight: AwqMatrix, residual: Float32Array, norm: Float32Array, shape: (typeof teams)[number]) => {
    const { inFeatures: K, outFeatures: N, groupSize: group } = weight;
    const [r, s, d, b] = await runKernel(rig, 1, 0, (io) => {
      const buffers = {
        x_in: io.input("x", inPlanes(x)),
        ...packed(io, [weight]),
        residual: io.output("residual", N, inPlanes(residual)),
        next_norm: io.input("norm", inPlanes(norm)),
        scaled: io.output("scaled", N),
        out_digits: io.output("digits", N / 2),
        out_blocks: io.output("blocks", N / 8),
      };
      recordAwqAddFixed16(io.recorder, buffers, { K, N, group, ...shape });
    });
    const natural = (words: Uint32Array): Float32Array => Float32Array.from({ length: N }, (_, n) => asF32(inside(words))[plane(n, N)]!);
    return { buffers: [r!, s!, d!, b!], residual: natural(r!), scaled: natural(s!), digits: inside(d!), blocks: inside(b!) };
  };

  /**
   * Attention in splits of `keys`, by workgroups for `heads` heads; queries and caches widened so that Hd is a multiple of 32, which these kernels
   * ask for.
   */
  const attends = (keys: number, heads: 1 | 2): Subject<AttentionCase> =>
    subject<AttentionCase>(
      "attention-decode",
      (c, out) =>
        intoOut(rig, out, 1, c.start, (io) => {
          const { H, G, Hd, window } = c.shape;
          const shape = { H, G, Hd, window, keys, heads };
          const splits = Math.floor(c.start / keys) + 1;
          const buffers = {
            q: io.input("q", c.q),
            k_cache: io.input("keys", Uint16Array.from(c.k, f16Bits)),
            v_cache: io.input("values", Uint16Array.from(c.v, f16Bits)),
            stats: io.scratch("stats", splits * H * 8),
            step: io.step,
          };
          const partial_ = io.scratch("partial", splits * H * Hd * 4);
          const joined = io.output("out", out.length);
          recordAttentionDecode(io.recorder, { ...buffers, out: joined }, shape, false);
          recordAttentionDecode(io.recorder, { ...buffers, out: partial_ }, shape, true);
          recordAttentionCombine(io.recorder, { partial_, stats: buffers.stats, joined, step: io.step }, shape, splits);
        }).then(() => {
          const planes = out.slice();
          for (let k = 0; k < out.length; k++) out[k] = planes[plane(k, out.length)]!;
        }),
      {
        op: "attention",
        variant: `attention-decode-${keys}-keys${heads > 1 ? `-${heads}-heads` : ""}`,
        kernels: ["attention-decode", "attention-combine"],
        adapt: (c) => widened(c, heads === 2 ? 4 : 3),
        accepts: ({ shape: { H, G } }) => heads === 1 || H > G,
      },
    );

  return [
    subject<BlockSumsCase>(
      "awq-block-sums",
      async ({ x, weight }, out) => {
        const [K, N] = [weight.inFeatures, weight.outFeatures];
        const read = await runKernel(rig, 1, 0, (io) => {
          const outputs = {
            scales: io.output("scales", K / 32),
            sums: io.output("sums", K / 32),
            products: io.output("products", (N * K) / 32),
          };
          record(io.recorder, {
            kernel: blockSums,
            buffers: { x: io.input("x", inPlanes(x)), ...packed(io, [weight]), ...outputs },
            params: {},
            overrides: { BLOCKS: K / 32, GROUPS: K / weight.groupSize, BLOCKS_PER_GROUP: weight.groupSize / 32 },
            workgroups: () => [Math.ceil(K / 1024), N / 4, 1],
          });
        });
        hand(
          out,
          read.flatMap((words) => [...halves(inside(words))]),
          read,
        );
      },
      { variant: "fixed16-block-sums", kernels: [] },
    ),
    ...teams.map((shape) =>
      subject<Fixed16Case>(
        "awq-add-fixed16",
        async ({ x, weight, bias }, out) => {
          const left = await add(x, weight, bias, new Float32Array(bias.length).fill(1), shape);
          hand(out, left.residual, left.buffers);
        },
        { op: "awq-matmul-fixed16", variant: `awq-add-fixed16-${shape.teams}x${shape.team}` },
      ),
    ),
    ...teams.map((shape) =>
      subject<RowCase>(
        "awq-add-fixed16",
        async ({ x, weight, bias, norm }, out) => {
          const { residual, scaled, digits, blocks, buffers } = await add(x, weight, bias, norm, shape);
          hand(out, [...residual, ...scaled, ...squaresOf(blocks), digitErrors(scaled, digits, blocks)], buffers);
        },
        { variant: `awq-add-fixed16-${shape.teams}x${shape.team}` },
      ),
    ),
    subject<EmbedCase>("embed-fixed16", async ({ table, id, norm }, out) => {
      const K = norm.length;
      const half = Math.ceil(table.outFeatures / 2);
      const [r, d, b] = await runKernel(rig, 1, 0, (io) => {
        const buffers = {
          ids: io.input("ids", Uint32Array.of(id)),
          norm: io.input("norm", inPlanes(norm)),
          residual: io.output("residual", K),
          out_digits: io.output("digits", K / 2),
          out_blocks: io.output("blocks", K / 8),
        };
        for (const [firstRow, rows] of [[half, table.outFeatures - half] as const, [0, half] as const]) {
          if (rows === 0) continue;
          const embedding = io.input("embedding", table.data.slice(firstRow * K, (firstRow + rows) * K));
          recordEmbedFixed16(io.recorder, { ...buffers, embedding }, { K, firstRow, rows });
        }
      });
      const residual = Float32Array.from({ length: K }, (_, k) => asF32(inside(r!))[plane(k, K)]!);
      const approximate = fromDigits(inside(d!), inside(b!), K);
      const sums = quantizeFixed16(approximate, 1, K).values;
      let wrong = 0;
      for (let block = 0; block < K / 32; block++) {
        // Σ v of the digits that are there, in steps of the scale that is there.
        const step = asF32(inside(b!))[4 * block]!;
        let sum = 0;
        for (let k = 32 * block; k < 32 * (block + 1); k++) sum += approximate[k]! / step;
        if ((inside(b!)[4 * block + 1]! | 0) !== sum || sums.length !== K || inside(b!)[4 * block + 3] !== 0) wrong++;
      }
      hand(out, [...residual, ...approximate, ...squaresOf(inside(b!)), wrong], [r!, d!, b!]);
    }),
    ...[
      { team: 32, per: 4 },
      { team: 64, per: 16 },
    ].map(({ team, per }) =>
      subject<GateUpCase>(
        "awq-gate-up-fixed16",
        async ({ gate, up, eps, scaled, squares }, out) => {
          const { inFeatures: K, outFeatures: F, groupSize: group } = gate;
          const [h] = await runKernel(rig, 1, 0, (io) => {
            const buffers = { ...digitsOf(io, scaled, squares), ...packed(io, [gate, up]), h: io.output("h", F) };
            recordAwqGateUpFixed16(io.recorder, buffers, { K, group, team, eps, F, per });
          });
          hand(
            out,
            Float32Array.from({ length: F }, (_, f) => asF32(inside(h!))[plane(f, F)]!),
            [h!],
          );
        },
        { variant: `awq-gate-up-fixed16-${per}x${team}` },
      ),
    ),
    ...[32, 64].map((team) =>
      subject<QkvRopeCase>(
        "awq-qkv-rope-fixed16",
        async (c, out) => {
          const { H, G, Hd, S, position, weight, eps, tables } = c;
          const { inFeatures: K, groupSize: group } = weight;
          const cacheWords = (S * G * Hd) / 2;
          const zeros = new Uint32Array(cacheWords);
          const read = await runKernel(rig, 1, position, (io) => {
            const rotations = new Float32Array(2 * tables.cos.length);
            for (let i = 0; i < tables.cos.length; i++) rotations.set([tables.cos[i]!, tables.sin[i]!], 2 * i);
            const buffers = {
              ...digitsOf(io, c.scaled, c.squares),
              ...packed(io, [weight]),
              rotations: io.input("rotations", rotations),
              q_out: io.output("q", H * Hd),
              k_cache: io.output("keys", cacheWords, zeros),
              v_cache: io.output("values", cacheWords, zeros),
              step: io.step,
            };
            recordAwqQkvRopeFixed16(io.recorder, buffers, { K, group, team, eps, H, G, Hd });
          });
          const [q, k, v] = read as [Uint32Array, Uint32Array, Uint32Array];
          const widen = (words: Uint32Array): Float32Array => {
            const half = inside(words);
            return Float32Array.from(new Uint16Array(half.buffer, half.byteOffset, half.length * 2), (bits) => f16Values()[bits]!);
          };
          hand(out, [...asF32(inside(q)), ...widen(k), ...widen(v)], read);
        },
        { variant: `awq-qkv-rope-fixed16-${team}` },
      ),
    ),
    subject<HeadCase>("head-f16", (c, out) =>
      intoOut(rig, out, 1, 0, (io) => {
        const [K, V] = [c.scaled.length, c.weight.outFeatures];
        const { blocks } = digitsOf(io, c.scaled, c.squares);
        const half = Math.ceil(V / 2);
        const bound = { scaled: io.input("scaled", inPlanes(c.scaled)), blocks, logits: io.output("logits", V) };
        for (const [firstRow, rows] of [[half, V - half] as const, [0, half] as const]) {
          if (rows === 0) continue;
          const weights = io.input("weights", c.weight.data.slice(firstRow * K, (firstRow + rows) * K));
          recordHeadF16(io.recorder, { ...bound, weights }, { K, eps: c.eps, firstRow, rows });
        }
      }),
    ),
    attends(64, 1),
    attends(64, 2),
  ];
}

/**
 * The last query alone, in one of a few shapes (each is a pipeline): Hd brought to 32, 128 or 256 by repeating what is there, one or
 * two groups of one or `perGroup` heads, the window 7 or none; keys and values as f16 holds them.
 */
function widened(c: AttentionCase, perGroup: number): AttentionCase {
  const { Hd } = c.shape;
  const wide = Hd <= 32 ? 32 : Hd <= 128 ? 128 : 256;
  const G = Math.min(c.shape.G, wide === 128 ? 2 : 1);
  const H = G * (c.shape.H > c.shape.G ? perGroup : 1);
  const S = c.start + c.T;
  const stretch = (x: Float32Array, rows: number): Float32Array => {
    const out = new Float32Array(rows * wide);
    for (let r = 0; r < rows; r++) {
      const from = (r * Hd) % (x.length - Hd + 1);
      for (let i = 0; i < wide; i++) out[r * wide + i] = x[from + ((i + Math.floor(i / Hd)) % Hd)]!;
    }
    return out;
  };
  const half = (x: Float32Array): Float32Array => x.map((v) => f16Values()[f16Bits(v)]!);
  return {
    T: 1,
    start: S - 1,
    shape: { H, G, Hd: wide, window: c.shape.window === null ? null : 7 },
    q: stretch(c.q, H),
    k: half(stretch(c.k, S * G)),
    v: half(stretch(c.v, S * G)),
  };
}
