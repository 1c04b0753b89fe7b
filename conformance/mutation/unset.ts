/**
 * A kernel whose workgroup memory holds junk where WGSL promises zeros: Dawn leaves it as another dispatch left it
 * where its checks are off, and no run with checks shows who reads what nobody set. A kernel that sets all that it
 * reads gives the same bits.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { withoutComments } from "./text.ts";

const variable = /var<workgroup>\s+(\w+)\s*:\s*([^;]+);/g;
/** Names that the text brings along. */
const brought = /\bjunk\w*\b/;

/** What stands between the brackets of `array<…>`, cut at the comma outside others; null for any other type. */
function arrayOf(type: string): readonly [element: string, count: string] | null {
  const inside = /^array<(.*)>$/s.exec(type.trim())?.[1];
  if (inside === undefined) return null;
  let depth = 0;
  for (let i = 0; i < inside.length; i++) {
    if ("<(".includes(inside[i]!)) depth++;
    if (">)".includes(inside[i]!)) depth--;
    if (inside[i] === "," && depth === 0)
      return [
        inside.slice(0, i).trim(),
        inside
          .slice(i + 1)
          .trim()
          .replace(/,$/, ""),
      ];
  }
  return null;
}

/** The entry point: its workgroup size, where its parameters stand, and where its first statement does. */
function entryOf(wgsl: string): { readonly size: string; readonly parameters: number; readonly body: number } | null {
  const begin = /@compute\s*@workgroup_size\(([^)]*)\)\s*fn main\s*\(/.exec(wgsl);
  if (!begin) return null;
  const parameters = begin.index + begin[0].length;
  return { size: begin[1]!, parameters, body: wgsl.indexOf("{", parameters) + 1 };
}

/** Statements that fill `place` of a type with junk. */
function fill(wgsl: string, place: string, type: string, depth: number): string {
  const array = arrayOf(type);
  if (array) {
    const [element, count] = array;
    // The outermost elements are shared out among the invocations.
    const [from, by] = depth === 0 ? ["junk_lane", "junk_lanes"] : ["0u", "1u"];
    const at = `junk_${depth}`;
    return `for (var ${at} = ${from}; ${at} < u32(${count}); ${at} += ${by}) { ${fill(wgsl, `${place}[${at}]`, element, depth + 1)} }`;
  }
  const atomic = /^atomic<(\w+)>$/.exec(type)?.[1];
  if (atomic) return `atomicStore(&${place}, ${atomic}(junk_word(junk_lane)));`;
  if (/^vec[234](?:[fuih]|<\w+>)$|^[fi]32$|^u32$|^f16$/.test(type)) {
    const scalar = /<(\w+)>/.exec(type)?.[1] ?? { f: "f32", u: "u32", i: "i32", h: "f16" }[/^vec\d(\w)$/.exec(type)?.[1] ?? ""] ?? type;
    return `${place} = ${type}(junk_${scalar}(junk_lane));`;
  }
  const alias = new RegExp(`\\balias ${type} = ([^;]+);`).exec(wgsl)?.[1];
  if (alias) return fill(wgsl, place, alias.trim(), depth);
  const fields = new RegExp(`\\bstruct ${type} \\{([^}]*)\\}`).exec(wgsl)?.[1];
  if (!fields) throw new Error(`no junk for ${place}: ${type}`);
  return [...fields.matchAll(/(\w+)\s*:\s*([^,]+(?:<[^>]*>)?)/g)]
    .map(([, name, of]) => fill(wgsl, `${place}.${name}`, of!.trim(), depth + 1))
    .join(" ");
}

/**
 * The kernel with junk in its workgroup memory before its first statement: floats that are no numbers, or with `finite`
 * large ones; whole numbers beyond any size, which are large floats too, or small ones. Unchanged where it has no such memory.
 */
export function fillWorkgroupMemory(kernel: Kernel, finite: boolean): Kernel {
  const wgsl = withoutComments(kernel.wgsl);
  const variables = [...wgsl.matchAll(variable)];
  const entry = entryOf(wgsl);
  if (variables.length === 0 || !entry || brought.test(wgsl)) return kernel;
  const { parameters, body } = entry;
  const index = /@builtin\(local_invocation_index\)\s*(\w+)/.exec(wgsl.slice(parameters, body))?.[1];
  const lanes = entry.size
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => `u32(${part.trim()})`)
    .join(" * ");
  const fills = variables.map(([, name, type]) => fill(wgsl, name!, type!.trim(), 0)).join(" ");
  const begin = `let junk_lane = ${index ?? "junk_index"}; let junk_lanes = ${lanes}; ${fills} workgroupBarrier();`;
  const given = index ? "" : "@builtin(local_invocation_index) junk_index: u32, ";
  const head = `${wgsl.slice(0, parameters)}${given}${wgsl.slice(parameters, body)}`;
  const words = finite
    ? "fn junk_word(i: u32) -> u32 { return 3u + i % 4u; }\nfn junk_f32(i: u32) -> f32 { return f32(1u + i) * 1e20; }"
    : "fn junk_word(i: u32) -> u32 { return 0x52000000u + i; }\nfn junk_f32(i: u32) -> f32 { return bitcast<f32>(0x7fc00000u | (i % 256u)); }";
  const halves = /\bf16\b/.test(wgsl)
    ? `\nfn junk_f16(i: u32) -> f16 { return ${finite ? "60000.0h - f16(i % 8u)" : "bitcast<vec2<f16>>(0x7e007e00u | (i % 256u)).x"}; }`
    : "";
  const whole = "\nfn junk_u32(i: u32) -> u32 { return junk_word(i); }\nfn junk_i32(i: u32) -> i32 { return i32(junk_word(i)); }";
  return { ...kernel, wgsl: `${head} ${begin}${wgsl.slice(body)}\n${words}${halves}${whole}\n` };
}
