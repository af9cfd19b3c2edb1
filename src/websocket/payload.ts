import { copyOf, toBytes } from "../util/bytes.ts";

/** The payload of a message, as an event-based API gets it from the application. */
export type Payload = string | ArrayBuffer | ArrayBufferView | Blob;

/** The length of a payload in bytes. */
export function sizeOf(payload: Payload): number {
  if (typeof payload === "string") return utf8Length(payload);
  return payload instanceof Blob ? payload.size : payload.byteLength;
}

/** Copies a payload that has to wait: the application may change its bytes. */
export function snapshotOf(payload: Exclude<Payload, Blob>): string | Uint8Array {
  return typeof payload === "string" ? payload : copyOf(toBytes(payload));
}

/** The length of a text in bytes of UTF-8, without encoding it. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A surrogate pair has two code units and four bytes. A lone surrogate becomes U+FFFD, which has three bytes.
    length += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return length;
}
