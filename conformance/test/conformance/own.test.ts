/**
 * Kernels of one's own: what a record and its WGSL must say, and what conformance and bench make of them on a device.
 * About 6 s of CPU.
 */
import { afterAll, describe, expect, it } from "vitest";
import { makeGpuTimer } from "../../../bench/gpu-timer.ts";
import { measureKernels } from "../../../bench/kernels.ts";
import { benchOwnKernel } from "../../../bench/own-bench.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { GureumError } from "../../../core/errors.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { BOUND_LAW } from "../../check/case.ts";
import { checkKernel } from "../../check.ts";
import { laws } from "../../laws.ts";
import { renumberInvocations } from "../../mutation/schedule.ts";
import { checkOwnKernel } from "../../own/check.ts";
import { readDeclarations } from "../../own/declared.ts";
import { checkOwn, type OwnKernel } from "../../own/kernel.ts";
import { ownSubjects } from "../../own/subjects.ts";
import { expectHandled } from "../fixtures/failing.ts";

const example = new URL("../../../dist/docs/examples/own-kernel.js", import.meta.url).href;
const { default: kernel } = (await import(example)) as { default: OwnKernel };
const main = "@compute @workgroup_size(64) fn main() {}";

describe("what a kernel's WGSL declares", () => {
  it("is read however it is written, comments aside", () => {
    const wgsl = `
      // @group(0) @binding(9) var<storage> gone: array<f32>;
      struct Params {
        K: u32, /* rows */ bias: f32,
        shift: i32,
      };
      @binding(1) @group(0) var<storage,read_write> out : array<vec4f>;
      @group(0)
      @binding(0) var<storage> x: array<f32>;
      @group(0) @binding(2) var<uniform> params: Params;
      override WIDTH: u32 = 4u; override fast = true;
      ${main}`;
    expect(readDeclarations("mine", wgsl)).toEqual({
      bindings: { x: "read", out: "readWrite" },
      params: { K: "u32", bias: "f32", shift: "i32" },
      overrides: { WIDTH: "u32", fast: "f32" },
    });
  });

  it.each([
    ["nothing", main, /mine: no bindings in the WGSL/],
    ["a gap", `@group(0) @binding(1) var<storage> x: array<f32>; ${main}`, /mine > x: binding, expected @group\(0\) @binding\(0\)/],
    ["another group", `@group(1) @binding(0) var<storage> x: array<f32>; ${main}`, /expected @group\(0\) @binding\(0\).*got @group\(1\)/],
    [
      "params of vectors",
      `struct P { a: vec2f } @group(0) @binding(0) var<uniform> params: P; ${main}`,
      /field a of params, expected one of u32, i32, f32, got vec2f/,
    ],
    [
      "params before others",
      "@group(0) @binding(0) var<uniform> params: P; @group(0) @binding(1) var<storage> x: array<f32>;",
      /params: binding, expected the last/,
    ],
    ["a texture's space", "@group(0) @binding(0) var<private> x: array<f32>;", /address space/],
  ])("and %s is refused by name", (_what, wgsl, message) => {
    expect(() => readDeclarations("mine", wgsl)).toThrow(message);
  });
});

const record = { name: "mine", op: "add", wgsl: main, workgroups: () => [1] } as const;

describe("a record", () => {
  it.each<[string, unknown, RegExp]>([
    ["null", null, /a\.mjs: no kernel, expected a record .*got null/],
    ["without a name", { ...record, name: undefined }, /a\.mjs: name, expected a word/],
    ["with a number as WGSL", { ...record, wgsl: 3 }, /a\.mjs > mine: wgsl, expected a string, or a function/],
    ["with a list as workgroups", { ...record, workgroups: [1, 1, 1] }, /a\.mjs > mine: workgroups, expected a function/],
    ["with a word of another language", { ...record, accepts: "all" }, /a\.mjs > mine: accepts, expected a function/],
    ["with an unknown field", { ...record, worgroups: 1 }, /unknown field "worgroups"/],
    ["with an unknown arithmetic", { ...record, arithmetic: "f23" }, /arithmetic, expected one of f64, f32/],
    ["with an unknown limit", { ...record, limits: { maxSpeed: 1 } }, /limits\.maxSpeed/],
  ])("%s is refused by name", (_what, value, message) => {
    expect(() => checkOwn("a.mjs", value)).toThrow(message);
  });

  it("is taken with the first four fields alone", () => {
    expect(checkOwn("a.mjs", record)).toBe(record);
  });
});

