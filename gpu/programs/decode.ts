/**
 * Decoding by fused kernels in fixed16 arithmetic: six dispatches a layer for the sixteen steps of core/model/llama.ts, on repacked
 * weights and an f16 cache. Each kernel's head comment names the steps it covers. Needs no optional device feature.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { plainParts } from "../../core/model/layer.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { allocate } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import type { Gpu } from "../device/device.ts";
import { attentionCombine, recordAttentionCombine } from "../kernels/decode/attention-combine.ts";
import { attentionDecode, type DecodeAttentionShape, type Positions, recordAttentionDecode } from "../kernels/decode/attention-decode.ts";
import { awqAddFixed16, type DecodeShape, recordAwqAddFixed16 } from "../kernels/decode/awq-add-fixed16.ts";
import { awqGateUpFixed16, recordAwqGateUpFixed16 } from "../kernels/decode/awq-gate-up-fixed16.ts";
import { awqQkvRopeFixed16, recordAwqQkvRopeFixed16 } from "../kernels/decode/awq-qkv-rope-fixed16.ts";
import { embedFixed16, recordEmbedFixed16 } from "../kernels/decode/embed-fixed16.ts";
import { headF16, recordHeadF16 } from "../kernels/decode/head-f16.ts";
import { packRefusal } from "../model/packing.ts";
import type { GpuPacked } from "../model/tree.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder } from "../pipeline/recorder.ts";
import { type Feeder, type Program, type ProgramContext, partRefusal } from "./program.ts";

/** What a token runs. */
const kernels: readonly Kernel[] = [
  embedFixed16,
  awqQkvRopeFixed16,
  attentionDecode,
  attentionCombine,
  awqAddFixed16,
  awqGateUpFixed16,
  headF16,
];

/** Why the fused kernels refuse the model's shapes. */
function refusal(config: LlamaConfig, refs: LlamaWeightRefs, capabilities: Capabilities): Refusal | undefined {
  const { embedTokens, lmHead } = refs;
  const { hiddenSize: D, intermediateSize: F, headDim: Hd } = config;
  const unsupported = (reason: string): Refusal => ({ code: "unsupported", reason });
  if (D % 32 !== 0 || F % 32 !== 0) return unsupported(`hidden size ${D} and intermediate size ${F} are not both multiples of 32`);
  if (![32, 64, 128, 256].includes(Hd)) return unsupported(`head_dim ${Hd} is none of 32, 64, 128, 256`);
  if (embedTokens.dtype !== "F16" || lmHead.dtype !== "F16")
    return unsupported(`embedding ${embedTokens.dtype} and head ${lmHead.dtype} are not both F16`);
  return packRefusal(capabilities, refs);
}

/** Largest lanes along K a workgroup uses, and how a device's limits cut them down. */
const MOST_LANES = 512;

/** Lanes along K: a multiple of 32, at most `most`, as few as make the fewest turns. */
export function teamOf(K: number, most: number): number {
  const lanes = Math.ceil(K / 1024) * 32;
  const turns = Math.ceil(lanes / most);
  return Math.ceil(lanes / turns / 32) * 32;
}

/** What a device allows a workgroup. */
export interface WorkgroupLimits {
  readonly invocations: number;
  readonly bytes: number;
}

/** Workgroup memory of awq-add-fixed16.ts. */
const addBytes = (team: number, teams: number): number => 4 * (8 * teams * (team + 4) + 8 * team + 32) + 160;

/**
 * For awq-add-fixed16.ts: as many teams as 512 lanes make, one of more than 256; the lanes of a team cut where a device has not room for them.
 */
export function addTeams(K: number, { invocations, bytes }: WorkgroupLimits): { team: number; teams: number } {
  for (let most = MOST_LANES; most >= 32; most /= 2) {
    const team = teamOf(K, most);
    const teams = (2 * team > MOST_LANES ? [1] : [8, 4, 2]).find(
      (n) => n * team <= Math.min(invocations, MOST_LANES) && addBytes(team, n) <= bytes,
    );
    if (teams) return { team, teams };
  }
  return { team: 32, teams: 1 };
}

/** What this device allows. */
export const limitsOf = ({ capabilities: { limits } }: Gpu): WorkgroupLimits => ({
  invocations: Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
  bytes: limits.maxComputeWorkgroupStorageSize,
});

