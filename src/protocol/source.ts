/** Received bytes, and a view of the same bytes for access by words. */
export interface Source {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Makes a source of bytes. */
export function sourceOf(bytes: Uint8Array): Source {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}
