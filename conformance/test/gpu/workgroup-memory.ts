/**
 * Bytes of workgroup memory that WGSL declares, by reading it: each variable rounded up to 16 bytes, as WebGPU counts.
 */

type Value = (name: string) => number;

/** An integer expression of + − * / and parentheses over literals and names; division rounds down. */
function evaluate(text: string, value: Value): number {
  const tokens = text.match(/\d+|\w+|[-+*/()]/g)!.filter((token) => token !== "u");
  let at = 0;
  const atom = (): number => {
    const token = tokens[at++]!;
    if (token !== "(") return /^\d/.test(token) ? Number.parseInt(token, 10) : value(token);
    const inner = sum();
    at++;
    return inner;
  };
  const chain = (next: () => number, apply: Readonly<Record<string, (a: number, b: number) => number>>): number => {
    let result = next();
    while (at < tokens.length && Object.hasOwn(apply, tokens[at]!)) result = apply[tokens[at++]!]!(result, next());
    return result;
  };
  const product = (): number => chain(atom, { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b) });
  const sum = (): number => chain(product, { "+": (a, b) => a + b, "-": (a, b) => a - b });
  return sum();
}

export function workgroupMemory(wgsl: string, overrides: Readonly<Record<string, number | boolean>>): number {
  const code = wgsl.replace(/\/\/.*$/gm, "");
  const constants = new Map([...code.matchAll(/^(?:override|const) (\w+)(?:: \w+)? = ([^;]*);/gm)].map(([, name, text]) => [name!, text!]));
  const value: Value = (name) => (overrides[name] === undefined ? evaluate(constants.get(name)!, value) : Number(overrides[name]));
  const sizeOf = (type: string): number => {
    const array = /^array<(.*), ([^<>]*)>$/.exec(type);
    if (array) return sizeOf(array[1]!) * evaluate(array[2]!, value);
    const vector = /^vec([234])<(.*)>$/.exec(type);
    // In an array a vec3 takes the room of a vec4.
    if (vector) return (vector[1] === "3" ? 4 : Number(vector[1])) * sizeOf(vector[2]!);
    if (/^(?:[fiu]32|atomic<[iu]32>)$/.test(type)) return 4;
    const fields = new RegExp(`struct ${type} \\{([^}]*)\\}`).exec(code)![1]!;
    return fields.split(",").reduce((size, field) => size + sizeOf(field.split(":")[1]!.trim()), 0);
  };
  const types = [...code.matchAll(/^var<workgroup> \w+: ([^;]*);/gm)].map(([, type]) => type!);
  return types.reduce((total, type) => total + Math.ceil(sizeOf(type) / 16) * 16, 0);
}
