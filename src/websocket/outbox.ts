import { Fifo } from "../util/fifo.ts";

interface Entry {
  readonly blob: Blob | null;
  /** What it counts while it waits. */
  readonly size: number;
  /** Returns whether it has gone where it counts from now on. */
  readonly action: (bytes: Uint8Array) => boolean;
}

const NOTHING = new Uint8Array();

/**
 * Keeps the order of what is sent although the bytes of a `Blob` can only be had later: what follows one waits for it,
 * the close too.
 */
export class Outbox {
  /** Bytes that wait here, or were refused when it was their turn. */
  bytes = 0;
  /** Whether something is waiting, so that everything else has to wait behind it. */
  busy = false;
  readonly #failed: (error: unknown) => void;
  readonly #entries = new Fifo<Entry>();

  /** @param failed Called when the bytes of a `Blob` can't be read; what waits behind it is dropped. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Does something behind all that waits, at once if nothing does. Its bytes count until it returns true. */
  add(size: number, action: () => boolean): void {
    this.#push(null, size, action);
  }

  /** Reads a `Blob`, and does something with its bytes when it is their turn. */
  read(blob: Blob, action: (bytes: Uint8Array) => boolean): void {
    this.#push(blob, blob.size, action);
  }

  #push(blob: Blob | null, size: number, action: Entry["action"]): void {
    this.#entries.push({ blob, size, action });
    this.bytes += size;
    if (!this.busy) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.busy = true;
    try {
      for (let entry = this.#entries.peek(); entry !== undefined; entry = this.#entries.peek()) {
        const { blob, size, action } = entry;
        const bytes = blob === null ? NOTHING : new Uint8Array(await blob.arrayBuffer());
        this.#entries.shift();
        if (action(bytes)) this.bytes -= size;
      }
    } catch (error) {
      this.#entries.clear();
      this.#failed(error);
    }
    this.busy = false;
  }
}

/** Bytes of a text as UTF-8, without encoding it. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A pair of surrogates is two units and four bytes; a lone one becomes U+FFFD, three bytes.
    length += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00) {
      const next = text.charCodeAt(i + 1);
      if (next >= 0xdc00 && next < 0xe000) i++;
    }
  }
  return length;
}
