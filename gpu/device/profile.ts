/**
 * Where the time and memory of GPU work go, for any code that takes a `Gpu`: a device that looks like the given one,
 * counts the bytes of its buffers and, when told to, writes down how long commands took to encode and to submit, how
 * long each compute pass ran, or each kernel by itself. Nothing else in gpu/ knows of it. Timestamps come from the
 * device; without "timestamp-query" only the host's side is known.
 */
import { usage } from "./buffer.ts";
import { type Gpu, waited } from "./device.ts";

const QUERY_RESOLVE = 512;
/** Timestamps in a query set: WebGPU's limit where each dispatch has two, few where each token has. */
const QUERIES = { kernels: 4096, passes: 64 } as const;

/**
 * nothing: as if it were not there. passes: as the model runs. kernels: every dispatch in a pass of its own, slower.
 */
export type Watched = "nothing" | "passes" | "kernels";

/** Milliseconds since the last `take`. */
export interface Profile {
  /** Between making an encoder and finishing it. */
  readonly encodeMs: number;
  /** In `queue.submit` and `queue.writeBuffer`. */
  readonly submitMs: number;
  /** Calls of kernels. */
  readonly dispatches: number;
  /** Compute passes: one a decoded token, one a chunk of a prompt, as long as kernels are not watched. */
  readonly passes: number;
  /** Calls of `queue.submit`. */
  readonly submissions: number;
  /** Sum over compute passes; undefined without timestamps. */
  readonly gpuMs: number | undefined;
  /** By kernel, where kernels were watched: gaps between dispatches are in no kernel's time. */
  readonly kernels: ReadonlyMap<string, { readonly ms: number; readonly dispatches: number }>;
}

export interface Profiler {
  /** Shares pipelines and limits with the one it was made from. */
  readonly gpu: Gpu;
  watch(watched: Watched): void;
  /** Bytes of buffers made and not destroyed. */
  liveBytes(): number;
  /** Waits for the device and hands out what was written down. */
  take(): Promise<Profile>;
  close(): void;
}

interface Span {
  readonly kernel: string;
  readonly dispatches: number;
}

