/**
 * Workgroup memory beyond what a device has, emulated in a storage buffer: arrays that do not fit lie there, one room for each of the
 * workgroups that run at the same time. Barriers of workgroup memory order the buffer as well.
 */

/** Bytes of the elements that arrays of the kernels have. */
const bytesOf: Readonly<Record<string, number>> = {
  u32: 4,
  i32: 4,
  f32: 4,
  "vec2<f32>": 8,
  "vec2<u32>": 8,
  "vec4<u32>": 16,
  "vec4<f32>": 16,
};
/** The binding of the rooms: behind all that a kernel has. */
export const ROOMS = 99;

export interface Spilled {
  readonly code: string;
  /** Whether arrays lie in rooms: not where all of them fit. */
  readonly inRooms: boolean;
}

/** A sum of products of numbers, as array lengths are written; NaN for any other. */
const numberOf = (text: string): number =>
  text
    .replace(/u\b/g, "")
    .split("+")
    .reduce((sum, term) => sum + term.split("*").reduce((product, factor) => product * Number(factor), 1), 0);

/** Moves the largest arrays out of workgroup memory until the rest fits into `limit` bytes; `workgroup` is the name of a workgroup's number in main. */
export function spillArrays(code: string, limit: number, workgroup: string): Spilled {
  const found = [...code.matchAll(/^var<workgroup> (\w+): array<([^,]+), ([^>]+)>;/gm)].map(([line, name, type, count]) => ({
    line,
    name: name!,
    type: type!,
    count: count!,
    bytes: (bytesOf[type!] ?? NaN) * numberOf(count!),
  }));
  const arrays = found.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes);
  let kept = arrays.reduce((sum, { bytes }) => sum + bytes, 0);
  const moved = [];
  while (kept > limit) {
    moved.push(arrays[moved.length]!);
    kept -= moved.at(-1)!.bytes;
  }
  if (moved.length === 0) return { code, inRooms: false };
  let text = code.replaceAll("workgroupBarrier();", "workgroupBarrier(); storageBarrier();");
  for (const { line, name } of moved)
    text = text.replace(line, "").replace(new RegExp(`(?<![\\w.])${name}\\[`, "g"), `emulated_rooms[emulated_room].${name}[`);
  const fields = moved.map(({ name, type, count }) => `${name}: array<${type}, ${count}>`).join(", ");
  text = text.replace(/^fn main\([^{]*\{\n/m, (head) => `${head}  emulated_room = ${workgroup} % arrayLength(&emulated_rooms);\n`);
  return {
    code: `${text}
struct EmulatedRoom { ${fields} }
@group(0) @binding(${ROOMS}) var<storage, read_write> emulated_rooms: array<EmulatedRoom>;
var<private> emulated_room: u32;
`,
    inRooms: true,
  };
}
