/**
 * Loads a model, answers with it and disposes of it, again and again in one process:
 * `node --expose-gc dist/conformance/test/endurance/loads.js [ROUNDS] [cpu|webgpu]`. Resident memory and the buffers of the device end where they were: the second
 * half of the rounds holds no more than the first. Every fifty rounds say how it stands. A few of these rounds run with the tests.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openDevice } from "../../../gpu/device/device.ts";
import { embeddedModel, type LoadedModel, loadModel } from "../../../index.ts";

export interface Loads {
  readonly rounds: number;
  /** WebGPU: buffers that were made, and that are left once all is disposed of, after each round. */
  readonly made: number;
  readonly left: readonly number[];
  /** Resident memory after each round, and the heap's used part, in MiB. */
  readonly rssMiB: readonly number[];
  readonly heapMiB: readonly number[];
}

/** A device that counts its buffers, and what it holds. */
function counted(device: GPUDevice): { device: GPUDevice; live: Set<GPUBuffer>; made: () => number } {
  const live = new Set<GPUBuffer>();
  let made = 0;
  const proxy = new Proxy(device, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name !== "createBuffer") return typeof value === "function" ? value.bind(target) : value;
      return (descriptor: GPUBufferDescriptor): GPUBuffer => {
        const buffer = target.createBuffer(descriptor);
        live.add(buffer);
        made++;
        const destroy = buffer.destroy.bind(buffer);
        Object.defineProperty(buffer, "destroy", {
          value: () => {
            live.delete(buffer);
            destroy();
          },
        });
        return buffer;
      };
    },
  });
  return { device: proxy, live, made: () => made };
}

/** What a user of the library does with a model: sessions, a fork, a conversation, a batch, an answer cut off, one that fails. */
async function use(model: LoadedModel): Promise<void> {
  const session = model.createSession(64);
  await session.prefill([1, 2, 3, 4]);
  await session.decode(undefined as never, 3).catch(() => {});
  const fork = await session.fork();
  await fork.forward([5]);
  fork.dispose();
  const talk = model.createConversation();
  for await (const _ of talk.generate({ text: "구름" }, { maxNewTokens: 2 }));
  talk.dispose();
  for await (const { id } of model.generate({ text: "구름" }, { maxNewTokens: 9 })) if (id !== null) break;
  await model.generateAll(["가", "나다"], { maxNewTokens: 2, sequences: 2 });
  const batch = model.createBatch(2, 32);
  await batch.prefill(0, [1, 2]);
  await session.prefill([-1]).catch(() => {});
  // Session and batch are left to the model.
}

export async function loadAndDispose(rounds: number, backend: "cpu" | "webgpu", onRound?: (so: Loads) => void): Promise<Loads> {
  const gpu = backend === "webgpu" ? await openDevice({ portable: true }) : undefined;
  const { device, live, made } = gpu ? counted(gpu.device) : { device: undefined, live: new Set(), made: () => 0 };
  const rssMiB: number[] = [];
  const heapMiB: number[] = [];
  const left: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const model = await loadModel(embeddedModel(), { backend, ...(device ? { device } : {}) });
    if (round % 10 === 0) await use(model);
    else for await (const _ of model.generate({ ids: [1, 2, 3] }, { maxNewTokens: 1 }));
    model.dispose();
    left.push(live.size);
    (globalThis as { gc?: () => void }).gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    rssMiB.push(Math.round(rss / 2 ** 20));
    heapMiB.push(Math.round(heapUsed / 2 ** 20));
    onRound?.({ rounds: round + 1, made: made(), left, rssMiB, heapMiB });
  }
  gpu?.device.destroy();
  return { rounds, made: made(), left, rssMiB, heapMiB };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
/** Median of the second quarter and of the last of some numbers. */
export const quarters = (values: readonly number[]): readonly [number, number] => {
  const n = values.length >> 2;
  return [median(values.slice(n, 2 * n)), median(values.slice(-n))];
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [rounds = "300", backend = "cpu"] = process.argv.slice(2);
  await loadAndDispose(Number(rounds), backend as "cpu" | "webgpu", ({ rounds: done, made, left, rssMiB, heapMiB }) => {
    const isLast = done === Number(rounds);
    if (done % 50 !== 0 && !isLast) return;
    const [rss, heap] = [quarters(rssMiB), quarters(heapMiB)];
    console.log(
      JSON.stringify({ backend, rounds: done, made, mostLeft: Math.max(...left), rss, heap, ...(isLast ? { rssMiB, heapMiB } : {}) }),
    );
  });
  process.exit(0);
}
