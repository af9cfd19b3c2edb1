import { NOTHING } from "../util/bytes.ts";
import { Fifo } from "../util/fifo.ts";

interface Entry {
  readonly blob: Blob | null;
  /** The bytes that the entry counts for while it waits. */
  readonly size: number;
  /** Returns whether the bytes are counted elsewhere from now on. */
  readonly action: (bytes: Uint8Array) => boolean;
}

/**
 * Keeps messages in order although the bytes of a `Blob` can only be read asynchronously: later messages wait for it, and
 * so does the close.
 */
export class Outbox {
  /** The number of bytes that wait here, or that were refused when it was their turn. */
  bytes = 0;
  /** Whether something is waiting, so that later messages have to wait, too. */
  busy = false;
  readonly #failed: (error: unknown) => void;
  readonly #entries = new Fifo<Entry>();

  /** @param failed Called when the bytes of a `Blob` can't be read. All later entries are dropped. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Runs an action after all waiting entries, at once if there are none. Its bytes count until it returns true. */
  add(size: number, action: () => boolean): void {
    this.#push(null, size, action);
  }

  /** Reads a `Blob`, and runs an action with its bytes when it is their turn. */
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