describe("a kernel whose numbers are declared in another form", () => {
  const body = "var<workgroup> w: array<u32, 64>;";
  it.each([
    ["in a struct", `${body} struct In { @builtin(local_invocation_index) lane: u32 } @compute @workgroup_size(64) fn main(in: In) {}`],
    [
      "over the whole grid as well",
      `${body} @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3u, @builtin(local_invocation_index) lane: u32) {}`,
    ],
    [
      "beside a variable of the renumbered text",
      `${body} @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) lane: u32) { let renumbered = 1u; }`,
    ],
  ])("%s is left as it is", (_what, wgsl) => {
    const given = { name: "mine", wgsl, bindings: {}, params: {} };
    expect(renumberInvocations(given, true)).toBe(given);
  });

  it("as vec3u is renumbered as one of vec3<u32>", () => {
    const wgsl = (type: string): string =>
      `@compute @workgroup_size(64)\nfn main(@builtin(local_invocation_id) at: ${type}) { out[at.x] = 1; }`;
    const [short, long] = ["vec3u", "vec3<u32>"].map(
      (type) => renumberInvocations({ name: "mine", wgsl: wgsl(type), bindings: {}, params: {} }, true).wgsl,
    );
    expect(short).toContain("renumbered");
    expect(short).toBe(long);
  });
});

/** A dense linear of f32 weights: one invocation per output, whatever the number of rows. */
const linear: OwnKernel = {
  name: "my-linear",
  op: "matmul",
  wgsl: ({ hasBias }) => `
struct Params { T: u32, K: u32, N: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) {
  if (at.x >= params.T * params.N) { return; }
  let t = at.x / params.N;
  let n = at.x % params.N;
  var sum = 0.0;
  for (var k = 0u; k < params.K; k++) { sum += x[t * params.K + k] * weight[n * params.K + k]; }
  out[at.x] = sum${hasBias ? " + bias[n]" : ""};
}`,
  accepts: ({ dtype }) => dtype === "F32",
  workgroups: ({ T, N }) => [Math.ceil((T * Number(N)) / 64)],
};

/** An int4 linear over the checkpoint's words, one invocation per output. */
const int4: OwnKernel = {
  name: "my-int4",
  op: "awq-matmul",
  wgsl: `
struct Params { T: u32, K: u32, N: u32, groupSize: u32, hasBias: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> qweight: array<u32>;
@group(0) @binding(2) var<storage, read> qzeros: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;
const order = array<u32, 8>(0u, 4u, 1u, 5u, 2u, 6u, 3u, 7u);
fn nibble(word: u32, n: u32) -> f32 { var at = order; return f32((word >> (4u * at[n % 8u])) & 15u); }
@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n = group.x * 8u + local.x;
  let t = group.y * 8u + local.y;
  if (t >= params.T) { return; }
  let words = params.N / 8u;
  var sum = 0.0;
  for (var k = 0u; k < params.K; k++) {
    let g = k / params.groupSize;
    let pair = unpack2x16float(scales[(g * params.N + n) / 2u]);
    let q = nibble(qweight[k * words + n / 8u], n) - nibble(qzeros[g * words + n / 8u], n);
    sum += x[t * params.K + k] * (q * select(pair.x, pair.y, n % 2u == 1u));
  }
  if (params.hasBias == 1u) { sum += bias[n]; }
  out[t * params.N + n] = sum;
}`,
  workgroups: ({ T, N }) => [Number(N) / 8, Math.ceil(T / 8)],
};

/** A sum that asks its buffers for their length. */
const sum: OwnKernel = {
  name: "my-add",
  op: "add",
  wgsl: `
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3u) { if (at.x < arrayLength(&x)) { x[at.x] += y[at.x]; } }`,
  workgroups: ({ T, width }) => [Math.ceil((T * Number(width)) / 64)],
};