/** The most lanes along K where two teams, or two rows of partial sums, share a workgroup. */
export const lanesOf = ({ invocations, bytes }: WorkgroupLimits): number => Math.min(MOST_LANES, invocations / 2, bytes / 128);

/** Workgroups that one NVIDIA H100 or H200 runs at once, four on each of its 132 multiprocessors: one round of equal ones is fastest there. */
const ONE_ROUND = 528;
const MOST_PER = 32;

/** For awq-gate-up-fixed16.ts: the fewest values a workgroup owns with which all run at once, where that can be, and its memory allows. */
export function perOf(F: number, team: number, { bytes }: WorkgroupLimits): number {
  const fits = (per: number): boolean => 4 * (8 * (team + 4) + 2 * per * (team / 4 + 1) + 16) <= bytes;
  const possible = Array.from({ length: MOST_PER / 4 }, (_, i) => 4 * (i + 1)).filter((per) => F % per === 0 && fits(per));
  return possible.find((per) => F / per <= ONE_ROUND) ?? possible.at(-1) ?? 4;
}

/** Keys a workgroup of attention-decode.ts goes through: 128 where the device allows 512 invocations and 21 KiB. */
export function keysOf(Hd: number, { invocations, bytes }: WorkgroupLimits): number {
  const fits = (keys: number): boolean => 4 * keys <= invocations && 4 * (((32 * keys) / Hd) * 8 * (Hd / 8 + 1) + 5 * keys + 32) <= bytes;
  return fits(128) ? 128 : 64;
}

/** Keys a split holds. */
export const SPLIT_KEYS = 64;

/** How attention-decode.ts goes through the cache, and at which positions. */
export interface DecodeAttention {
  readonly shape: DecodeAttentionShape;
  readonly positions: Positions;
}

/**
 * Few keys: one workgroup a head. More: splits, of fewer keys each, so that more workgroups share them. Many, so that workgroups of one head would
 * not run all at once: two heads share one.
 */
export function decodeAttention(
  { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window }: LlamaConfig,
  limits: WorkgroupLimits,
): Readonly<Record<"few" | "more" | "many", DecodeAttention>> {
  const most = keysOf(Hd, limits);
  const heads = (H / G) % 2 === 0 ? 2 : 1;
  const many = Math.max(most, SPLIT_KEYS * Math.floor(ONE_ROUND / H));
  const shape = (keys: number, heads: 1 | 2): DecodeAttentionShape => ({ H, G, Hd, window, keys, heads });
  return {
    few: { shape: shape(most, 1), positions: [0, most] },
    more: { shape: shape(SPLIT_KEYS, 1), positions: [most, many] },
    many: { shape: shape(SPLIT_KEYS, heads), positions: [many, Infinity] },
  };
}

/** Of the three the position picks one; `few` leaves its result in `joined`, the others theirs in `partial_` for attention-combine.ts. */
export function recordDecodeAttention(
  recorder: Recorder,
  { joined, partial_, ...buffers }: Record<"q" | "k_cache" | "v_cache" | "stats" | "step" | "joined" | "partial_", GPUBuffer>,
  { few, more, many }: ReturnType<typeof decodeAttention>,
  label?: string,
): void {
  recordAttentionDecode(recorder, { ...buffers, out: joined }, few.shape, false, few.positions, label);
  for (const { shape, positions } of [more, many])
    recordAttentionDecode(recorder, { ...buffers, out: partial_ }, shape, true, positions, label);
}

/** Splits there is room for: those of a context, up to a power of two. */
export const splitsOf = (context: number): number => 2 ** Math.ceil(Math.log2(Math.ceil(context / SPLIT_KEYS)));

