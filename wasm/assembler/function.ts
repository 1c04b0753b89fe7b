/**
 * One function's body, written statement by statement: variables, loops, conditions, calls.
 * Source: WebAssembly Core Specification 2.0, 5.4.1 (control) and 5.4.4 (variables).
 */
import { i32, type Statement } from "./instructions.ts";
import { type Local, unsigned, type Value, type ValueType } from "./value.ts";

/** Something to call: where it stands in the module, and its type. */
export interface FunctionRef<P extends readonly ValueType[] = readonly ValueType[], R extends ValueType | null = ValueType | null> {
  readonly index: number;
  readonly params: P;
  readonly result: R;
}

type Values<P extends readonly ValueType[]> = { readonly [I in keyof P]: Value<P[I]> };

export interface Body {
  /** A new variable; 0 at first. */
  local<T extends ValueType>(type: T): Local<T>;
  locals<T extends ValueType>(type: T, count: number): Local<T>[];
  set<T extends ValueType>(target: Local<T>, value: Value<T>): void;
  /** Appends a store. */
  do(statement: Statement): void;
  /** for (i = from; i < to; i += step), unsigned; `to` is read again each time around. */
  for(i: Local<"i32">, from: Value<"i32">, to: Value<"i32">, step: Value<"i32">, body: () => void): void;
  if(condition: Value<"i32">, then: () => void, otherwise?: () => void): void;
  call(target: FunctionRef, ...args: Value<ValueType>[]): void;
}

/** What a body came to. */
export interface WrittenBody {
  readonly locals: readonly ValueType[];
  readonly code: readonly number[];
}

const EMPTY_BLOCK = 0x40;
const op = { block: 0x02, loop: 0x03, if: 0x04, else: 0x05, end: 0x0b, brIf: 0x0d, call: 0x10, localGet: 0x20, localSet: 0x21 } as const;

export const localOf = <T extends ValueType>(type: T, index: number): Local<T> => ({
  type,
  index,
  code: [op.localGet, ...unsigned(index)],
});

/** The value that a call leaves. */
export function callValue<P extends readonly ValueType[], R extends ValueType>(target: FunctionRef<P, R>, ...args: Values<P>): Value<R> {
  const code = (args as readonly Value<ValueType>[]).flatMap((arg) => arg.code);
  return { type: target.result, code: [...code, op.call, ...unsigned(target.index)] };
}

/** Runs `write` and gives the function's variables and bytes, without the final `end`. */
export function writeBody(paramCount: number, write: (f: Body) => void): WrittenBody {
  const code: number[] = [];
  const types: ValueType[] = [];
  const body: Body = {
    local(type) {
      types.push(type);
      return localOf(type, paramCount + types.length - 1);
    },
    locals: (type, count) => Array.from({ length: count }, () => body.local(type)),
    set(target, value) {
      code.push(...value.code, op.localSet, ...unsigned(target.index));
    },
    do(statement) {
      code.push(...statement.code);
    },
    for(i, from, to, step, inner) {
      body.set(i, from);
      code.push(op.block, EMPTY_BLOCK, ...i32.ge_u(i, to).code, op.brIf, 0, op.loop, EMPTY_BLOCK);
      inner();
      body.set(i, i32.add(i, step));
      code.push(...i32.lt_u(i, to).code, op.brIf, 0, op.end, op.end);
    },
    if(condition, then, otherwise) {
      code.push(...condition.code, op.if, EMPTY_BLOCK);
      then();
      if (otherwise) {
        code.push(op.else);
        otherwise();
      }
      code.push(op.end);
    },
    call(target, ...args) {
      code.push(...args.flatMap((arg) => arg.code), op.call, ...unsigned(target.index));
    },
  };
  write(body);
  return { locals: types, code };
}
