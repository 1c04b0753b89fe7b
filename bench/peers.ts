/**
 * gureum's CPU engine beside llama.cpp's native CPU code on the same weights, one thread each, in turns: prompts and decoding, by wall and
 * by CPU time. llama.cpp gets the weights as GGUF files that are made for this (peers/gguf.ts).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readWeights } from "../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import { writeFile } from "../core/host/write.ts";
import type { LlamaWeightRefs } from "../core/model/weights.ts";
import { occursIn } from "../core/names.ts";
import { greedy } from "../core/sample/sampler.ts";
import { type CpuOptions, loadCpuModel } from "../wasm/model.ts";
import { type Competitor, hostClock, measure, type Plan, processCpuMs } from "./harness.ts";
import { writeGguf } from "./peers/gguf.ts";
import { findLlamaCpp, openLlamaCpp, type Peer } from "./peers/llama-cpp.ts";
import { findWllama, openWllama } from "./peers/wllama.ts";
import { makeRow, type Row } from "./results.ts";

export interface PeersSelection {
  readonly name: string;
  readonly config: LlamaConfig;
  readonly refs: LlamaWeightRefs;
  readonly prompt: number;
  readonly newTokens: number;
  /** A Chromium to run wllama in; without it wllama is left out. */
  readonly browser?: string;
  /** Only peers whose name contains this, `*` standing for anything; all without it. */
  readonly filter?: string;
}

/** One of gureum's ways to compute, as a peer. */
async function openGureum({ config, refs }: PeersSelection, name: string, options: CpuOptions, contextSize: number): Promise<Peer> {
  const { model } = await loadCpuModel(config, refs, { threads: 1, ...options });
  const session = model.createSession(contextSize);
  return {
    name,
    async prefill(ids) {
      session.truncate(0);
      await session.prefill(ids);
    },
    async decode(last, count) {
      await session.prefill([last]);
      return [...(await session.decode(greedy, count)).ids];
    },
    async close() {
      session.dispose();
      model.dispose();
    },
  };
}

/** int4 alone has the one with an arithmetic. */
const ownWays: readonly { readonly name: string; readonly options: CpuOptions }[] = [
  { name: "gureum javascript", options: { ops: "javascript" } },
  { name: "gureum wasm", options: { ops: "wasm" } },
  { name: "gureum wasm fixed16", options: { ops: "wasm", arithmetic: "fixed16" } },
];

const promptOf = ({ config, prompt }: PeersSelection): number[] =>
  Array.from({ length: prompt }, (_, i) => 3 + ((i * 17) % (config.vocabSize - 3)));

/** What a peer is timed at. */
function competitors(peer: Peer, selection: PeersSelection): { competitor: Competitor; tokens: number }[] {
  const { name, prompt, newTokens } = selection;
  const ids = promptOf(selection);
  const timed = (what: string, tokens: number, prepare: () => Promise<void>, run: () => Promise<unknown>) => {
    let cpuMs = 0;
    const competitor: Competitor = {
      name: `${peer.name} ${what} ${name}`,
      timer: "host clock",
      grainMs: 0,
      maxCalls: 1,
      cpuMs: () => cpuMs,
      async sample() {
        await prepare();
        const cpuNow = async (): Promise<number> => (await peer.cpuMs?.()) ?? processCpuMs();
        const [cpuBefore, started] = [await cpuNow(), hostClock.now()];
        await run();
        const ms = hostClock.now() - started;
        cpuMs += (await cpuNow()) - cpuBefore;
        return ms;
      },
    };
    return { competitor, tokens };
  };
  return [
    timed(
      `prefill ${prompt}`,
      prompt,
      async () => {},
      () => peer.prefill(ids),
    ),
    timed(
      `decode ${newTokens} at ${prompt}`,
      newTokens,
      () => peer.prefill(ids),
      () => peer.decode(ids[0]!, newTokens),
    ),
  ];
}

/** Makes the peers' files in a temporary folder, runs all in turns and removes the folder. @throws what writing, loading and running throw */
export async function measurePeers(selection: PeersSelection, plan: Plan, onProgress?: (what: string) => void): Promise<Row[]> {
  const { config, refs, prompt, newTokens, browser, filter = "" } = selection;
  const wanted = occursIn(filter);
  const int4 = refs.layers.some(({ qProj }) => qProj.kind === "awq");
  const own = ownWays.filter(({ name, options }) => wanted(name) && (int4 || options.arithmetic === undefined));
  const files = (["f16", "q4_0"] as const)
    .map((type) => ({
      type,
      native: wanted(`llama.cpp ${type}`),
      web: type === "q4_0" && browser !== undefined && wanted(`wllama ${type}`),
    }))
    .filter(({ native, web }) => native || web);
  if (own.length + files.length === 0)
    throw new GureumError("usage", {
      where: "bench peers",
      what: "no peer matches",
      got: JSON.stringify(filter),
      remedy: "gureum bench --help names them",
    });
  // Before gigabytes are written for them.
  const llamaCpp = files.some(({ native }) => native) ? await findLlamaCpp() : undefined;
  const wllama = files.some(({ web }) => web) ? findWllama() : undefined;
  const folder = await mkdtemp(join(tmpdir(), "gureum-peers-"));
  const peers: Peer[] = [];
  const contextSize = Math.ceil((prompt + newTokens + 2) / 256) * 256;
  try {
    const weights = files.length > 0 ? await readWeights(refs) : undefined;
    for (const { type, native, web } of files) {
      onProgress?.(`writing GGUF ${type}`);
      const path = join(folder, `${type}.gguf`);
      await writeFile(path, (sink) => writeGguf(config, weights!, type, sink));
      if (native) peers.push(await openLlamaCpp(llamaCpp!, path, `llama.cpp ${type}`, contextSize));
      if (web) peers.push(await openWllama(wllama!, path, `wllama ${type}`, contextSize, browser!));
    }
    for (const { name, options } of own) peers.push(await openGureum(selection, name, options, contextSize));
    onProgress?.("measuring");
    const all = peers.flatMap((peer) => competitors(peer, selection));
    const timings = await measure(
      all.map(({ competitor }) => competitor),
      plan,
    );
    // What each says, beside what gureum says: f16 holds the same weights.
    const said: number[][] = [];
    for (const peer of peers) {
      await peer.prefill(promptOf(selection));
      said.push(await peer.decode(promptOf(selection)[0]!, newTokens));
    }
    const ours = said[peers.findIndex(({ name }) => name === "gureum wasm")];
    for (const [i, { name, said: tells = true }] of peers.entries()) {
      if (!tells || !ours) continue;
      const first = said[i]!.findIndex((id, at) => id !== ours[at]);
      onProgress?.(`${name}: ${first < 0 ? `all ${newTokens} ids` : `the first ${first} of ${newTokens} ids`} are those of gureum wasm`);
    }
    return timings.map((timing, i) => makeRow("model", timing, { tokens: all[i]!.tokens }, { operationsPerSecond: {} }, { threads: 1 }));
  } finally {
    for (const peer of peers) await peer.close();
    await rm(folder, { recursive: true, force: true });
  }
}
