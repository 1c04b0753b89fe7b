/**
 * Subgroups of 32 and their matrices, emulated in plain WGSL: a device without them runs the kernels that ask for them, so that
 * their staging, addresses, joins and ends can be held to the laws everywhere. How hardware multiplies and exchanges is not tried by it.
 *
 * Invocations 32 n … 32 n + 31 of a workgroup are subgroup n. Shuffles go through workgroup memory between two barriers, so they must
 * stand where all of a workgroup passes.
 */
import { usage } from "../../gpu/device/buffer.ts";
import { f16Matrix, i8Matrix } from "../../gpu/device/capabilities.ts";
import { adoptDevice, type Gpu } from "../../gpu/device/device.ts";
import { loading, type Matrix, matricesOf, multiplying, reading, type Side, type Source, storing, typeOf } from "./matrices.ts";
import { ROOMS, type Spilled, spillArrays } from "./spill.ts";

/** Functions of subgroups that the kernels call, by invocations' words in workgroup memory. */
const exchanges: readonly (readonly [name: string, parameter: string, from: string])[] = [
  ["subgroupShuffleXor", "mask: u32", "emulated_lane ^ mask"],
  ["subgroupShuffle", "id: u32", "id % 32u"],
];
/** A shuffle that some subgroups of a workgroup reach and others do not has no form here. */
export const notEmulated: readonly string[] = ["batch-attention-f16"];
const builtins: readonly (readonly [name: string, value: string])[] = [
  ["subgroup_id", "emulated_index / 32u"],
  ["subgroup_invocation_id", "emulated_lane"],
  ["subgroup_size", "32u"],
];
const exchange = (called: string, parameter: string, from: string): string => `fn ${called}(value: f32, ${parameter}) -> f32 {
  emulated_words[emulated_index] = bitcast<u32>(value);
  workgroupBarrier();
  let got = emulated_words[emulated_index / 32u * 32u + (${from})];
  workgroupBarrier();
  return bitcast<f32>(got);
}`;
const ANY = `fn emulated_subgroupAny(value: bool) -> bool {
  emulated_words[emulated_index] = u32(value);
  workgroupBarrier();
  var any = 0u;
  for (var i = 0u; i < 32u; i++) { any |= emulated_words[emulated_index / 32u * 32u + i]; }
  workgroupBarrier();
  return any != 0u;
}`;

/**
 * The same kernel without subgroups: their matrices, functions and built-in values by functions of its own; in workgroup memory no more than `limit`
 * bytes of arrays.
 */