const gpu = await openDevice().catch((error: unknown) => {
  if (error instanceof GureumError && error.code === "no-adapter") return undefined;
  throw error;
});
afterAll(() => gpu && closeDevice(gpu));

describe.skipIf(!gpu)("on a WebGPU device", () => {
  it.each([kernel, linear, int4, sum])("$name keeps every law of $op, told once", async (own) => {
    const subjects = await ownSubjects(gpu!, own);
    expect(subjects.map(({ backend, variant }) => `${backend}/${variant}`)).toEqual([`own/${own.name}`]);
    const row = await checkKernel(laws[own.op as "add"], subjects[0]!, { runs: 4, seed: 1 });
    expect(row.failures).toEqual([]);
    expect(row.cases).toBeGreaterThan(10);
  });

  it("one record feeds the laws and the times, on a device of the caller's", async () => {
    const [row, ...rest] = await checkOwnKernel(sum, { device: gpu!, runs: 1, seed: 1, laws: [BOUND_LAW] });
    expect(rest).toEqual([]);
    expect(row).toMatchObject({ op: "add", backend: "own", variant: "my-add", failures: [] });
    const shape = { name: "tiny", config: synthShapes.tiny.config };
    const plan = { warmupMs: 1, minRounds: 3, maxRounds: 3, timeMs: 10 };
    const limits = { operationsPerSecond: {} };
    const { rows, skipped } = await benchOwnKernel(sum, { device: gpu!, shape, rows: [1, 2], runs: 1, plan, limits });
    expect(rows.map(({ name }) => name)).toEqual([1, 2].flatMap((T) => ["my-add", "add"].map((name) => `${name} hidden T=${T} tiny`)));
    expect(skipped).toEqual([]);
    await expect(checkOwnKernel({ ...sum, op: 3 } as unknown as OwnKernel, { device: gpu!, runs: 1, seed: 1 })).rejects.toThrow(
      /my-add: op, expected the name of an op/,
    );
  });

  it("a shape that asks for more workgroups than there are is left out, and the others are measured", async () => {
    const shape = { name: "tiny", config: synthShapes.tiny.config };
    const large: OwnKernel = {
      ...sum,
      workgroups: ({ T, width }) => [T > 1 ? 70_000 : Math.ceil(Number(width) / 64)],
      accepts: ({ T }) => T === 1,
    };
    const bench = {
      device: gpu!,
      shape,
      rows: [1, 2],
      runs: 1,
      plan: { warmupMs: 1, minRounds: 3, maxRounds: 3, timeMs: 10 },
      limits: { operationsPerSecond: {} },
    };
    const { accepts: _, ...takesAll } = large;
    for (const [own, reason] of [[large, /does not take this shape/]] as const) {
      const { rows, skipped } = await benchOwnKernel(own, bench);
      expect(rows.map(({ name }) => name)).toEqual(["my-add hidden T=1 tiny", "add hidden T=1 tiny", "add hidden T=2 tiny"]);
      expect(skipped).toEqual([{ name: "my-add hidden T=2 tiny", reason: expect.stringMatching(reason) }]);
    }
    await expect(benchOwnKernel({ ...takesAll, workgroups: () => [70_000] }, bench)).rejects.toThrow(
      /one to three whole numbers of 1 to 65535/,
    );
  });

  const faults: [string, OwnKernel][] = [
    ["the second number of each pair", { ...int4, wgsl: (int4.wgsl as string).replace("pair.x, pair.y", "pair.y, pair.x") }],
    ["a row that is left out", { ...kernel, workgroups: ({ T }) => [Math.max(1, T - 1)] }],
    ["an index one too far", { ...sum, wgsl: (sum.wgsl as string).replace("arrayLength(&x)", "arrayLength(&x) - 1u") }],
  ];
  it.each(faults)("%s wrong is a violation", async (_what, own) => {
    const [subject] = await ownSubjects(gpu!, own);
    const row = await checkKernel(laws[own.op as "add"], subject!, { runs: 4, seed: 1, laws: [BOUND_LAW] });
    expect(row.failures).toHaveLength(1);
    expect(row.failures[0]!.message).not.toMatch(/threw/);
  });

  const late = async (): Promise<never> => {
    throw new Error("mine");
  };
  const refused: [string, Partial<OwnKernel>, string, RegExp][] = [
    ["an op that is not there", { op: "conv" }, "usage", /no such op/],
    ["an op without a kernel", { op: "softmax" }, "usage", /my-add: gureum has no kernel of softmax .* ops with kernels are/],
    ["a kernel of another op", { like: "rope" }, "usage", /no such kernel of add, expected like: one of add, got "rope"/],
    [
      "a buffer that is not there",
      { wgsl: (sum.wgsl as string).replaceAll(/\by\b/g, "z") },
      "format",
      /my-add > z: no such buffer of add, expected one of step, x, y/,
    ],
    [
      "params of which nobody says the value",
      {
        wgsl: `struct P { depth: u32 } @group(0) @binding(0) var<storage, read_write> x: array<f32>; @group(0) @binding(1) var<uniform> params: P; ${main}`,
      },
      "format",
      /params > depth: nobody says its value, expected a field of the shape \(width, T, start\)/,
    ],
    ["workgroups that are none", { workgroups: () => [0.5] }, "range", /workgroups, expected one to three whole numbers/],
    [
      "a function that throws",
      {
        workgroups: () => {
          throw new Error("mine");
        },
      },
      "format",
      /my-add > workgroups: threw Error: mine/,
    ],
    [
      "an answer that is none",
      { accepts: () => "yes" as never },
      "format",
      /my-add: what accepts gives, expected true or false, got "yes"/,
    ],
    [
      "an answer that comes later",
      { accepts: late as never },
      "format",
      /my-add: what accepts gives, expected a value at once, got a promise/,
    ],
    ["WGSL that comes later", { wgsl: late as never }, "format", /my-add: what wgsl gives, expected a value at once, got a promise/],
    [
      "workgroups that come later",
      { workgroups: late as never },
      "format",
      /what workgroups gives, expected a value at once, got a promise/,
    ],
    ["no case that it takes", { accepts: () => false }, "usage", /my-add: takes no case of add/],
    [
      "WGSL that does not compile",
      { wgsl: (sum.wgsl as string).replace("x[at.x] += ", "x[at.x] +== ") },
      "pipeline",
      /my-add: does not compile on this device, got line 5:\d+ /,
    ],
    ["a feature that no device has", { features: ["telepathy"] }, "missing-feature", /feature telepathy/],
  ];
  it.each(refused)("%s ends in one named line, before a law is tried", async (_what, change, code, message) => {
    await expectHandled(async () => {
      const error: unknown = await ownSubjects(gpu!, { ...sum, ...change }).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(GureumError);
      expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
      expect((error as GureumError).message).not.toContain("\n");
    });
  });

  it("bench shows it in turns with gureum's kernels of the task, each with time, share, error and bound", async () => {
    const timer = await makeGpuTimer(gpu!);
    const shape = { name: "tiny", config: synthShapes.tiny.config };
    const limits = { readBytesPerSecond: 1e9, operationsPerSecond: { f32: 1e9 } };
    const wrong: OwnKernel = { ...int4, name: "wrong", wgsl: (int4.wgsl as string).replace("pair.x, pair.y", "pair.y, pair.x") };
    const { rows, violations } = await measureKernels(timer, { shape, rows: [1], filter: "kProj", own: [int4, wrong], runs: 1 }, limits, {
      warmupMs: 1,
      minRounds: 3,
      maxRounds: 3,
      timeMs: 10,
    });
    timer.close();
    const names = rows.map(({ name }) => name.split(" ")[0]);
    for (const name of ["my-int4", "wrong", "awq-matmul", "awq-matmul-packed", "awq-matmul-tiled"]) expect(names).toContain(name);
    expect(new Set(rows.map(({ bytes }) => bytes)).size).toBeLessThanOrEqual(2); // one per layout
    for (const { name, median, limitShare, check } of rows) {
      expect(median).toBeGreaterThan(0);
      expect(limitShare).toBeGreaterThan(0);
      // A violation ends its check.
      if (check!.holds) expect(check!.cases).toBeGreaterThan(20);
      expect(check!.holds, name).toBe(!name.startsWith("wrong"));
    }
    expect(violations.map(({ kernel: name }) => name)).toEqual(["wrong"]);
  });
});
