/**
 * What a kernel's WGSL declares of its own accord: the bindings of group 0, the fields of its params and its overrides.
 * So a kernel that is told once need not say them a second time.
 */
import { GureumError } from "../../core/errors.ts";
import type { BindingKind, Kernel, ScalarType } from "../../gpu/pipeline/kernel.ts";

type Declared = Pick<Kernel, "bindings" | "params"> & { readonly overrides: Readonly<Record<string, ScalarType | "bool">> };

/** WGSL with its comments blanked out, each character in its place. */
const withoutComments = (wgsl: string): string => wgsl.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, " "));

const attributes = /@(?:group|binding)\s*\(\s*\d+u?\s*,?\s*\)/;
const variable = new RegExp(`((?:${attributes.source}\\s*){2})var\\s*<([^>]*)>\\s*(\\w+)\\s*:\\s*([^;]+);`, "g");

function kindOf(space: string): BindingKind | undefined {
  const [kind, access = "read"] = space.split(",").map((word) => word.trim());
  if (kind === "uniform") return "uniform";
  if (kind !== "storage") return undefined;
  return access === "read" ? "read" : access === "read_write" ? "readWrite" : undefined;
}

const numberIn = (text: string, name: "group" | "binding"): number =>
  Number(new RegExp(`@${name}\\s*\\(\\s*(\\d+)`).exec(text)?.[1] ?? Number.NaN);

const scalars: readonly string[] = ["u32", "i32", "f32"];

/** The 4-byte fields of a struct, in their order. */
function fieldsOf(where: string, code: string, struct: string): Record<string, ScalarType> {
  const body = new RegExp(`\\bstruct\\s+${struct}\\s*\\{([^}]*)\\}`).exec(code)?.[1];
  if (body === undefined) throw new GureumError("format", { where, what: "params", expected: `a struct ${struct} in the same WGSL` });
  const fields = [...body.matchAll(/(\w+)\s*:\s*([\w<>]+)/g)].map(([, name, type]) => [name!, type!] as const);
  const other = fields.find(([, type]) => !scalars.includes(type));
  if (other)
    throw new GureumError("format", {
      where,
      what: `field ${other[0]} of params`,
      expected: `one of ${scalars.join(", ")}`,
      got: other[1],
    });
  return Object.fromEntries(fields) as Record<string, ScalarType>;
}

/**
 * Reads the declarations of a kernel: bindings @group(0) from 0 on without a gap, `params`, if it is there, the last.
 * @throws GureumError "format" for any other
 */
export function readDeclarations(where: string, wgsl: string): Declared {
  const code = withoutComments(wgsl);
  const found = [...code.matchAll(variable)]
    .map(([, at, space, name, type]) => ({
      group: numberIn(at!, "group"),
      binding: numberIn(at!, "binding"),
      space: space!,
      name: name!,
      type: type!.trim(),
    }))
    .sort((a, b) => a.binding - b.binding);
  if (found.length === 0)
    throw new GureumError("format", {
      where,
      what: "no bindings in the WGSL",
      expected: "@group(0) @binding(0) var<storage, read> x: array<f32>;",
    });
  for (const [i, { group, binding, name, space }] of found.entries()) {
    if (group !== 0 || binding !== i)
      throw new GureumError("format", {
        where: `${where} > ${name}`,
        what: "binding",
        expected: `@group(0) @binding(${i}): bindings are those of group 0, from 0 on without a gap`,
        got: `@group(${group}) @binding(${binding})`,
      });
    if (kindOf(space) === undefined)
      throw new GureumError("format", {
        where: `${where} > ${name}`,
        what: "address space",
        expected: "<storage, read>, <storage, read_write> or <uniform>",
        got: `<${space}>`,
      });
    if (name === "params" && i + 1 < found.length)
      throw new GureumError("format", {
        where: `${where} > params`,
        what: "binding",
        expected: `the last, @binding(${found.length - 1})`,
        got: `${i}`,
      });
  }
  const params = found.find(({ name, space }) => name === "params" && kindOf(space) === "uniform");
  return {
    bindings: Object.fromEntries(found.filter((one) => one !== params).map(({ name, space }) => [name, kindOf(space)!])),
    params: params ? fieldsOf(where, code, params.type) : {},
    overrides: Object.fromEntries(
      [...code.matchAll(/\boverride\s+(\w+)\s*(?::\s*(\w+))?/g)].map(([, name, type = "f32"]) => [name!, type as ScalarType | "bool"]),
    ),
  };
}
