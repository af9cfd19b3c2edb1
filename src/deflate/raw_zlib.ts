import { constants, createDeflateRaw, createInflateRaw } from "node:zlib";
import { callForeign } from "../util/foreign.ts";

// The streams of node:zlib work on this thread anyway, but need two events and several ticks per message. Each stream has
// a handle whose `writeSync` does the same work and returns. On Deno 2.9.6 that takes 1.3 µs instead of 6 for a message of
// 128 bytes, and no message has to wait for an unfinished one. The handle is the same in Node, but isn't documented. So
// `isSupported` tests it first: if it doesn't work, compression isn't offered, and connections work as with
// `compression: false`.

/** The part of the handle that is used here. */
interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  reset(): void;
  close(): void;
  onerror: (message: string, errno: number) => void;
}

/** The data is corrupt. Any other error of zlib is an internal one, such as no memory left. */
export class CorruptDataError extends Error {}

/** Writes only output that is complete; the rest stays in the context. */
export const NO_FLUSH: number = constants.Z_NO_FLUSH;
/** Writes all output, and ends with an empty stored block on a byte boundary. */
export const SYNC_FLUSH: number = constants.Z_SYNC_FLUSH;

/** One zlib context of raw deflate data, in either direction. */
export class RawZlib {
  /** Bytes of the input that the last {@linkcode run} left. */
  inputLeft = 0;
  /** Bytes of the output's room that the last {@linkcode run} left. */
  outputLeft = 0;
  readonly #handle: Handle;
  /** The handle's report: room left in the output, then bytes left of the input. */
  readonly #state: Uint32Array;
  #failure: Error | null = null;
  #closed = false;

  private constructor(stream: object) {
    const { _handle, _writeState } = stream as { _handle: Handle; _writeState: Uint32Array };
    this.#handle = _handle;
    this.#state = _writeState;
    // The stream's own handler would destroy the stream and emit an "error" that has no listener.
    this.#handle.onerror = (message, errno) => {
      const corrupt = errno === constants.Z_DATA_ERROR || errno === constants.Z_NEED_DICT;
      this.#failure = corrupt ? new CorruptDataError(message) : new Error(`zlib: ${message}`);
    };
  }

  /** A context that compresses. */
  static deflate(windowBits: number, memLevel: number, level: number): RawZlib {
    // The stream's own output buffer is never used, so it has the smallest possible size.
    return new RawZlib(createDeflateRaw({ windowBits, memLevel, level, chunkSize: 64 }));
  }

  /** A context that inflates. */
  static inflate(windowBits: number): RawZlib {
    return new RawZlib(createInflateRaw({ windowBits, chunkSize: 64 }));
  }

  /**
   * Runs zlib until the input is used up or the output is full; see `inputLeft` and `outputLeft`. After an error the context
   * can't be used any more.
   *
   * @throws {CorruptDataError} If the data is corrupt.
   * @throws {Error} If zlib fails for any other reason.
   */
  run(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void {
    // A call of a closed handle ends the process (Deno 2.9.6 panics).
    if (this.#closed) throw new Error("Cannot use a zlib context that is closed");
    this.#handle.writeSync(
      flush,
      input,
      inputOffset,
      inputLength,
      output,
      outputOffset,
      outputLength,
    );
    if (this.#failure !== null) throw this.#failure;
    this.outputLeft = this.#state[0];
    this.inputLeft = this.#state[1];
  }

  /** Forgets the window, and the end of the stream if there was one. */
  reset(): void {
    if (!this.#closed) this.#handle.reset();
  }

  /** Frees the memory; the context can't be used afterwards. Further calls do nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    callForeign(() => this.#handle.close(), () => {});
  }
}

let supported: boolean | undefined;

/**
 * Says whether the codecs work in this runtime. The first call tries them.
 *
 * @returns `false` if compression isn't possible.
 */
export function isSupported(): boolean {
  return supported ??= probe();
}

/** Compresses a message twice in one context and inflates both results, which uses everything above. */
function probe(): boolean {
  const contexts: RawZlib[] = [];
  try {
    const deflate = RawZlib.deflate(9, 1, 1);
    contexts.push(deflate);
    const inflate = RawZlib.inflate(9);
    contexts.push(inflate);
    const message = Uint8Array.from({ length: 32 }, (_, i) => i * 37);
    const packed = new Uint8Array(64);
    const unpacked = new Uint8Array(64);
    let lastLength = Infinity;
    for (let round = 0; round < 2; round++) {
      deflate.run(SYNC_FLUSH, message, 0, 32, packed, 0, 64);
      const length = 64 - deflate.outputLeft;
      if (deflate.inputLeft !== 0 || length >= lastLength || packed[length - 1] !== 0xff) {
        return false;
      }
      lastLength = length;
      inflate.run(SYNC_FLUSH, packed, 0, length, unpacked, 0, 64);
      if (inflate.inputLeft !== 0 || inflate.outputLeft !== 32) return false;
      for (let i = 0; i < 32; i++) if (unpacked[i] !== message[i]) return false;
    }
    return true;
  } catch {
    return false;
  } finally {
    for (const context of contexts) context.close();
  }
}
