import { Buffer } from "node:buffer";

/** The payload of a message. */
export type Payload = string | ArrayBuffer | ArrayBufferView | Blob;

const NOTHING = new Uint8Array();

/**
 * Converts an argument of `send` to a payload.
 *
 * @throws {TypeError} If it can't be converted to bytes.
 */
export function toPayload(data: unknown): Payload {
  if (typeof data === "string") return data;
  // Reading `buffer` of a small array allocates one.
  if (ArrayBuffer.isView(data)) return data.byteLength > 0 ? data : attached(data, data.buffer);
  if (typeof data === "number") return String(data);
  if (!data) return NOTHING;
  if (data instanceof Blob) return data;
  if (data instanceof ArrayBuffer) return attached(data, data);
  // An array of byte values, or any other argument of `Buffer.from`.
  return Buffer.from(data as never);
}

function attached<Bytes extends Payload>(data: Bytes, buffer: ArrayBufferLike): Bytes {
  if (buffer instanceof ArrayBuffer && buffer.detached) {
    throw new TypeError("Cannot send bytes that were transferred away");
  }
  return data;
}

/** The length of a payload in bytes. */
export function sizeOf(payload: Payload): number {
  if (typeof payload === "string") return Buffer.byteLength(payload);
  return payload instanceof Blob ? payload.size : payload.byteLength;
}

/** Copies a payload. */
export function copyOf(payload: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(payload)
    ? new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength).slice()
    : new Uint8Array(payload).slice();
}
