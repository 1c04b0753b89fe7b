/**
 * The arithmetic of a device: how it rounds, flushes, fuses and approximates, as measured. The facts on which bounds
 * and bug reports rest; `gureum device --arithmetic` prints them. Every probe reads its inputs from a buffer, so that
 * nothing is folded at compile time; what a compiler folds at run time anyway (a conversion there and back) is one of
 * the findings.
 */
import { freeAll, makeMemory, readRanges, upload } from "../../gpu/device/buffer.ts";
import type { Gpu } from "../../gpu/device/device.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, record, submit } from "../../gpu/pipeline/recorder.ts";
import { halfNumbers, ulpF32 } from "../accuracy.ts";
import { uniform } from "../arbitraries.ts";

/** How a value between two f16 became one of them. */
export type Rounding = "to nearest, ties to even" | "toward zero" | "not at all (folded away)" | "otherwise";

/** Errors of a built-in in ULP of the exact result, against the accuracy that WGSL states. */
export interface Histogram {
  /** Results that were looked at. */
  readonly samples: number;
  /** Counts of errors rounded up to whole ULP: [exact to half an ULP, up to 1, up to 2, …, more]. */
  readonly counts: readonly number[];
  /** Largest error in ULP. */
  readonly largest: number;
  /** Largest error as a share of WGSL's allowance at that input: above 1 the device is out of specification. */
  readonly allowanceUsed: number;
}

/** How a device computes, as measured. */
export interface Fingerprint {
  /** f32 → f16 by each way a kernel can take; null where the device lacks shader-f16. */
  readonly f16Rounding: {
    readonly store: Rounding | null;
    readonly convert: Rounding | null;
    readonly pack: Rounding;
    readonly quantize: Rounding;
  };
  /** Whether subnormals survive: as f32 inputs and results, and as f16. */
  readonly subnormals: { readonly f32Input: boolean; readonly f32Result: boolean; readonly f16Unpack: boolean; readonly f16Pack: boolean };
  /** Whether a · b + c is computed with one rounding. */
  readonly fma: { readonly builtin: "fused" | "two roundings" | "mixed"; readonly expression: "fused" | "two roundings" | "mixed" };
  /** Of a / b. */
  readonly division: Histogram;
  /** Of exp(x). */
  readonly exp: Histogram;
  /** Of 1 / √x. */
  readonly inverseSqrt: Histogram;
  /** Of √x. */
  readonly sqrt: Histogram;
  /** Errors of sin and cos on [−π, π] as a share of the 2⁻¹¹ that WGSL allows. */
  readonly sin: { readonly largest: number; readonly allowanceUsed: number };
  /** Of cos, likewise. */
  readonly cos: { readonly largest: number; readonly allowanceUsed: number };
  /** Order in which subgroupAdd sums; null without subgroups. */
  readonly subgroupAdd: "ascending" | "pairs of neighbours" | "halves" | "otherwise" | null;
}

const HEAD = `@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;`;

/** A probe: one invocation per four inputs a[4i …], one word out. */
const probe = (name: string, body: string, features: readonly string[] = [], enables = ""): Kernel<"a" | "out", never> => ({
  name: `probe-${name}`,
  bindings: { a: "read", out: "readWrite" },
  params: {},
  features,
  wgsl: `${enables}\n${HEAD}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= arrayLength(&out)) { return; }
  let x = a[4u * id.x];
  let y = a[4u * id.x + 1u];
  let z = a[4u * id.x + 2u];
  ${body}
}`,
});

const bits = (expression: string): string => `out[id.x] = bitcast<u32>(${expression});`;

async function measure(
  gpu: Gpu,
  kernel: Kernel<"a" | "out", never>,
  inputs: Float32Array,
  count: number = inputs.length / 4,
): Promise<Uint32Array> {
  const memory = makeMemory(gpu);
  try {
    const recorder = makeRecorder();
    const out = upload(memory, "out", new Uint32Array(Math.max(4, count)));
    const workgroups = [Math.ceil(count / 64), 1, 1] as const;
    record(recorder, { kernel, buffers: { a: upload(memory, "a", inputs.slice()), out }, params: {}, workgroups: () => workgroups });
    await submit(memory, await prepare(recorder, memory), 1);
    const [bytes] = await readRanges(gpu, kernel.name, [{ buffer: out, byteOffset: 0, byteLength: count * 4 }]);
    return new Uint32Array(bytes!);
  } finally {
    freeAll(memory);
  }
}

const asF32 = (words: Uint32Array): Float32Array => new Float32Array(words.buffer, words.byteOffset, words.length);

