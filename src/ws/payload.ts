import { Buffer } from "node:buffer";

/** What is sent. */
export type Payload = string | ArrayBuffer | ArrayBufferView | Blob;

const NOTHING = new Uint8Array();

/**
 * What `send` was given, as something that can be sent.
 *
 * @throws {TypeError} If no bytes can be made of it.
 */
export function toPayload(data: unknown): Payload {
  if (typeof data === "string" || ArrayBuffer.isView(data)) return data;
  if (typeof data === "number") return String(data);
  if (!data) return NOTHING;
  if (data instanceof ArrayBuffer || data instanceof Blob) return data;
  // An array of byte values, or whatever else a Buffer can be made of.
  return Buffer.from(data as never);
}

/** Bytes of a payload. */
export function sizeOf(payload: Payload): number {
  if (typeof payload === "string") return Buffer.byteLength(payload);
  return payload instanceof Blob ? payload.size : payload.byteLength;
}

/** The bytes of a payload, in a buffer of their own. */
export function copyOf(payload: ArrayBuffer | ArrayBufferView): Uint8Array {
  return ArrayBuffer.isView(payload)
    ? new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength).slice()
    : new Uint8Array(payload).slice();
}
