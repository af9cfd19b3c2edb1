import { concat, hex, utf8 } from "./bytes.ts";

export const CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa;

/** A frame with any bits, valid or not. */
export interface Frame {
  fin: boolean;
  /** The three reserved bits as a number. RSV1 is the highest bit. */
  rsv: number;
  opcode: number;
  payload: Uint8Array;
  masked: boolean;
  /** Its first and last offset in the stream; the handshake counts as well. */
  start: number;
  end: number;
}

/** Encodes a frame without a mask (RFC 6455 5.2), independently of the library. */
export function frame(
  opcode: number,
  payload: Uint8Array | string = "",
  { fin = true, rsv = 0 }: { fin?: boolean; rsv?: number } = {},
): Uint8Array {
  const body = typeof payload === "string" ? utf8(payload) : payload;
  const length = body.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  if (length <= 125) head.push(length);
  else if (length <= 0xffff) head.push(126, length >> 8, length & 0xff);
  else {
    head.push(127);
    for (let shift = 56n; shift >= 0n; shift -= 8n) {
      head.push(Number((BigInt(length) >> shift) & 0xffn));
    }
  }
  return concat(Uint8Array.from(head), body);
}

/** The same, with FIN, the reserved bits and the opcode as the first byte of the header. */
export function frameOf(first: number, payload: Uint8Array | string = ""): Uint8Array {
  return frame(first & 0x0f, payload, { fin: first >= 0x80, rsv: (first >> 4) & 7 });
}

/** Encodes a close frame without a mask. */
export function closeFrame(code?: number, reason: string | Uint8Array = ""): Uint8Array {
  return frame(CLOSE, code === undefined ? "" : closePayload(code, reason));
}

/** Encodes the payload of a close frame. */
export function closePayload(code: number, reason: string | Uint8Array = ""): Uint8Array {
  const text = typeof reason === "string" ? utf8(reason) : reason;
  return concat(Uint8Array.of(code >> 8, code & 0xff), text);
}

/** Decodes the payload of a close frame. */
export function readClose(payload: Uint8Array): { code: number; reason: string } {
  if (payload.length === 0) return { code: 1005, reason: "" };
  const reason = new TextDecoder("utf-8", { fatal: true }).decode(payload.subarray(2));
  return { code: payload[0] * 256 + payload[1], reason };
}

/** Parses `header|payload` in hexadecimal, such as `81 05|48 65 6c 6c 6f`. */
export function literal(text: string): Uint8Array {
  return concat(...text.split("|").map(hex));
}

/** The length of an unmasked frame's header, by its second byte. */
export function headerLength(bytes: Uint8Array): number {
  const short = bytes[1] & 0x7f;
  return short < 126 ? 2 : short === 126 ? 4 : 10;
}

/** Masks a frame as a client does. The frame may be incomplete. */
export function masked(bytes: Uint8Array, key: Uint8Array = hex("37 fa 21 3d")): Uint8Array {
  if (bytes.length < 2) return bytes;
  const head = headerLength(bytes);
  if (bytes.length < head) {
    const cut = bytes.slice();
    cut[1] |= 0x80;
    return cut;
  }
  const out = concat(bytes.subarray(0, head), key, bytes.subarray(head));
  out[1] |= 0x80;
  const body = head + 4;
  for (let at = body; at < out.length; at++) out[at] ^= key[(at - body) & 3];
  return out;
}

/** Decodes frames, independently of the library. */
export class FrameReader {
  /** The offset of the next frame in the stream. */
  position = 0;
  #buffer = new Uint8Array(1024);
  #from = 0;
  #to = 0;

  /** The bytes that don't form a whole frame yet. */
  get rest(): Uint8Array {
    return this.#buffer.subarray(this.#from, this.#to);
  }

  push(bytes: Uint8Array): void {
    if (this.#to + bytes.length > this.#buffer.length) {
      const rest = this.rest;
      const larger = new Uint8Array(Math.max(2 * (rest.length + bytes.length), 1024));
      larger.set(rest);
      this.#buffer = larger;
      this.#from = 0;
      this.#to = rest.length;
    }
    this.#buffer.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  /** Returns the next whole frame, unmasked, or `null`. */
  next(): Frame | null {
    const bytes = this.rest;
    if (bytes.length < 2) return null;
    const isMasked = (bytes[1] & 0x80) !== 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let head = headerLength(bytes), length = bytes[1] & 0x7f;
    if (bytes.length < head) return null;
    if (length === 126) length = view.getUint16(2);
    else if (length === 127) length = Number(view.getBigUint64(2));
    const key = bytes.slice(head, head + 4);
    if (isMasked) head += 4;
    if (bytes.length < head + length) return null;
    const payload = bytes.slice(head, head + length);
    if (isMasked) { for (let at = 0; at < length; at++) payload[at] ^= key[at & 3]; }
    this.#from += head + length;
    const start = this.position;
    this.position += head + length;
    return {
      fin: (bytes[0] & 0x80) !== 0,
      rsv: (bytes[0] >> 4) & 7,
      opcode: bytes[0] & 0x0f,
      payload,
      masked: isMasked,
      start,
      end: this.position,
    };
  }
}
