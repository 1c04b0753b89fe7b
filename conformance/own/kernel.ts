/**
 * A kernel of one's own, told once: one record that conformance holds to the laws of its op and bench times. It takes
 * the buffers and the shapes of one of gureum's kernels, so the record says what is its own alone: WGSL, dispatch, and
 * what it does not take.
 */
import { shown } from "../../core/arguments.ts";
import { GureumError } from "../../core/errors.ts";
import { type Capabilities, limitNames, type Needs } from "../../gpu/device/capabilities.ts";
import type { Card, Kernel, Workgroups } from "../../gpu/pipeline/kernel.ts";
import type { BufferArg, Dispatch } from "../../gpu/pipeline/recorder.ts";
import { NotTaken } from "../check/not-taken.ts";
import { type SubjectArithmetic, subjectArithmetics } from "../kit.ts";
import { readDeclarations } from "./declared.ts";

/**
 * What a call is for: rows `T`, the first of them at position `start`, and the fields of the shape that the kernel in
 * `like` is called with (rms-norm: D, eps; matmul: dtype, K, N, columns, hasBias, …).
 */
export type OwnShape = Readonly<Record<string, number | boolean | string | null>> & { readonly T: number; readonly start: number };

/** The record. Everything but the first four fields may be left out. */
export interface OwnKernel extends Omit<Needs, "matrices"> {
  /** A word: the row's name. */
  readonly name: string;
  /** The op whose laws it must keep: "rms-norm", "awq-matmul", … */
  readonly op: string;
  /**
   * A compute shader with entry point `main`, or what makes it for a shape on a device. Its bindings bear the names of
   * those of `like`; `params`, a uniform struct of u32, i32 and f32, comes last if it is there.
   */
  readonly wgsl: string | ((shape: OwnShape, device: Capabilities) => string);
  /** Workgroups to run. */
  readonly workgroups: (shape: OwnShape) => readonly [x: number, y?: number, z?: number];
  /** gureum's kernel whose buffers and shapes it takes; the op's first where absent. */
  readonly like?: string;
  /** Values of its params; fields that are missing here are taken from the shape by their name. */
  readonly params?: (shape: OwnShape) => Readonly<Record<string, number>>;
  /** Values of its `override` declarations. */
  readonly overrides?: (shape: OwnShape) => Readonly<Record<string, number | boolean>>;
  /** Whether it takes a shape; every shape where absent. */
  readonly accepts?: (shape: OwnShape) => boolean;
  /** What it claims, which decides its bound; that of `like` where absent. */
  readonly arithmetic?: SubjectArithmetic;
}

/** What to do about a fault of a file of one's own. */
export const MEND = "mend the file";

const bad = (where: string, what: string, expected: string, got: unknown): GureumError =>
  new GureumError("format", { where, what, expected, got: shown(got) });

const known: readonly string[] = [
  ...["name", "op", "wgsl", "workgroups", "like", "params", "overrides", "accepts", "arithmetic", "features", "limits", "subgroupSize"],
];

/** Checks a record that somebody wrote. @throws GureumError "format" */
export function checkOwn(where: string, value: unknown): OwnKernel {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(where, "no kernel", "a record { name, op, wgsl, workgroups }", value);
  const own = value as Record<string, unknown>;
  if (typeof own.name !== "string" || !/^[\w.-]+$/.test(own.name))
    throw bad(where, "name", "a word of letters, digits, dots and dashes", own.name);
  const at = `${where} > ${own.name}`;
  if (typeof own.op !== "string") throw bad(at, "op", "the name of an op", own.op);
  if (typeof own.wgsl !== "string" && typeof own.wgsl !== "function")
    throw bad(at, "wgsl", "a string, or a function (shape, device) => string", own.wgsl);
  if (typeof own.workgroups !== "function") throw bad(at, "workgroups", "a function ({ T, … }) => [x, y, z]", own.workgroups);
  for (const part of ["params", "overrides", "accepts"])
    if (own[part] !== undefined && typeof own[part] !== "function") throw bad(at, part, "a function of the shape", own[part]);
  if (own.like !== undefined && typeof own.like !== "string") throw bad(at, "like", "the name of a kernel", own.like);
  if (own.arithmetic !== undefined && !subjectArithmetics.includes(own.arithmetic as SubjectArithmetic))
    throw bad(at, "arithmetic", `one of ${subjectArithmetics.join(", ")}`, own.arithmetic);
  if (own.features !== undefined && !(Array.isArray(own.features) && own.features.every((name) => typeof name === "string")))
    throw bad(at, "features", "a list of WebGPU features", own.features);
  if (own.subgroupSize !== undefined && typeof own.subgroupSize !== "number") throw bad(at, "subgroupSize", "a number", own.subgroupSize);
  for (const [name, limit] of Object.entries((own.limits ?? {}) as object))
    if (!(limitNames as readonly string[]).includes(name) || typeof limit !== "number")
      throw bad(at, `limits.${name}`, `a number, and one of ${limitNames.join(", ")}`, limit);
  const unknown = Object.keys(own).find((key) => !known.includes(key));
  if (unknown !== undefined) throw bad(at, `unknown field ${JSON.stringify(unknown)}`, `one of ${known.join(", ")}`, own[unknown]);
  return value as OwnKernel;
}

