import { Buffer } from "node:buffer";
import type { Payload } from "../websocket/payload.ts";

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
  if (!data) return new Uint8Array();
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