/** One token: its position in sequence.step.start. `layers` leaves the last residual for `head`. */
async function prepareDecode({ memory, forward, logits, maxContext }: ProgramContext): Promise<Feeder> {
  const { config, weights, sequence } = forward;
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
  const limits = limitsOf(memory.gpu);
  const most = lanesOf(limits);
  const A = H * Hd;
  const ways = decodeAttention(config, limits);
  const splits = splitsOf(maxContext);
  const f32 = (label: string, length: number): GPUBuffer => allocate(memory, label, length * 4);
  const residual = f32("residual", D);
  const scaled = f32("residual ∘ norm", D);
  const digits = f32("digits", D / 2);
  const blocks = f32("blocks", D / 8);
  const q = f32("q", A);
  const joined = f32("attention", A);
  const partial_ = f32("attention splits", splits * A);
  const stats = f32("attention statistics", splits * H * 2);
  const h = f32("siluMul", F);
  const { step, ids, ropeTable: rotations } = sequence;
  const planes = weights.planes!;
  const shapeOf = (weight: GpuPacked, team: number): DecodeShape => ({ K: weight.K, group: weight.groupSize, team });

  const layers = makeRecorder();
  for (const { firstColumn, N, weight } of weights.embedTokens.pieces) {
    const buffers = { embedding: weight, ids, norm: planes.layers[0]?.inputLayernorm ?? planes.norm, residual };
    recordEmbedFixed16(
      layers,
      { ...buffers, out_digits: digits, out_blocks: blocks },
      { K: D, firstRow: firstColumn, rows: N },
      "embeddings",
    );
  }
  for (const [i, layer] of weights.layers.entries()) {
    const at = `layers.${i}.`;
    const [qkv, o, gate, down] = [layer.qProj, layer.oProj, layer.gateProj, layer.downProj].map(({ weight }) => weight as GpuPacked) as [
      GpuPacked,
      GpuPacked,
      GpuPacked,
      GpuPacked,
    ];
    const matrix = ({ weights, groups }: GpuPacked) => ({ weights, groups });
    const cache = { k_cache: sequence.keys[i]!, v_cache: sequence.values[i]! };
    const qkvShape = { ...shapeOf(qkv, teamOf(D, most)), eps, H, G, Hd };
    recordAwqQkvRopeFixed16(layers, { digits, blocks, ...matrix(qkv), rotations, q_out: q, ...cache, step }, qkvShape, `${at}qkv`);
    recordDecodeAttention(layers, { q, ...cache, stats, step, joined, partial_ }, ways, `${at}attention`);
    recordAttentionCombine(layers, { partial_, stats, joined, step }, ways.more.shape, splits, ways.more.positions[0], `${at}attention`);
    const out = { residual, scaled, out_digits: digits, out_blocks: blocks };
    const oTeams = addTeams(A, limits);
    const oShape = { ...shapeOf(o, oTeams.team), teams: oTeams.teams, N: D };
    recordAwqAddFixed16(
      layers,
      { x_in: joined, ...matrix(o), next_norm: planes.layers[i]!.postAttentionLayernorm, ...out },
      oShape,
      `${at}attentionResidual`,
    );
    const upTeam = teamOf(D, most);
    const upShape = { ...shapeOf(gate, upTeam), eps, F, per: perOf(F, upTeam, limits) };
    recordAwqGateUpFixed16(layers, { digits, blocks, ...matrix(gate), h }, upShape, `${at}siluMul`);
    const downTeams = addTeams(F, limits);
    const downShape = { ...shapeOf(down, downTeams.team), teams: downTeams.teams, N: D };
    const nextNorm = planes.layers[i + 1]?.inputLayernorm ?? planes.norm;
    recordAwqAddFixed16(layers, { x_in: h, ...matrix(down), next_norm: nextNorm, ...out }, downShape, `${at}residual`);
  }
  const head = makeRecorder();
  for (const { firstColumn, N, weight } of weights.lmHead.pieces)
    recordHeadF16(head, { scaled, blocks, weights: weight, logits }, { K: D, eps, firstRow: firstColumn, rows: N }, "logits");
  const [preparedLayers, preparedHead] = await Promise.all([prepare(layers, memory), prepare(head, memory)]);
  return { layers: preparedLayers, head: preparedHead };
}

export const fixed16Decode: Program & { readonly step: "linear" } = {
  name: "fixed16",
  step: "linear",
  rows: { from: 1, to: 2 },
  kernels,
  arithmetic: "fixed16",
  layout: "repacked",
  cache: "f16",
  parts: plainParts,
  refusal: (config, refs, capabilities) => partRefusal(plainParts, refs) ?? refusal(config, refs, capabilities),
  chunk: () => 1,
  prepare: prepareDecode,
};