/** A record as text, its functions as they are written: the same for the same kernel. */
export const textOf = (own: OwnKernel): string =>
  JSON.stringify(own, (_, value: unknown) => (typeof value === "function" ? String(value) : value));

/** What one of a record's functions gives; whatever it throws, or a promise, is the record's fault, by name. */
function ask<T>(own: OwnKernel, part: string, body: () => T): T {
  let given: T;
  try {
    given = body();
  } catch (error) {
    const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    throw new GureumError("format", { where: `${own.name} > ${part}`, what: `threw ${said}`, remedy: MEND }, error);
  }
  if (given instanceof Promise) throw bad(own.name, `what ${part} gives`, "a value at once", given);
  return given;
}

const isCount = (n: unknown): n is number => typeof n === "number" && Number.isInteger(n) && n >= 1 && n <= 65535;

/** The workgroups that a record asks for. @throws GureumError "range" */
function workgroupsOf(own: OwnKernel, shape: OwnShape): Workgroups {
  const asked: unknown = ask(own, "workgroups", () => own.workgroups(shape));
  const [x, y = 1, z = 1, ...more] = Array.isArray(asked) ? (asked as unknown[]) : [asked];
  if (!isCount(x) || !isCount(y) || !isCount(z) || more.length > 0)
    throw new GureumError("range", {
      where: `${own.name} > workgroups`,
      what: "workgroups",
      expected: "one to three whole numbers of 1 to 65535",
      got: `${JSON.stringify(asked) ?? asked} for ${JSON.stringify(shape)}`,
    });
  return [x, y, z];
}

/**
 * Buffers cut to what the call reaches, for a kernel that asks for their length: they are larger where a benchmark
 * rounds them up and where conformance lays junk behind them.
 */
function cut(buffers: Readonly<Record<string, BufferArg>>, like: Dispatch, T: number, start: number): Record<string, BufferArg> {
  const sizes: Readonly<Record<string, number>> = (like.kernel as Card<string, unknown>).sizes(like.shape, T, start);
  return Object.fromEntries(
    Object.entries(buffers).map(([name, argument]) => {
      const { buffer, offset = 0 }: GPUBufferBinding = "buffer" in argument ? argument : { buffer: argument };
      const size = Math.ceil((sizes[name] ?? 0) / 4) * 4;
      return [name, size > 0 ? { buffer, offset, size } : argument];
    }),
  );
}

/**
 * The dispatch of gureum's kernel with one's own in its place: the same buffers by their names, the same shape.
 * @throws NotTaken for a shape that it does not take; GureumError "format" for WGSL whose bindings are not among those
 * of `like`, or params of which nobody says the value; "range" for workgroups that are none
 */
export function ownDispatch(own: OwnKernel, like: Dispatch, T: number, start: number, device: Capabilities): Dispatch {
  const shape: OwnShape = { ...(like.shape as Record<string, number | boolean | string | null>), T, start };
  const takes: unknown = own.accepts ? ask(own, "accepts", () => own.accepts!(shape)) : true;
  if (typeof takes !== "boolean") throw bad(own.name, "what accepts gives", "true or false", takes);
  if (!takes) throw new NotTaken(own.name);
  const { wgsl: source } = own;
  const wgsl = typeof source === "string" ? source : ask(own, "wgsl", () => source(shape, device));
  if (typeof wgsl !== "string") throw bad(own.name, "what wgsl gives", "a string", wgsl);
  const declared = readDeclarations(own.name, wgsl);
  const whole = like.buffers as Readonly<Record<string, BufferArg>>;
  const buffers = /\barrayLength\b/.test(wgsl) ? cut(whole, like, T, start) : whole;
  for (const name of Object.keys(declared.bindings))
    if (!(name in buffers))
      throw new GureumError("format", {
        where: `${own.name} > ${name}`,
        what: `no such buffer of ${like.kernel.name}`,
        expected: `one of ${Object.keys(like.kernel.bindings).join(", ")}, or params`,
      });
  const given: Readonly<Record<string, unknown>> = { ...shape, ...ask(own, "params", () => own.params?.(shape)) };
  const params = Object.entries(declared.params).map(([name]): [string, number] => {
    const value = given[name];
    if (typeof value === "number") return [name, value];
    if (typeof value === "boolean") return [name, Number(value)];
    throw new GureumError("format", {
      where: `${own.name} > params > ${name}`,
      what: "nobody says its value",
      expected: `a field of the shape (${Object.keys(shape).join(", ")}), or of what \`params\` gives`,
      ...(value === undefined ? {} : { got: JSON.stringify(value) ?? String(value) }),
    });
  });
  const workgroups = workgroupsOf(own, shape);
  const { features, limits, subgroupSize } = own;
  const kernel: Kernel = {
    name: own.name,
    wgsl,
    ...declared,
    ...(features ? { features } : {}),
    ...(limits ? { limits } : {}),
    ...(subgroupSize === undefined ? {} : { subgroupSize }),
  };
  return {
    kernel,
    buffers,
    params: Object.fromEntries(params),
    overrides: ask(own, "overrides", () => own.overrides?.(shape)) ?? {},
    workgroups: () => workgroups,
    shape,
    ...(like.rows ? { rows: like.rows } : {}),
    ...(like.positions ? { positions: like.positions } : {}),
    label: own.name,
  };
}
