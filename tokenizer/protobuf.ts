/**
 * The protobuf wire format, as much of it as reading needs: varints, 32- and 64-bit values, length-delimited fields.
 * Source: protobuf.dev, "Encoding". Groups (wire types 3 and 4, deprecated) are refused; a message is read field by
 * field.
 */
import { GureumError } from "../core/errors.ts";

/**
 * One field of a message. `value` holds varints up to 2^53 (the low 32 bits of longer ones stay exact); `bytes` the
 * rest.
 */
export interface Field {
  readonly number: number;
  readonly wireType: 0 | 1 | 2 | 5;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const none = new Uint8Array(0);

function broken(at: number, what: string): GureumError {
  return new GureumError("format", { where: `byte ${at}`, what });
}

/**
 * Calls `onField` for every field of `message`, in order.
 * @throws GureumError "format" where the bytes are no message.
 */
export function readFields(message: Uint8Array, onField: (field: Field) => void): void {
  let at = 0;
  const varint = (): number => {
    const start = at;
    let low = 0;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= message.length) throw broken(start, "a number is cut off");
      const byte = message[at++]!;
      if (shift < 32) low |= (byte & 0x7f) << shift;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : low >>> 0;
    }
    throw broken(start, "a number has more than ten bytes");
  };
  const take = (length: number): Uint8Array => {
    if (length > message.length - at)
      throw new GureumError("format", {
        where: `byte ${at}`,
        what: "a field is cut off",
        expected: `${length} bytes`,
        got: `${message.length - at}`,
      });
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const start = at;
    const tag = varint();
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (number < 1 || number > 0x1fffffff) throw broken(start, "a field number is out of range");
    if (wireType === 0) onField({ number, wireType, value: varint(), bytes: none });
    else if (wireType === 1) onField({ number, wireType, value: 0, bytes: take(8) });
    else if (wireType === 2) onField({ number, wireType, value: 0, bytes: take(varint()) });
    else if (wireType === 5) onField({ number, wireType, value: 0, bytes: take(4) });
    else throw broken(start, `wire type ${wireType} is not one of protobuf's`);
  }
}
