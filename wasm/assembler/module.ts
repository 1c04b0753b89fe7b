/**
 * A module's bytes: one imported memory, imported functions, functions of its own, all of these exported.
 * Source: WebAssembly Core Specification 2.0, 5.5 (modules); threads proposal for shared memories.
 */
import { encodeUtf8 } from "../../core/utf8.ts";
import type { FunctionRef, WrittenBody } from "./function.ts";
import { sized, typeByte, unsigned, type ValueType } from "./value.ts";

export interface ImportedFunction extends FunctionRef {
  readonly name: string;
}

export interface ModuleFunction extends FunctionRef {
  readonly name: string;
  readonly body: WrittenBody;
}

/** Pages of 64 KiB that a 32-bit memory may have: 4 GiB. */
export const maxPages = 65536;

const name = (text: string): number[] => sized(Array.from(encodeUtf8(text)));
const vector = (items: readonly (readonly number[])[]): number[] => [...unsigned(items.length), ...items.flat()];
const section = (id: number, items: readonly (readonly number[])[]): number[] => [id, ...sized(vector(items))];

const functionType = ({ params, result }: FunctionRef): number[] => [
  0x60,
  ...vector(params.map((type) => [typeByte[type]])),
  ...vector(result === null ? [] : [[typeByte[result]]]),
];

/** Variables as runs of one type. */
function localRuns(types: readonly ValueType[]): number[][] {
  const runs: [ValueType, number][] = [];
  for (const type of types) {
    const last = runs.at(-1);
    if (last?.[0] === type) last[1]++;
    else runs.push([type, 1]);
  }
  return runs.map(([type, count]) => [...unsigned(count), typeByte[type]]);
}

/**
 * Imports are `env.memory` (any size, `shared` or not) and `env.<name>` for each of `imports`, which come before `functions` in the
 * numbering. Every function has a type of its own: a few bytes more, one rule less.
 */
export function assemble(
  imports: readonly ImportedFunction[],
  functions: readonly ModuleFunction[],
  shared: boolean,
): Uint8Array<ArrayBuffer> {
  const memory = [...name("env"), ...name("memory"), 0x02, ...(shared ? [0x03, 0, ...unsigned(maxPages)] : [0x00, 0])];
  const bytes = [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [...imports, ...functions].map(functionType)),
    ...section(2, [memory, ...imports.map((f, i) => [...name("env"), ...name(f.name), 0x00, ...unsigned(i)])]),
    ...section(
      3,
      functions.map((_, i) => unsigned(imports.length + i)),
    ),
    ...section(
      7,
      functions.map((f) => [...name(f.name), 0x00, ...unsigned(f.index)]),
    ),
    ...section(
      10,
      functions.map(({ body }) => sized([...vector(localRuns(body.locals)), ...body.code, 0x0b])),
    ),
  ];
  return Uint8Array.from(bytes);
}
