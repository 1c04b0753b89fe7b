/** Device memory of the quantizer's search: texts in chunks, one layer's weights, the moments of its inputs, room for candidates. */
import type { LlamaConfig } from "../../core/config.ts";
import { type LinearName, linearParts, type NormName } from "../../core/model/layer.ts";
import { keptPlaces, type LinearInput, type Streams, shareOf } from "../../core/quant/search/capture.ts";
import { candidateCount, heats } from "../../core/quant/search/scale-search.ts";
import { judgedRows, type Settings } from "../../core/quant/search/stages.ts";
import { allocate, type Memory, upload } from "../device/buffer.ts";
import type { AttentionRoom, DeviceMatrix, FeedForwardRoom } from "../training/layer-steps.ts";

/** Rows that go through a layer together, about. */
const CHUNK_ROWS = 4096;

/** Rows that are copied: from, to. */
export interface Moves {
  readonly moves: GPUBuffer;
  readonly count: number;
}

/** Texts side by side in T rows, a multiple of 16; the last rows may be empty. */
export interface Chunk {
  readonly T: number;
  readonly x: GPUBuffer;
  readonly first: GPUBuffer;
  /** By heat: what of it the blocks are judged by. */
  readonly attention: readonly Moves[];
  readonly feedForward: readonly Moves[];
}

/** Rows that judge a block in one heat, and what the float weights make of them. */
export interface Judged {
  readonly T: number;
  readonly x: GPUBuffer;
  readonly right: GPUBuffer;
  readonly first: GPUBuffer;
}

export const inputSizes = (config: LlamaConfig): Map<LinearInput, number> =>
  new Map(linearParts.map(({ input, inFeatures }) => [input, inFeatures(config)]));

const multiple = (rows: number): number => Math.ceil(rows / 16) * 16;

export interface Room {
  readonly tokens: number;
  /** Candidates for a vector of scales. */
  readonly candidates: number;
  readonly chunks: readonly Chunk[];
  /** By block and heat. */
  readonly judged: Readonly<Record<"attention" | "feedForward", readonly Judged[]>>;
  /** The layer's weights in f32, scaled as the search goes on. */
  readonly linears: Readonly<Record<LinearName, DeviceMatrix>>;
  readonly norms: Readonly<Record<NormName, GPUBuffer>>;
  /** Σ xᵀx [K, K] of what linears read. */
  readonly grams: Readonly<Record<LinearInput, GPUBuffer>>;
  /** Σ |x| [K] */
  readonly sums: Readonly<Record<LinearInput, GPUBuffer>>;
  /** Σ over the rows of |w| / (largest |w| of its group), [K], of the linears that read this. */
  readonly magnitudes: Readonly<Record<LinearInput, GPUBuffer>>;
  /** A weight as the checkpoint has it. */
  readonly staged: GPUBuffer;
  /** [T, D] */
  readonly normed: GPUBuffer;
  readonly branch: GPUBuffer;
  readonly attention: AttentionRoom;
  readonly feedForward: FeedForwardRoom;
  /** Of a product xᵀx: xᵀ, and the result. */
  readonly turned: GPUBuffer;
  readonly square: GPUBuffer;
  /** Weights behind a candidate's scales, of three linears at the most: the third is v's. */
  readonly tried: readonly GPUBuffer[];
  /** Candidates' scales, one vector behind the other. */
  readonly scales: GPUBuffer;
  /** By linear and heat: rows of its weight that judge its scales; the last heat's are those of the report. */
  readonly rows: Readonly<Record<LinearName, readonly Moves[]>>;
  /** [rows, K]: these rows, what rounding changes in them, and that times H. */
  readonly someRows: GPUBuffer;
  readonly delta: GPUBuffer;
  readonly errors: GPUBuffer;
  /** Errors row by row; each candidate's begin `lossStride` behind the last one's. */
  readonly losses: GPUBuffer;
  readonly lossStride: number;
  /** By group (kernels.ts, matrix-kernels.ts, rounding-kernels.ts). */
  readonly largest: GPUBuffer;
  readonly whole: GPUBuffer;
  readonly best: GPUBuffer;
  readonly grids: GPUBuffer;
  /** AWQ's words of a linear. */
  readonly words: GPUBuffer;
}

