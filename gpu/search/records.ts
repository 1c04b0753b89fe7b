/** The quantizer's search written down once as dispatches, in segments that layer-search.ts submits. */
import { type LinearName, linearParts } from "../../core/model/layer.ts";
import { type Fold, folds } from "../../core/quant/search/quantize-layer.ts";
import { heats } from "../../core/quant/search/scale-search.ts";
import { type Kernel, spread } from "../pipeline/kernel.ts";
import { makeRecorder, type Recorder } from "../pipeline/recorder.ts";
import { across, type DeviceLinears, type LayerSteps } from "../training/layer-steps.ts";
import { behindScales, CLIP_ROWS, clip } from "./kernels.ts";
import { columnSums, extremes, gathered, lessened, rescaled, rowSums, widened } from "./matrix-kernels.ts";
import { gridsOfRanges, packed, roundedDelta } from "./rounding-kernels.ts";
import type { Chunk, Judged, Moves, Room } from "./search-room.ts";

/** Dispatches from … to. */
export interface Segment {
  readonly from: number;
  readonly to: number;
}

/** Candidates of a heat: what comes first, then one after the other; losses lie in so many rows of each. */
export interface HeatRecord {
  readonly before: Segment;
  readonly slots: readonly Segment[];
  readonly rows: number;
}

export interface SearchShape {
  readonly top: number;
  readonly groupSize: number;
  readonly cut: (name: LinearName) => boolean;
  readonly asymmetric: boolean;
}

/** Of a linear: squares of its outputs; errors of plain rounding and within cut ranges, where ranges are cut; its words. */
export interface LinearRecord {
  readonly power: Segment;
  readonly whole: Segment;
  readonly cut: Segment | null;
  readonly packed: Segment;
}

export interface SearchRecord {
  readonly recorder: Recorder;
  /** A staged weight of this dtype (matrix-kernels.ts) to f32. */
  widened(name: LinearName, dtype: number): Segment;
  /** By chunk: through the layer; and with what its linears read. */
  readonly chunks: readonly { readonly moved: Segment; readonly captured: Segment }[];
  readonly magnitudes: Segment;
  /** By what a fold's scales go into: its heats. */
  readonly folds: ReadonlyMap<Fold["into"], readonly HeatRecord[]>;
  /** The scales that were chosen, put into weights and moments; they lie at the beginning of `scales`. */
  readonly folded: ReadonlyMap<Fold["into"], Segment>;
  readonly linears: ReadonlyMap<LinearName, LinearRecord>;
}

const nameOfInput = { inputLayernorm: "attention", postAttentionLayernorm: "feedForward" } as const;