/** x in every fourth place, y and z after it. */
function quads(count: number, of: (i: number) => readonly [number, number?, number?]): Float32Array {
  const out = new Float32Array(count * 4);
  for (let i = 0; i < count; i++) out.set([...of(i)] as number[], 4 * i);
  return out;
}

/** Values between two f16: a quarter, a half (even and odd below) and three quarters of the way, both signs. */
const between = [
  1 + 2 ** -12,
  1 + 2 ** -11,
  1 + 3 * 2 ** -11,
  1 + 3 * 2 ** -12,
  -1 - 2 ** -12,
  -1 - 2 ** -11,
  -1 - 3 * 2 ** -11,
  -1 - 3 * 2 ** -12,
];
const nearestEven = [1, 1, 1 + 2 ** -9, 1 + 2 ** -10, -1, -1, -1 - 2 ** -9, -1 - 2 ** -10];
const towardZero = [1, 1, 1 + 2 ** -10, 1, -1, -1, -1 - 2 ** -10, -1];

function roundingOf(values: ArrayLike<number>): Rounding {
  const equals = (wanted: readonly number[]): boolean => wanted.every((w, i) => values[i] === w);
  if (equals(between)) return "not at all (folded away)";
  return equals(nearestEven) ? "to nearest, ties to even" : equals(towardZero) ? "toward zero" : "otherwise";
}

const storeProbe = probe("f16-store", "out[id.x] = vec2<f16>(f16(x), 0.0h);", ["shader-f16"], "enable f16;");
const f16Store: Kernel<"a" | "out", never> = { ...storeProbe, wgsl: storeProbe.wgsl.replace("array<u32>", "array<vec2<f16>>") };

async function f16Rounding(gpu: Gpu): Promise<Fingerprint["f16Rounding"]> {
  const inputs = quads(between.length, (i) => [between[i]!]);
  const half = gpu.capabilities.features.includes("shader-f16");
  const run = async (name: string, body: string, f16 = false): Promise<Uint32Array> =>
    measure(gpu, probe(name, body, f16 ? ["shader-f16"] : [], f16 ? "enable f16;" : ""), inputs);
  const stored = (words: Uint32Array): number[] => [...words].map((word) => halfNumbers()[word & 0xffff]!);
  return {
    // The output as f16 itself: naga cannot bitcast a vector of f16 to a word.
    store: half ? roundingOf(stored(await measure(gpu, f16Store, inputs))) : null,
    convert: half ? roundingOf(asF32(await run("f16-convert", bits("f32(f16(x))"), true))) : null,
    pack: roundingOf(stored(await run("f16-pack", "out[id.x] = pack2x16float(vec2(x, 0.0));"))),
    quantize: roundingOf(asF32(await run("f16-quantize", bits("quantizeToF16(x)")))),
  };
}

async function subnormals(gpu: Gpu): Promise<Fingerprint["subnormals"]> {
  const input = await measure(
    gpu,
    probe("subnormal-input", bits("x * y")),
    quads(64, () => [2 ** -130, 2 ** 20]),
  );
  const result = await measure(
    gpu,
    probe("subnormal-result", bits("x * y")),
    quads(64, () => [2 ** -120, 2 ** -10]),
  );
  const unpack = await measure(
    gpu,
    probe("subnormal-f16", bits("unpack2x16float(bitcast<u32>(x)).x")),
    asF32(new Uint32Array(256).fill(0x00010001)),
  );
  const pack = await measure(
    gpu,
    probe("subnormal-pack", "out[id.x] = pack2x16float(vec2(x, 0.0));"),
    quads(64, () => [2 ** -20]),
  );
  return {
    f32Input: asF32(input)[0] === 2 ** -110,
    f32Result: asF32(result)[0] === 2 ** -130,
    f16Unpack: asF32(unpack)[0] === 2 ** -24,
    f16Pack: pack[0] === 16,
  };
}

async function fusion(gpu: Gpu, name: string, expression: string): Promise<"fused" | "two roundings" | "mixed"> {
  // (1 + r)² − fround((1 + r)²): the rounding error of the product where fused, 0 where not.
  const next = uniform(5);
  const factors = Float32Array.from({ length: 4096 }, () => 1 + next());
  const inputs = quads(factors.length, (i) => [factors[i]!, factors[i]!, -Math.fround(factors[i]! * factors[i]!)]);
  const got = asF32(await measure(gpu, probe(name, bits(expression)), inputs));
  let [fused, split] = [0, 0];
  for (let i = 0; i < factors.length; i++) {
    const exact = factors[i]! * factors[i]!;
    if (exact === Math.fround(exact)) continue;
    if (got[i] === 0) split++;
    else if (got[i] === Math.fround(exact - Math.fround(exact))) fused++;
  }
  return fused === 0 ? "two roundings" : split === 0 ? "fused" : "mixed";
}

