/**
 * How attention of one row runs: at each position one kernel, which leaves its result to o_proj or, in splits, to the
 * kernel that joins them. Dispatches are recorded once, so all are, each with its positions.
 */
import { type Capabilities, missingFor } from "../device/capabilities.ts";
import { attentionCombine } from "../kernels/decode/attention-combine.ts";
import { attentionDecode, type DecodeAttentionShape, splitsOf, tuneAttention } from "../kernels/decode/attention-decode.ts";
import { attentionHeads, HEADS_FROM, tuneHeads } from "../kernels/decode/attention-heads.ts";
import { ALONE, attentionShuffle, tuneShuffle } from "../kernels/decode/attention-shuffle.ts";
import type { Span } from "../pipeline/kernel.ts";
import { type BufferArg, type Recorder, recordKernel, type When } from "../pipeline/recorder.ts";
import { workgroupLimits } from "../wgsl/teams.ts";

/** `partial_` and `stats` hold the splits, `joined` the result. */
type Buffers = Readonly<Record<"q" | "k_cache" | "v_cache" | "partial_" | "stats" | "joined" | "step", BufferArg>>;

/** One of its kernels. */
export interface AttentionWay {
  /** alone: its result is the whole. splits: it leaves parts. joins: it makes a whole of them. */
  readonly does: "alone" | "splits" | "joins";
  readonly positions: Span;
  readonly record: (recorder: Recorder, buffers: Buffers, when: When) => void;
}

export interface AttentionWays {
  /** In the order of recording. */
  readonly ways: readonly AttentionWay[];
  /** Splits that `partial_` and `stats` must have room for. */
  readonly splits: number;
}

/** The ways of a device, for a session of `maxContext` positions. */
export function attentionWays(
  attention: Pick<DecodeAttentionShape, "H" | "G" | "Hd" | "window" | "cache">,
  maxContext: number,
  capabilities: Capabilities,
): AttentionWays {
  const { H, Hd, cache } = attention;
  const { few, more, many } = tuneAttention(attention, workgroupLimits(capabilities));
  const heads = cache === "f16" && !missingFor(attentionHeads, capabilities) ? tuneHeads(attention) : undefined;
  const shuffles = cache === "f16" ? tuneShuffle(attention, capabilities, heads ? HEADS_FROM : ALONE) : [];
  const from = shuffles.at(-1)?.positions.to ?? more.positions.from;
  const beyond: Span = { from, to: Infinity };
  const { keys, atOnce } = heads ?? more.shape;
  const splits = splitsOf(maxContext, atOnce, keys);
  const way = (does: AttentionWay["does"], positions: Span, record: AttentionWay["record"]): AttentionWay => ({
    does,
    positions,
    record: (recorder, buffers, when) => record(recorder, buffers, { ...when, positions }),
  });
  const alone: AttentionWay[] =
    shuffles.length > 0
      ? shuffles.map(({ shape, positions }) =>
          way("alone", positions, (to, b, when) => recordKernel(to, attentionShuffle, { ...b, out: b.joined }, shape, when)),
        )
      : [way("alone", few.positions, (to, b, when) => recordKernel(to, attentionDecode, { ...b, out: b.joined }, few.shape, when))];
  const split: AttentionWay[] = heads
    ? [way("splits", beyond, (to, b, when) => recordKernel(to, attentionHeads, { ...b, out: b.partial_ }, heads, when))]
    : [more, many].map(({ shape, positions }) =>
        way("splits", { from: Math.max(from, positions.from), to: positions.to }, (to, b, when) =>
          recordKernel(to, attentionDecode, { ...b, out: b.partial_ }, shape, when),
        ),
      );
  const joins = way("joins", beyond, (to, b, when) => recordKernel(to, attentionCombine, b, { H, Hd, keys, atOnce, splits }, when));
  return { ways: [...alone, ...split, joins], splits };
}