export function recordSearch(steps: LayerSteps, room: Room, { top, groupSize: G, cut, asymmetric }: SearchShape): SearchRecord {
  const r = makeRecorder();
  const { linears, grams } = room;
  const { run } = steps;
  const segment = (body: () => void): Segment => {
    const from = r.dispatches.length;
    body();
    return { from, to: r.dispatches.length };
  };
  const gather = (x: GPUBuffer, { moves, count }: Moves, out: GPUBuffer, K: number): void => {
    if (count > 0) run(r, gathered as Kernel, { x, moves, out }, { count, K }, across(count * K));
  };
  const rounded = (name: LinearName, W: GPUBuffer, N: number, at: number, out: GPUBuffer): void => {
    const { K } = linears[name];
    const groups = (N * K) / G;
    run(r, behindScales as Kernel, { W, s: room.scales, out }, { groups, K, G, at, top }, spread(groups));
  };
  const inputOf = Object.fromEntries(linearParts.map(({ name, input }) => [name, input])) as Record<LinearName, keyof Room["grams"]>;
  /** losses[at + row] = d H dᵀ of rows d [count, K]. */
  const weigh = (name: LinearName, delta: GPUBuffer, count: number, at: number): void => {
    const { K } = linears[name];
    steps.product(r, room.errors, delta, grams[inputOf[name]], count, K, K);
    run(r, rowSums as Kernel, { a: room.errors, b: delta, sums: room.losses }, { K, at, mode: 1 }, spread(count));
  };

  /** A chunk of texts through the layer, in place; with what its linears read, where that is wanted. */
  const through = ({ T, x, first, attention, feedForward }: Chunk, captures: boolean): void => {
    const D = linears.qProj.K;
    const capture = (input: keyof Room["grams"], from: GPUBuffer): void => {
      if (!captures) return;
      const K = Object.values(linears)[Object.keys(linears).findIndex((name) => inputOf[name as LinearName] === input)]!.K;
      steps.turned(r, room.turned, from, T, K);
      steps.product(r, room.square, room.turned, room.turned, K, K, T);
      steps.addTo(r, grams[input], room.square, K, K);
      run(r, columnSums as Kernel, { x: from, largest: room.largest, sums: room.sums[input] }, { R: T, K, G: 0 }, [
        Math.ceil(K / 64),
        1,
        1,
      ]);
      if (input !== "inputLayernorm" && input !== "postAttentionLayernorm") return;
      const moves = input === "inputLayernorm" ? attention : feedForward;
      for (const [h] of heats.entries()) gather(from, moves[h]!, room.judged[nameOfInput[input]][h]!.x, D);
    };
    steps.norm(r, room.normed, x, room.norms.inputLayernorm, T);
    capture("inputLayernorm", room.normed);
    steps.attention(r, room.branch, room.normed, linears, room.attention, first, T);
    capture("attention", room.attention.mixed);
    steps.addTo(r, x, room.branch, T, D);
    steps.norm(r, room.normed, x, room.norms.postAttentionLayernorm, T);
    capture("postAttentionLayernorm", room.normed);
    steps.feedForward(r, room.branch, room.normed, linears, room.feedForward, T);
    capture("siluMul", room.feedForward.act);
    steps.addTo(r, x, room.branch, T, D);
  };

  /** What a block makes of a heat's rows with these weights. */
  const block = (name: "attention" | "feedForward", own: DeviceLinears, { T, x, first }: Judged, to: GPUBuffer): void => {
    if (name === "attention") steps.attention(r, to, x, own, room.attention, first, T);
    else steps.feedForward(r, to, x, own, room.feedForward, T);
  };

  /** A fold's heat: each candidate's scales lie in `scales`, one behind the other. */
  const heatOf = ({ linears: names, block: judge }: Fold, h: number): HeatRecord => {
    const K = linears[names[0]!].K;
    const count = h === 0 ? room.candidates : Math.min(room.candidates, heats[h - 1]!.kept + 1);
    const slots = (body: (at: number, i: number) => void): Segment[] =>
      Array.from({ length: count }, (_, i) => segment(() => body(i * room.lossStride, i)));
    if (judge) {
      const own = room.judged[judge][h]!;
      const before = segment(() => block(judge, linears, own, own.right));
      const D = linears.qProj.K;
      const tried = slots((at, i) => {
        const changed = { ...linears };
        for (const [place, name] of names.entries()) {
          const W = room.tried[place]!;
          rounded(name, linears[name].W, linears[name].N, i * K, W);
          changed[name] = { ...linears[name], W };
        }
        block(judge, changed, own, room.branch);
        run(r, rowSums as Kernel, { a: room.branch, b: own.right, sums: room.losses }, { K: D, at, mode: 0 }, spread(own.T));
      });
      return { before, slots: tried, rows: own.T };
    }
    const name = names[0]!;
    const rows = room.rows[name][h]!;
    const before = segment(() => gather(linears[name].W, rows, room.someRows, K));
    const tried = slots((at, i) => {
      rounded(name, room.someRows, rows.count, i * K, room.delta);
      run(r, lessened as Kernel, { y: room.someRows, x: room.delta }, { length: rows.count * K }, across(rows.count * K));
      weigh(name, room.delta, rows.count, at);
    });
    return { before, slots: tried, rows: rows.count };
  };

  const rescale = (x: GPUBuffer, R: number, C: number, mode: number): void =>
    run(r, rescaled as Kernel, { s: room.scales, x }, { length: R * C, C, mode }, across(R * C));

  const linearRecord = (name: LinearName): LinearRecord => {
    const { N, K, W } = linears[name];
    const groups = (N * K) / G;
    const rows = room.rows[name].at(-1)!;
    const { best, whole, largest } = room;
    const delta = (): void =>
      run(
        r,
        roundedDelta as Kernel,
        { W, best, rows: rows.moves, out: room.delta },
        { count: rows.count, K, G, top },
        across(rows.count * K),
      );
    const ranges = (): void => run(r, extremes as Kernel, { x: W, largest, whole, best }, { groups, G }, across(groups));
    const clipped = (): void => {
      const H = grams[inputOf[name]];
      for (const mode of [0, 1, ...(asymmetric ? [2, 3, 2, 3] : [])])
        run(r, clip as Kernel, { W, H, whole, best }, { N, K, G, pitch: K, top, mode }, [Math.ceil(N / CLIP_ROWS), K / G, 1]);
      delta();
      weigh(name, room.delta, rows.count, 0);
    };
    return {
      power: segment(() => {
        gather(W, rows, room.someRows, K);
        weigh(name, room.someRows, rows.count, 0);
      }),
      whole: segment(() => {
        ranges();
        delta();
        weigh(name, room.delta, rows.count, 0);
      }),
      cut: cut(name) ? segment(clipped) : null,
      packed: segment(() => {
        run(r, gridsOfRanges as Kernel, { best, grids: room.grids }, { groups, top }, across(groups));
        run(r, packed as Kernel, { W, grids: room.grids, words: room.words }, { N, K, G, top }, across((N / 8) * K));
      }),
    };
  };

  const byDtype = new Map<string, Segment>();
  for (const { name } of linearParts)
    for (const dtype of [0, 1, 2]) {
      const { N, K, W } = linears[name];
      const count = N * K;
      const words = dtype === 0 ? count : Math.ceil(count / 2);
      byDtype.set(
        `${name} ${dtype}`,
        segment(() => run(r, widened as Kernel, { words: room.staged, out: W }, { count, dtype }, across(words))),
      );
    }
  const searched = room.candidates > 1 ? folds : [];
  return {
    recorder: r,
    widened: (name: LinearName, dtype: number): Segment => byDtype.get(`${name} ${dtype}`)!,
    chunks: room.chunks.map((chunk) => ({ moved: segment(() => through(chunk, false)), captured: segment(() => through(chunk, true)) })),
    /** Σ of |w| over the largest of its group, by input. */
    magnitudes: segment(() => {
      for (const { name } of linearParts) {
        const { N, K, W } = linears[name];
        const { largest, whole, best } = room;
        run(r, extremes as Kernel, { x: W, largest, whole, best }, { groups: (N * K) / G, G }, across((N * K) / G));
        const sums = room.magnitudes[inputOf[name]];
        run(r, columnSums as Kernel, { x: W, largest, sums }, { R: N, K, G }, [Math.ceil(K / 64), 1, 1]);
      }
    }),
    folds: new Map(searched.map((fold) => [fold.into, heats.map((_, h) => heatOf(fold, h))] as const)),
    /** Chosen scales lie at the beginning of `scales`. */
    folded: new Map(
      searched.map(({ linears: names, input, into }) => [
        into,
        segment(() => {
          const { K } = linears[names[0]!];
          for (const name of names) rescale(linears[name].W, linears[name].N, K, 0);
          if (into === "vProj" || into === "upProj") rescale(linears[into].W, linears[into].N, linears[into].K, 1);
          rescale(grams[input], K, K, 2);
        }),
      ]),
    ),
    linears: new Map(linearParts.map(({ name }) => [name, linearRecord(name)] as const)),
  };
}