/** `target` with some members put in the place of its own; methods keep their `this`. */
function overlay<T extends object>(target: T, own: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(_target, key) {
      if (key in own) return own[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** @param now milliseconds of a clock that only goes forward */
export function makeProfiler(source: Gpu, now: () => number): Profiler {
  const { device } = source;
  const timed = source.capabilities.features.includes("timestamp-query");
  let watched: Watched = "nothing";
  let liveBytes = 0;
  let encodeMs = 0;
  let submitMs = 0;
  let dispatches = 0;
  let passes = 0;
  let submissions = 0;
  const pending: { readonly buffer: GPUBuffer; readonly querySet: GPUQuerySet; readonly spans: readonly Span[] }[] = [];

  /** The query sets of one command encoder. */
  const makeQueries = (encoder: GPUCommandEncoder) => {
    const count = watched === "kernels" ? QUERIES.kernels : QUERIES.passes;
    let querySet: GPUQuerySet | undefined;
    let spans: Span[] = [];
    const flush = (): void => {
      if (!querySet || spans.length === 0) return;
      const size = spans.length * 16;
      const buffer = device.createBuffer({ label: "profile", size, usage: QUERY_RESOLVE | usage.COPY_SRC });
      encoder.resolveQuerySet(querySet, 0, spans.length * 2, buffer, 0);
      pending.push({ buffer, querySet, spans });
      querySet = undefined;
      spans = [];
    };
    return {
      flush,
      /** Where the next pass writes its times. */
      next(span: Span): GPUComputePassTimestampWrites {
        if (spans.length * 2 >= count) flush();
        querySet ??= device.createQuerySet({ label: "profile", type: "timestamp", count });
        const at = spans.push(span) - 1;
        return { querySet, beginningOfPassWriteIndex: 2 * at, endOfPassWriteIndex: 2 * at + 1 };
      },
    };
  };

  const beginPass = (encoder: GPUCommandEncoder, queries: ReturnType<typeof makeQueries>): GPUComputePassEncoder => {
    if (watched !== "kernels" || !timed) {
      const span = { kernel: "", dispatches: 0 };
      const pass = encoder.beginComputePass(timed ? { timestampWrites: queries.next(span) } : {});
      passes++;
      // A member of its own, not an overlay: every other call goes straight to the device.
      const dispatch = pass.dispatchWorkgroups;
      return Object.defineProperty(pass, "dispatchWorkgroups", {
        value(x: number, y?: number, z?: number) {
          dispatches++;
          dispatch.call(pass, x, y, z);
        },
      });
    }
    let pipeline: GPUComputePipeline;
    const groups = new Map<number, GPUBindGroup>();
    const recorded = {
      setPipeline(next: GPUComputePipeline) {
        pipeline = next;
      },
      setBindGroup(index: number, group: GPUBindGroup) {
        groups.set(index, group);
      },
      dispatchWorkgroups(x: number, y?: number, z?: number) {
        dispatches++;
        passes++;
        const pass = encoder.beginComputePass({ timestampWrites: queries.next({ kernel: pipeline.label, dispatches: 1 }) });
        pass.setPipeline(pipeline);
        for (const [index, group] of groups) pass.setBindGroup(index, group);
        pass.dispatchWorkgroups(x, y, z);
        pass.end();
      },
      end() {},
    };
    return recorded as unknown as GPUComputePassEncoder;
  };

  const queue = overlay(device.queue, {
    submit(commands: Iterable<GPUCommandBuffer>) {
      const started = now();
      device.queue.submit([...commands]);
      submissions++;
      submitMs += now() - started;
    },
    writeBuffer(...args: Parameters<GPUQueue["writeBuffer"]>) {
      const started = now();
      device.queue.writeBuffer(...args);
      submitMs += now() - started;
    },
  });
  const profiled = overlay(device, {
    queue,
    createBuffer(descriptor: GPUBufferDescriptor) {
      const buffer = device.createBuffer(descriptor);
      let held = descriptor.size;
      liveBytes += held;
      const destroy = buffer.destroy.bind(buffer);
      return Object.defineProperty(buffer, "destroy", {
        value() {
          liveBytes -= held;
          held = 0;
          destroy();
        },
      });
    },
    createCommandEncoder(descriptor?: GPUCommandEncoderDescriptor) {
      if (watched === "nothing") return device.createCommandEncoder(descriptor);
      const started = now();
      const encoder = device.createCommandEncoder(descriptor);
      const queries = makeQueries(encoder);
      return overlay(encoder, {
        beginComputePass: () => beginPass(encoder, queries),
        finish() {
          queries.flush();
          const commands = encoder.finish();
          encodeMs += now() - started;
          return commands;
        },
      });
    },
  });

  const close = (): void => {
    for (const { buffer, querySet } of pending.splice(0)) {
      buffer.destroy();
      querySet.destroy();
    }
  };

  /** The spans of everything pending, each with its milliseconds. */
  const readSpans = async (): Promise<{ span: Span; ms: number }[]> => {
    const taken = pending.splice(0);
    if (taken.length === 0) return [];
    const size = taken.reduce((sum, { spans }) => sum + spans.length * 16, 0);
    const staging = device.createBuffer({ label: "profile", size, usage: usage.MAP_READ | usage.COPY_DST });
    try {
      const encoder = device.createCommandEncoder();
      let at = 0;
      for (const { buffer } of taken) {
        encoder.copyBufferToBuffer(buffer, 0, staging, at, buffer.size);
        at += buffer.size;
      }
      device.queue.submit([encoder.finish()]);
      await waited(source, "profile", staging.mapAsync(1));
      const ticks = new BigUint64Array(staging.getMappedRange());
      return taken
        .flatMap(({ spans }) => spans)
        .map((span, i) => ({ span, ms: Math.max(0, Number(ticks[2 * i + 1]! - ticks[2 * i]!) / 1e6) }));
    } finally {
      staging.destroy();
      for (const { buffer, querySet } of taken) {
        buffer.destroy();
        querySet.destroy();
      }
    }
  };

  return {
    gpu: Object.create(source, {
      device: { value: profiled, enumerable: true },
      checked: {
        get: () => source.checked,
        set(checked: boolean) {
          source.checked = checked;
        },
      },
    }) as Gpu,
    watch(next) {
      watched = next;
    },
    liveBytes: () => liveBytes,
    async take() {
      const spans = await readSpans();
      const kernels = new Map<string, { ms: number; dispatches: number }>();
      for (const { span, ms } of spans) {
        if (span.kernel === "") continue;
        const sum = kernels.get(span.kernel);
        kernels.set(span.kernel, { ms: (sum?.ms ?? 0) + ms, dispatches: (sum?.dispatches ?? 0) + span.dispatches });
      }
      const gpuMs = timed ? spans.reduce((sum, { ms }) => sum + ms, 0) : undefined;
      const profile = { encodeMs, submitMs, dispatches, passes, submissions, gpuMs, kernels };
      encodeMs = 0;
      submitMs = 0;
      dispatches = 0;
      passes = 0;
      submissions = 0;
      return profile;
    },
    close,
  };
}
