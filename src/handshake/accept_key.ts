import { decodeLatin1 } from "./latin1.ts";

/**
 * SHA-1 of a key and the GUID (RFC 6455 4.2.2), for this purpose only: the message is always 24 + 36 = 60 bytes, so the
 * padding is constant and the schedule of the second block is computed once. That takes a third of the time of a one-shot
 * hash by `node:crypto`, whose call costs more than the hashing.
 */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_LENGTH = 24;

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_CODES: Uint8Array = Uint8Array.from(BASE64, (char) => char.charCodeAt(0));
const IS_BASE64: Uint8Array = new Uint8Array(256);
for (const code of BASE64_CODES) IS_BASE64[code] = 1;

/** The number of bytes that {@linkcode writeAcceptKey} writes. */
export const ACCEPT_KEY_LENGTH = 28;

/** The first block: words 0 to 5 are the key, 6 to 14 the GUID, and 15 is the 1 bit after them. */
const first = new Int32Array(80);
for (let word = 0; word < 9; word++) first[6 + word] = wordAt(GUID, word * 4);
first[15] = 0x80000000 | 0;

/** The second block: zeros, and the length of the message in bits. */
const second = new Int32Array(80);
second[15] = (KEY_LENGTH + GUID.length) * 8;
expand(second);

const digest = new Int32Array(5);

/**
 * Says whether a `Sec-WebSocket-Key` is base64 of exactly 16 bytes (RFC 6455 4.2.1): 22 characters of the alphabet and
 * two of padding. The 4 surplus bits of the last character may have any value: in the example of RFC 6455 4.1 they aren't
 * zero.
 *
 * @param key The field's value.
 * @returns Whether it is valid.
 */
export function isValidKey(key: string): boolean {
  if (key.length !== KEY_LENGTH || !key.endsWith("==")) return false;
  for (let at = 0; at < 22; at++) if (IS_BASE64[key.charCodeAt(at)] !== 1) return false;
  return true;
}

/**
 * Makes a new `Sec-WebSocket-Key`: 16 random bytes (RFC 6455 4.1).
 *
 * @returns The key.
 */
export function createKey(): string {
  return btoa(decodeLatin1(crypto.getRandomValues(new Uint8Array(16)), 0, 16));
}

/**
 * Computes the `Sec-WebSocket-Accept` that answers a key (RFC 6455 4.2.2).
 *
 * @param key A valid key.
 * @returns The 28 characters of the answer.
 * @throws {RangeError} If the key hasn't 24 characters.
 */
export function acceptKey(key: string): string {
  const bytes = new Uint8Array(ACCEPT_KEY_LENGTH);
  writeAcceptKey(key, bytes, 0);
  return decodeLatin1(bytes, 0, ACCEPT_KEY_LENGTH);
}

/**
 * Writes the `Sec-WebSocket-Accept` that answers a key.
 *
 * @param key A valid key.
 * @param into The buffer to write to.
 * @param at The index of the first byte.
 * @returns The index after the last byte.
 * @throws {RangeError} If the key hasn't 24 characters.
 */
export function writeAcceptKey(key: string, into: Uint8Array, at: number): number {
  if (key.length !== KEY_LENGTH) {
    throw new RangeError(`Cannot answer a key of ${key.length} characters, it must have 24`);
  }
  for (let word = 0; word < 6; word++) first[word] = wordAt(key, word * 4);
  expand(first);
  digest[0] = 0x67452301;
  digest[1] = 0xefcdab89 | 0;
  digest[2] = 0x98badcfe | 0;
  digest[3] = 0x10325476;
  digest[4] = 0xc3d2e1f0 | 0;
  mix(first);
  mix(second);
  return writeDigest(into, at);
}

function wordAt(text: string, at: number): number {
  return (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16) |
    (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3);
}

/** The message schedule (FIPS 180-4, 6.1.2 step 1). */
function expand(words: Int32Array): void {
  for (let t = 16; t < 80; t++) {
    const word = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16];
    words[t] = (word << 1) | (word >>> 31);
  }
}

/** Processes a block (FIPS 180-4, 6.1.2 steps 2 to 4); separate loops for the four functions avoid branches. */
function mix(words: Int32Array): void {
  let a = digest[0], b = digest[1], c = digest[2], d = digest[3], e = digest[4], t = 0, next = 0;
  for (; t < 20; t++) {
    next = (((a << 5) | (a >>> 27)) + (d ^ (b & (c ^ d))) + e + 0x5a827999 + words[t]) | 0;
    e = d, d = c, c = (b << 30) | (b >>> 2), b = a, a = next;
  }
  for (; t < 40; t++) {
    next = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1 + words[t]) | 0;
    e = d, d = c, c = (b << 30) | (b >>> 2), b = a, a = next;
  }
  for (; t < 60; t++) {
    next = (((a << 5) | (a >>> 27)) + ((b & c) | (d & (b | c))) + e + 0x8f1bbcdc + words[t]) | 0;
    e = d, d = c, c = (b << 30) | (b >>> 2), b = a, a = next;
  }
  for (; t < 80; t++) {
    next = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0xca62c1d6 + words[t]) | 0;
    e = d, d = c, c = (b << 30) | (b >>> 2), b = a, a = next;
  }
  digest[0] += a, digest[1] += b, digest[2] += c, digest[3] += d, digest[4] += e;
}

/** Writes the 20 bytes in base64: six groups of three bytes, then two bytes and a padding character. */
function writeDigest(into: Uint8Array, at: number): number {
  for (let byte = 0; byte < 21; byte += 3) {
    const group = (digestByte(byte) << 16) | (digestByte(byte + 1) << 8) | digestByte(byte + 2);
    into[at++] = BASE64_CODES[group >>> 18];
    into[at++] = BASE64_CODES[(group >>> 12) & 63];
    into[at++] = BASE64_CODES[(group >>> 6) & 63];
    into[at++] = BASE64_CODES[group & 63];
  }
  into[at - 1] = 0x3d;
  return at;
}

function digestByte(index: number): number {
  return index === 20 ? 0 : (digest[index >> 2] >>> (24 - 8 * (index & 3))) & 0xff;
}