const BUCKETS = 8;

/** Runs a built-in on samples and counts errors in ULP of the exact result. */
async function histogram(
  gpu: Gpu,
  name: string,
  expression: string,
  sample: (next: () => number) => readonly [number, number?],
  exact: (x: number, y: number) => number,
  allowance: (x: number) => number,
): Promise<Histogram> {
  const next = uniform(11);
  const inputs = quads(1 << 16, () => sample(next));
  const got = asF32(await measure(gpu, probe(name, bits(expression)), inputs));
  const counts = new Array<number>(BUCKETS + 1).fill(0);
  let [largest, used, samples] = [0, 0, 0];
  for (let i = 0; i < got.length; i++) {
    const value = exact(inputs[4 * i]!, inputs[4 * i + 1]!);
    if (!(Math.abs(value) >= 2 ** -126 && Math.abs(value) < 2 ** 127)) continue;
    const ulps = Math.abs(got[i]! - value) / ulpF32(value);
    samples++;
    counts[ulps <= 0.5 ? 0 : Math.min(BUCKETS, Math.ceil(ulps))]!++;
    largest = Math.max(largest, Number.isNaN(ulps) ? Infinity : ulps);
    used = Math.max(used, ulps / allowance(inputs[4 * i]!));
  }
  return { samples, counts, largest, allowanceUsed: used };
}

const logUniform = (next: () => number, low: number, high: number): number => 2 ** (low + next() * (high - low));

async function trigonometric(gpu: Gpu, name: "sin" | "cos"): Promise<{ largest: number; allowanceUsed: number }> {
  const next = uniform(13);
  const inputs = quads(1 << 14, () => [(next() * 2 - 1) * Math.PI]);
  const got = asF32(await measure(gpu, probe(name, bits(`${name}(x)`)), inputs));
  let largest = 0;
  for (let i = 0; i < got.length; i++) largest = Math.max(largest, Math.abs(got[i]! - Math[name](inputs[4 * i]!)));
  return { largest, allowanceUsed: largest * 2 ** 11 };
}

async function subgroupAdd(gpu: Gpu): Promise<Fingerprint["subgroupAdd"]> {
  if (!gpu.capabilities.features.includes("subgroups")) return null;
  const kernel: Kernel<"a" | "out", never> = {
    ...probe("subgroup-add", "", ["subgroups"]),
    wgsl: `enable subgroups;
${HEAD}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_invocation_id) id: u32, @builtin(subgroup_size) size: u32) {
  let sum = subgroupAdd(a[id]);
  if (lane == 0u) { out[0] = bitcast<u32>(sum); out[1] = size; }
}`,
  };
  // Sums in f32 of many random rows tell the orders apart.
  let candidates = ["ascending", "pairs of neighbours", "halves"] as NonNullable<Fingerprint["subgroupAdd"]>[];
  for (let round = 0; round < 24 && candidates.length > 0; round++) {
    const next = uniform(round);
    const row = Float32Array.from({ length: 256 }, () => (next() - 0.5) * 2 ** Math.floor(next() * 20));
    const words = await measure(gpu, kernel, row, 2);
    const [sum, size] = [asF32(words)[0], words[1]!];
    candidates = candidates.filter((order) => sumIn(order, row.subarray(0, size)) === sum);
  }
  return candidates.length === 1 ? candidates[0]! : "otherwise";
}

function sumIn(order: NonNullable<Fingerprint["subgroupAdd"]>, row: Float32Array): number {
  if (order === "ascending") return row.reduce((s, x) => Math.fround(s + x), 0);
  let part = Float32Array.from(row);
  while (part.length > 1) {
    const half = part.length / 2;
    part = part.slice(0, half).map((x, i, _all) => {
      const whole = part;
      return order === "halves" ? x + whole[i + half]! : whole[2 * i]! + whole[2 * i + 1]!;
    });
  }
  return part[0]!;
}