/** Texts side by side in chunks, and what of them judges the blocks in each heat. */
function placeTexts(
  memory: Memory,
  D: number,
  { scaleSteps, blockTexts }: Settings,
  streams: Streams,
): Pick<Room, "tokens" | "chunks" | "judged"> {
  const words = (label: string, values: readonly number[]): GPUBuffer => upload(memory, label, Uint32Array.from(values));
  const lengths = streams.map((stream) => stream.length / D);
  const begins: number[] = [];
  let tokens = 0;
  for (const length of lengths) {
    begins.push(tokens);
    tokens += length;
  }
  const kept = keptPlaces(lengths, scaleSteps > 0 ? blockTexts : 0);
  /** By heat: the tokens that judge a block, in their order there, and the row that each one's text begins at there. */
  const judgedTokens = heats.map(({ share }) => {
    if (scaleSteps === 0) return { attention: [], first: [], feedForward: [] };
    const attention: number[] = [];
    const first: number[] = [];
    for (const text of shareOf(kept.texts, share)) {
      const at = attention.length;
      for (let t = 0; t < lengths[text]!; t++) {
        attention.push(begins[text]! + t);
        first.push(at);
      }
    }
    return { attention, first, feedForward: shareOf(kept.parts, share).flat() };
  });
  const together: number[][] = [];
  let rows = Infinity;
  for (const [text, length] of lengths.entries()) {
    if (rows + length > CHUNK_ROWS) {
      together.push([]);
      rows = 0;
    }
    together.at(-1)!.push(text);
    rows += length;
  }
  const chunks = together.map((texts): Chunk => {
    const begin = begins[texts[0]!]!;
    const count = texts.reduce((sum, text) => sum + lengths[text]!, 0);
    const T = multiple(count);
    const x = new Float32Array(T * D);
    const first = Array.from({ length: T }, (_, t) => t);
    for (const text of texts) {
      const at = begins[text]! - begin;
      x.set(streams[text]!, at * D);
      first.fill(at, at, at + lengths[text]!);
    }
    const movesFrom = (own: readonly number[]): Moves =>
      movesOf(
        memory,
        own.flatMap((token, to) => (token >= begin && token < begin + count ? [[token - begin, to] as const] : [])),
      );
    return {
      T,
      x: upload(memory, "texts", x),
      first: words("first", first),
      attention: judgedTokens.map(({ attention }) => movesFrom(attention)),
      feedForward: judgedTokens.map(({ feedForward }) => movesFrom(feedForward)),
    };
  });
  const judgedBy = (own: readonly number[], first: readonly number[]): Judged => {
    const T = multiple(Math.max(1, own.length));
    const begins = Array.from({ length: T }, (_, t) => first[t] ?? t);
    const rows = (label: string): GPUBuffer => allocate(memory, label, 4 * T * D);
    return { T, x: rows("judged by"), right: rows("right"), first: words("first", begins) };
  };
  return {
    tokens,
    chunks,
    judged: {
      attention: judgedTokens.map(({ attention, first }) => judgedBy(attention, first)),
      feedForward: judgedTokens.map(({ feedForward }) => judgedBy(feedForward, [])),
    },
  };
}

const movesOf = (memory: Memory, pairs: readonly (readonly [number, number])[]): Moves => ({
  moves: upload(memory, "moves", Uint32Array.from(pairs.length > 0 ? pairs.flat() : [0, 0])),
  count: pairs.length,
});

/** @param streams [T, D] each */
export function makeRoom(memory: Memory, config: LlamaConfig, settings: Settings, streams: Streams): Room {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const { groupSize, scaleSteps, scaleBoth } = settings;
  const f32 = (label: string, length: number): GPUBuffer => allocate(memory, label, 4 * length);
  const texts = placeTexts(memory, D, settings, streams);
  const { chunks, judged } = texts;
  const linears = Object.fromEntries(
    linearParts.map(({ name, outFeatures, inFeatures }) => {
      const [N, K] = [outFeatures(config), inFeatures(config)];
      return [name, { N, K, W: f32(name, N * K) }];
    }),
  ) as Record<LinearName, DeviceMatrix>;
  const matrices = Object.values(linears);
  const weights = Math.max(...matrices.map(({ N, K }) => N * K));
  const widest = Math.max(D, F, H * Hd);
  const T = Math.max(...[...chunks, ...judged.attention, ...judged.feedForward].map((part) => part.T));
  const candidates = scaleSteps > 0 ? candidateCount(scaleSteps, scaleBoth) : 1;
  const rowsOf = ({ N, K }: DeviceMatrix, share: number): Moves =>
    movesOf(
      memory,
      judgedRows(N, K, share).map((row, to) => [row, to] as const),
    );
  const judgedMost = Math.max(...matrices.map(({ N, K }) => judgedRows(N, K).length));
  const judgedWeights = Math.max(...matrices.map(({ N, K }) => judgedRows(N, K).length * K));
  const inputs = [...inputSizes(config)];
  const ofInputs = (length: (K: number) => number): Record<LinearInput, GPUBuffer> =>
    Object.fromEntries(inputs.map(([input, K]) => [input, f32(input, length(K))])) as Record<LinearInput, GPUBuffer>;
  const lossStride = Math.max(T, judgedMost);
  return {
    ...texts,
    candidates,
    linears,
    norms: { inputLayernorm: f32("norm", D), postAttentionLayernorm: f32("norm", D) },
    grams: ofInputs((K) => K * K),
    sums: ofInputs((K) => K),
    magnitudes: ofInputs((K) => K),
    staged: f32("staged", weights),
    normed: f32("normed", T * D),
    branch: f32("branch", T * D),
    attention: { q: f32("q", T * H * Hd), k: f32("k", T * G * Hd), v: f32("v", T * G * Hd), mixed: f32("mixed", T * H * Hd) },
    feedForward: { gate: f32("gate", T * F), up: f32("up", T * F), act: f32("act", T * F) },
    turned: f32("turned", T * widest),
    square: f32("square", Math.max(...inputs.map(([, K]) => K * K))),
    tried: [f32("tried", weights), f32("tried", weights), f32("tried", linears.vProj.N * linears.vProj.K)],
    scales: f32("scales", candidates * widest),
    rows: Object.fromEntries(
      Object.entries(linears).map(([name, matrix]) => [name, heats.map(({ share }) => rowsOf(matrix, share))]),
    ) as unknown as Record<LinearName, readonly Moves[]>,
    someRows: f32("some rows", judgedWeights),
    delta: f32("delta", judgedWeights),
    errors: f32("errors", judgedWeights),
    losses: f32("losses", candidates * lossStride),
    lossStride,
    largest: f32("largest", weights / groupSize),
    whole: f32("whole", (2 * weights) / groupSize),
    best: f32("best", (4 * weights) / groupSize),
    grids: f32("grids", (2 * weights) / groupSize),
    words: f32("words", weights / 8),
  };
}
