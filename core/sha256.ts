/**
 * SHA-256 of bytes that come in parts: the web's own digest wants all of them at once, and a file may be larger than memory.
 * Source: FIPS 180-4, sections 4.1.2, 4.2.2, 5.1.1, 5.3.3 and 6.2.
 */

export interface Sha256 {
  /** Takes the next bytes. */
  update(bytes: Uint8Array): void;
  /** Of all bytes so far, in lower-case hexadecimal digits; nothing may be added afterwards. */
  digest(): string;
}

/** The first 32 bits of the fractional part of a number's root. */
const fraction = (root: number): number => Math.floor((root % 1) * 2 ** 32);
const primes: readonly number[] = Array.from({ length: 312 }, (_, i) => i)
  .slice(2)
  .filter((n) => Array.from({ length: n }, (_, d) => d).every((d) => d < 2 || n % d !== 0));
/** Of the square roots of the first 8 primes: where the state begins. */
const initial = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));
/** Of the cube roots of the first 64 primes: a constant for each round. */
const rounds = Int32Array.from(primes.slice(0, 64), (p) => fraction(Math.cbrt(p)));

/** Words of a block, and the schedule made of them; used within one call. */
const w = new Int32Array(64);

/** Takes the 64-byte block at `at` into the state. */
function compress(state: Int32Array, bytes: Uint8Array, at: number): void {
  for (let t = 0; t < 16; t++, at += 4) w[t] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
  for (let t = 16; t < 64; t++) {
    const x = w[t - 15]!;
    const y = w[t - 2]!;
    const small0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const small1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[t] = (small1 + w[t - 7]! + small0 + w[t - 16]!) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let t = 0; t < 64; t++) {
    const large1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const first = (h + large1 + ((e & f) ^ (~e & g)) + rounds[t]! + w[t]!) | 0;
    const large0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const second = (large0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}

export function makeSha256(): Sha256 {
  const state = initial.slice();
  const rest = new Uint8Array(64);
  let held = 0;
  let length = 0;
  const update = (bytes: Uint8Array): void => {
    length += bytes.length;
    let at = 0;
    if (held > 0) {
      at = Math.min(64 - held, bytes.length);
      rest.set(bytes.subarray(0, at), held);
      held += at;
      if (held < 64) return;
      compress(state, rest, 0);
      held = 0;
    }
    for (; at + 64 <= bytes.length; at += 64) compress(state, bytes, at);
    rest.set(bytes.subarray(at));
    held = bytes.length - at;
  };
  return {
    update,
    digest() {
      // A one, zeros up to 8 bytes before a block's end, and the length in bits.
      const bits = length * 8;
      const end = new Uint8Array(((held < 56 ? 64 : 128) - held) | 0);
      end[0] = 0x80;
      const view = new DataView(end.buffer);
      view.setUint32(end.length - 8, Math.floor(bits / 2 ** 32));
      view.setUint32(end.length - 4, bits % 2 ** 32);
      update(end);
      return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
    },
  };
}

/** Of bytes that are all there. */
export function sha256(bytes: Uint8Array): string {
  const hash = makeSha256();
  hash.update(bytes);
  return hash.digest();
}