/** Measures a device; a second or two. @param onProgress properties measured, and in all @throws GureumError as the device's own calls do */
export async function fingerprint(gpu: Gpu, onProgress: (done: number, total: number) => void = () => {}): Promise<Fingerprint> {
  const total = 11;
  let done = 0;
  onProgress(0, total);
  const counted = async <T>(measured: Promise<T>): Promise<T> => {
    const value = await measured;
    onProgress(++done, total);
    return value;
  };
  return {
    f16Rounding: await counted(f16Rounding(gpu)),
    subnormals: await counted(subnormals(gpu)),
    fma: { builtin: await counted(fusion(gpu, "fma", "fma(x, y, z)")), expression: await counted(fusion(gpu, "mul-add", "x * y + z")) },
    division: await counted(
      histogram(
        gpu,
        "division",
        "x / y",
        (next) => [logUniform(next, -60, 60), logUniform(next, -60, 60)],
        (x, y) => x / y,
        () => 2.5,
      ),
    ),
    exp: await counted(
      histogram(
        gpu,
        "exp",
        "exp(x)",
        (next) => [-80 + next() * 160],
        Math.exp,
        (x) => 3 + 2 * Math.abs(x),
      ),
    ),
    inverseSqrt: await counted(
      histogram(
        gpu,
        "inverse-sqrt",
        "inverseSqrt(x)",
        (next) => [logUniform(next, -100, 100)],
        (x) => 1 / Math.sqrt(x),
        () => 2,
      ),
    ),
    // Inherited from 1 / inverseSqrt(x): 2 ULP, then 2.5.
    sqrt: await counted(
      histogram(
        gpu,
        "sqrt",
        "sqrt(x)",
        (next) => [logUniform(next, -100, 100)],
        Math.sqrt,
        () => 4.5,
      ),
    ),
    sin: await counted(trigonometric(gpu, "sin")),
    cos: await counted(trigonometric(gpu, "cos")),
    subgroupAdd: await counted(subgroupAdd(gpu)),
  };
}

const yes = (kept: boolean): string => (kept ? "kept" : "flushed to 0");
const ulps = (h: Histogram): string => {
  const shares = h.counts
    .map((n, i) =>
      n > 0 ? `${((100 * n) / h.samples).toPrecision(3)} % ${i === 0 ? "≤ ½" : i === BUCKETS ? `> ${BUCKETS - 1}` : `≤ ${i}`}` : "",
    )
    .filter((s) => s !== "");
  return `${shares.join(", ")}; largest ${h.largest.toPrecision(3)} ULP, ${(100 * h.allowanceUsed).toPrecision(3)} % of WGSL's allowance`;
};

/** The fingerprint as lines of text, what is measured in a column of at least `width`. */
export function formatFingerprint(f: Fingerprint, width = 0): string {
  const rows: [string, string][] = [
    ["f16 by storing", f.f16Rounding.store ?? "no shader-f16"],
    ["f16 by f32(f16(x))", f.f16Rounding.convert ?? "no shader-f16"],
    ["f16 by pack2x16float", f.f16Rounding.pack],
    ["f16 by quantizeToF16", f.f16Rounding.quantize],
    ["f32 subnormal inputs", yes(f.subnormals.f32Input)],
    ["f32 subnormal results", yes(f.subnormals.f32Result)],
    ["f16 subnormals unpacked", yes(f.subnormals.f16Unpack)],
    ["f16 subnormals packed", yes(f.subnormals.f16Pack)],
    ["fma(x, y, z)", f.fma.builtin],
    ["x * y + z", f.fma.expression],
    ["x / y", ulps(f.division)],
    ["exp(x)", ulps(f.exp)],
    ["inverseSqrt(x)", ulps(f.inverseSqrt)],
    ["sqrt(x)", ulps(f.sqrt)],
    ["sin(x)", `largest error ${f.sin.largest.toExponential(2)}, ${(100 * f.sin.allowanceUsed).toPrecision(3)} % of WGSL's allowance`],
    ["cos(x)", `largest error ${f.cos.largest.toExponential(2)}, ${(100 * f.cos.allowanceUsed).toPrecision(3)} % of WGSL's allowance`],
    ["subgroupAdd", f.subgroupAdd ?? "no subgroups"],
  ];
  const column = Math.max(width, ...rows.map(([name]) => name.length + 2));
  return rows.map(([name, what]) => `${name.padEnd(column)}${what}`).join("\n");
}

/** Built-ins that are further off than WGSL allows: the device is out of specification, whatever the kernels. */
export function outOfSpecification(f: Fingerprint): string[] {
  const builtins = {
    "x / y": f.division,
    "exp(x)": f.exp,
    "inverseSqrt(x)": f.inverseSqrt,
    "sqrt(x)": f.sqrt,
    "sin(x)": f.sin,
    "cos(x)": f.cos,
  };
  return Object.entries(builtins)
    .filter(([, { allowanceUsed }]) => allowanceUsed > 1)
    .map(([name, { allowanceUsed }]) => `${name}: ${allowanceUsed.toPrecision(3)} times what WGSL allows`);
}