export function emulateSubgroups(code: string, limit: number = Infinity): Spilled {
  if (!/^enable (?:subgroups|chromium_experimental_subgroup_matrix);/m.test(code)) return { code, inRooms: false };
  const matrices = matricesOf(code);
  const named = (name: string): Matrix => matrices.find((m) => m.name === name)!;
  const of = (wanted: Side): Matrix => matrices.find(({ side }) => side === wanted)!;
  const arrays = new Map(
    [...code.matchAll(/var<(?:workgroup|storage[^>]*)> (\w+): array<((?:vec4<)?\w+>?)(?:,[^;]*)?>;/g)].map(([, name, type]) => [
      name!,
      type!,
    ]),
  );
  const sourceOf = (variable: string, major: string): Source => {
    const type = arrays.get(variable);
    if (type === undefined) throw new Error(`${variable} is no array at module scope`);
    return { variable, type, major };
  };
  const made = new Map<string, string>();
  const call = (called: string, text: (called: string) => string): string => {
    if (!made.has(called)) made.set(called, text(called));
    return `${called}(`;
  };
  const operands: Record<"left" | "right", Source[]> = { left: [], right: [] };
  const numberOf = (side: "left" | "right", source: Source): number => {
    const known = operands[side].findIndex(({ variable, major }) => variable === source.variable && major === source.major);
    return known >= 0 ? known : operands[side].push(source) - 1;
  };

  let text = code
    .replace(/^enable (?:subgroups|chromium_experimental_subgroup_matrix);\n/gm, "")
    .replace(/^diagnostic\(off, (?:chromium\.subgroup_matrix_uniformity|subgroup_uniformity)\);\n/gm, "")
    .replace(/^(alias (\w+) = )subgroup_matrix_\w+<.*>;$/gm, (_, head: string, name: string) => `${head}${typeOf(named(name))};`)
    .replace(/subgroupMatrixLoad<(\w+), (\w+)>\(&(\w+), /g, (_, name: string, major: string, variable: string) => {
      const matrix = named(name);
      const source = sourceOf(variable, major);
      if (matrix.side === "result") return call(`emulated_load_${variable}`, (called) => loading(called, matrix, source));
      const number = numberOf(matrix.side, source);
      return call(
        `emulated_${matrix.side}_${number}`,
        (called) => `fn ${called}(at: u32, stride: u32) -> ${name} { return vec3<u32>(at, stride, ${number}u); }`,
      );
    })
    .replace(/subgroupMatrixStore<(\w+)>\(&(\w+), /g, (_, major: string, variable: string) =>
      call(`emulated_store_${variable}`, (called) => storing(called, of("result"), sourceOf(variable, major))),
    )
    .replace(/subgroupMatrixMultiplyAccumulate\(/g, () =>
      call("emulated_product", (called) => multiplying(called, of("left"), of("right"), of("result"))),
    )
    .replace(/subgroupMatrixScalarMultiply\(/g, () =>
      call("emulated_scaled", (called) => {
        const { name, component } = of("result");
        return `fn ${called}(m: ${name}, by: ${component}) -> ${name} { return ${name}(m[0] * by, m[1] * by); }`;
      }),
    )
    .replace(/\bsubgroupAny\(/g, () => call("emulated_subgroupAny", () => ANY));
  for (const [name, parameter, from] of exchanges)
    text = text.replace(new RegExp(`\\b${name}\\(`, "g"), () => call(`emulated_${name}`, (called) => exchange(called, parameter, from)));
  const other = /\bsubgroup[A-Z]\w*(?=\()/.exec(text);
  if (other) throw new Error(`${other[0]} has no emulation`);
  for (const side of ["left", "right"] as const)
    if (operands[side].length > 0) made.set(side, reading(`emulated_${side}`, of(side), operands[side]));
  // A matrix of one number everywhere.
  for (const { name } of matrices)
    text = text.replace(new RegExp(`\\b${name}\\(([\\d.]+)[uif]?\\)`, "g"), (_, n: string) => {
      if (Number(n) !== 0) throw new Error(`${name}(${n}) has no emulation`);
      return `${name}()`;
    });

  // What main is told of subgroups follows from the invocation's index.
  const main = /^fn main\(([^{]*)\) \{/m.exec(text)!;
  const lines: string[] = [];
  let parameters = main[1]!;
  for (const [builtin, value] of builtins)
    parameters = parameters.replace(new RegExp(`,? *@builtin\\(${builtin}\\) (\\w+): u32`), (_, name: string) => {
      lines.push(`let ${name} = ${value};`);
      return "";
    });
  parameters = parameters.replace(/^, */, "");
  const given = (builtin: string, type: string): string => {
    const known = new RegExp(`@builtin\\(${builtin}\\) (\\w+)`).exec(parameters)?.[1];
    if (known === undefined) parameters = `@builtin(${builtin}) emulated_${builtin}: ${type}, ${parameters}`;
    return known ?? `emulated_${builtin}`;
  };
  const index = given("local_invocation_index", "u32");
  const [count, wg] = [given("num_workgroups", "vec3<u32>"), given("workgroup_id", "vec3<u32>")];
  lines.unshift(`emulated_index = ${index}; emulated_lane = ${index} % 32u; emulated_nothing = ${count}.x >> 31u;`);
  text = text.replace(main[0], () => `fn main(${parameters}) {\n  ${lines.join("\n  ")}`);
  const functions = [...made.values()];
  const size = /@workgroup_size\(([^),]*)/.exec(text)![1]!;
  const all = [
    text,
    ...["index", "lane", "nothing"].map((name) => `var<private> emulated_${name}: u32;`),
    ...(functions.some((one) => one.includes("emulated_words")) ? [`var<workgroup> emulated_words: array<u32, ${size}>;`] : []),
    ...functions,
    "",
  ].join("\n");
  return spillArrays(all, limit, `(${wg}.x + ${count}.x * (${wg}.y + ${count}.y * ${wg}.z))`);
}

/** Workgroup memory of the emulated device, and all rooms of what does not fit into the real one. */
const WORKGROUP_BYTES = 49_152;
const ROOMS_BYTES = 2 ** 26;

/** Some properties of an object in place of its own; functions keep their object. */
const instead = <T extends object>(object: T, own: Readonly<Record<string, unknown>>): T =>
  new Proxy(object, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(own, name)) return own[name];
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  });

/** The device as one with subgroups of 32, their matrices and 48 KiB of workgroup memory. It lasts as long as the one that it stands on. */
export function withSubgroups(gpu: Gpu): Gpu {
  const { device } = gpu;
  const limit = device.limits.maxComputeWorkgroupStorageSize;
  // Kernels whose arrays lie in rooms, by their labels; then the layouts of these.
  const spilled = new Set<string>();
  const layouts = new WeakSet<GPUBindGroupLayout>();
  let rooms: GPUBuffer | undefined;
  return adoptDevice(
    instead(device, {
      features: new Set<string>([...device.features, "subgroups", "chromium-experimental-subgroup-matrix"]),
      limits: instead(device.limits, { maxComputeWorkgroupStorageSize: Math.max(limit, WORKGROUP_BYTES) }),
      adapterInfo: instead(device.adapterInfo, { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [f16Matrix, i8Matrix] }),
      createShaderModule(descriptor: GPUShaderModuleDescriptor): GPUShaderModule {
        const { code, inRooms } = emulateSubgroups(descriptor.code, limit);
        spilled[inRooms ? "add" : "delete"](descriptor.label!);
        // By way of the record: it keeps Dawn's instance, and lives as long as this function.
        return gpu.device.createShaderModule({ ...descriptor, code });
      },
      createBindGroupLayout(descriptor: GPUBindGroupLayoutDescriptor): GPUBindGroupLayout {
        if (!spilled.has(descriptor.label!)) return device.createBindGroupLayout(descriptor);
        const room: GPUBindGroupLayoutEntry = { binding: ROOMS, visibility: 4, buffer: { type: "storage" } };
        const layout = device.createBindGroupLayout({ ...descriptor, entries: [...descriptor.entries, room] });
        layouts.add(layout);
        return layout;
      },
      createBindGroup(descriptor: GPUBindGroupDescriptor): GPUBindGroup {
        if (!layouts.has(descriptor.layout)) return device.createBindGroup(descriptor);
        rooms ??= device.createBuffer({ label: "rooms", size: ROOMS_BYTES, usage: usage.STORAGE });
        const room = { binding: ROOMS, resource: { buffer: rooms } };
        return device.createBindGroup({ ...descriptor, entries: [...descriptor.entries, room] });
      },
    }),
  );
}
