/**
 * The contract of a kernel: one static WGSL string and the record that says how to call it. A kernel is data;
 * conformance/test/gpu/kernels.test.ts compares every record with its WGSL and compiles it on Dawn's null backend.
 */
import { GureumError } from "../../core/errors.ts";
import type { Needs } from "../device/capabilities.ts";
import type { WorkgroupLimits } from "../wgsl/teams.ts";

/** How a binding is declared: `var<storage, read>`, `var<storage, read_write>`, `var<uniform>`. */
export type BindingKind = "read" | "readWrite" | "uniform";
export type ScalarType = "u32" | "i32" | "f32";

/**
 * A compute kernel with entry point `main`.
 * In its WGSL, binding i of `bindings` is `@group(0) @binding(i)` under the same name; where `params` is not empty the
 * uniform `params: Params` follows as the next binding, a struct of exactly these 4-byte fields in this order.
 */
export interface Kernel<Buffers extends string = string, Params extends string = string> extends Needs {
  /** The file's name: also GPU label, law and benchmark. */
  readonly name: string;
  readonly wgsl: string;
  readonly bindings: Readonly<Record<Buffers, BindingKind>>;
  readonly params: Readonly<Record<Params, ScalarType>>;
  /** `override` declarations, set when the pipeline is made. */
  readonly overrides?: Readonly<Record<string, ScalarType | "bool">>;
  /** Names of `const NAME = …;` and `alias NAME = …;` lines (each on a line of its own) that `emitted` may replace. */
  readonly emits?: readonly string[];
}

/** Whole numbers n with from ≤ n < to. */
export interface Span {
  readonly from: number;
  readonly to: number;
}
export const holds = ({ from, to }: Span, n: number): boolean => from <= n && n < to;

export type Workgroups = readonly [x: number, y: number, z: number];

/**
 * What a shape makes of a kernel: its params, its overrides, the lines it emits, and the workgroups to run for T rows, the first at
 * position `start`.
 */
export interface Call {
  readonly params?: Readonly<Record<string, number>>;
  readonly overrides?: Readonly<Record<string, number | boolean>>;
  readonly emitted?: Readonly<Record<string, string | number>>;
  readonly workgroups: (T: number, start: number) => Workgroups;
}

/** The storage buffers among a kernel's bindings: not the uniforms that kernels share. */
export type Sized<Buffers extends string> = Exclude<Buffers, "step" | "sampling" | "rows">;

/**
 * A kernel with all that its callers must know: what a file of gpu/kernels exports. `Shape` is what a call needs to
 * know of model and device. Sizes are of what a call reaches: buffers are at least as large.
 */
export interface Card<Buffers extends string, Shape> extends Kernel<Buffers> {
  /** Bytes of workgroup memory, each variable rounded up to 16 as WebGPU counts it; none where absent. */
  readonly workgroupBytes?: number | ((shape: Shape) => number);
  call(shape: Shape): Call;
  /** Bytes of each storage buffer for T rows, the first of them at position `start`. */
  sizes(shape: Shape, T: number, start: number): Readonly<Record<Sized<Buffers>, number>>;
}

/** A card whose workgroups are cut by what a device allows: `tune` completes a shape. */
export interface TunedCard<Buffers extends string, Given, Shape> extends Card<Buffers, Shape> {
  tune(given: Given, limits: WorkgroupLimits): Shape;
}

const kinds: Readonly<Record<string, BindingKind>> = { "storage, read": "read", "storage, read_write": "readWrite", uniform: "uniform" };

/** A card with the bindings, params and overrides that its WGSL declares, each on a line of its own. */
export function makeCard<Buffers extends string, Shape>(
  card: Omit<Card<Buffers, Shape>, "bindings" | "params" | "overrides">,
): Card<Buffers, Shape> {
  const pairs = (text: string, pattern: RegExp): [string, string][] =>
    [...text.matchAll(pattern)].map(([, name, value]) => [name!, value!]);
  const spaces = pairs(card.wgsl, /^@group\(0\) @binding\(\d+\) (?=var<.*> (\w+):)var<(.*?)>/gm);
  const params = /^struct Params \{(.*)\}/m.exec(card.wgsl)?.[1] ?? "";
  return {
    ...card,
    bindings: Object.fromEntries(spaces.filter(([name]) => name !== "params").map(([name, space]) => [name, kinds[space]!])),
    params: Object.fromEntries(pairs(params, /(\w+): (\w+)/g)),
    overrides: Object.fromEntries(pairs(card.wgsl, /^override (\w+): (\w+)/gm)),
  } as Card<Buffers, Shape>;
}

/** A kernel without a card: no plan chooses it, and its caller counts the workgroups. */
export const uncounted = <Buffers extends string, Params extends string>(name: string, wgsl: string): Kernel<Buffers, Params> =>
  makeCard<string, never>({ name, wgsl, call: () => ({ workgroups: () => [0, 0, 0] }), sizes: () => ({}) }) as unknown as Kernel<
    Buffers,
    Params
  >;

export const workgroupBytes = <Shape>({ workgroupBytes: bytes = 0 }: Card<never, Shape>, shape: Shape): number =>
  typeof bytes === "number" ? bytes : bytes(shape);

/**
 * Workgroups for so many items, `each` by one; at most as many as WebGPU allows side by side, where the kernel loops
 * over the rest.
 */
export const workgroupsFor = (items: number, each: number): number => Math.min(Math.ceil(items / each), 65535);

/** So many workgroups, on two axes where one does not hold them. */
export const spread = (groups: number): Workgroups => (groups <= 65535 ? [groups, 1, 1] : [65535, Math.ceil(groups / 65535), 1]);

/** Load-time constants of a pipeline. */
export interface Constants {
  readonly overrides?: Readonly<Record<string, number | boolean>>;
  /** Right-hand sides for the lines named in `emits`. */
  readonly emitted?: Readonly<Record<string, string | number>>;
}

/**
 * The kernel's WGSL with the `emitted` lines put in place of its own. @throws GureumError "usage" for an unknown name
 */
export function emit(kernel: Kernel, emitted: Constants["emitted"] = {}): string {
  let wgsl = kernel.wgsl;
  for (const [name, value] of Object.entries(emitted)) {
    const line = new RegExp(`^(const|alias) ${name}\\b([^=]*)=[^;]*;`, "m");
    if (!kernel.emits?.includes(name) || !line.test(wgsl))
      throw new GureumError("usage", { where: kernel.name, what: "no such emitted constant", got: name });
    wgsl = wgsl.replace(line, (_all, keyword: string, type: string) => `${keyword} ${name}${type}= ${value};`);
  }
  return wgsl;
}

/** Bytes of a kernel's Params struct as a uniform: a multiple of 16; 0 without params. */
export const paramsByteLength = (kernel: Kernel): number => Math.ceil(Object.keys(kernel.params).length / 4) * 16;
