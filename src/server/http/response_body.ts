/** The next piece of a body, as a reader returns it. */
export type Piece = ReadableStreamReadResult<Uint8Array>;

// Microtasks to wait for a body that is available at once; it needs two to five.
const TICKS = 8;

/**
 * The body of a response, read piece by piece, with a look ahead. A body of a single piece that is available at once gets a
 * length and is written together with the head. For a slow body the head is written first.
 */
export class ResponseBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** A read that was begun to look ahead. */
  #next: Promise<Piece> | null = null;

  /**
   * @param stream The body, which this object now owns.
   * @throws {TypeError} If another consumer reads it.
   */
  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Reads the next piece. */
  async read(): Promise<Piece> {
    const next = this.#next ?? this.#reader.read();
    this.#next = null;
    const piece = await next;
    if (!piece.done && !(piece.value instanceof Uint8Array)) {
      throw new TypeError(`Cannot answer with a body of ${typeof piece.value}: use bytes`);
    }
    return piece;
  }

  /** Returns the next piece if it is available at once, else `undefined`. `read` returns it in both cases. */
  async peek(): Promise<Piece | undefined> {
    const next = this.#next ??= this.#reader.read();
    let settled = false;
    const settle = () => void (settled = true);
    next.then(settle, settle);
    for (let tick = 0; !settled && tick < TICKS; tick++) await null;
    return settled ? await next : undefined;
  }

  /** Cancels the body and its source; a pending read ends. */
  cancel(reason: unknown): void {
    this.#reader.cancel(reason).catch(() => {});
  }
}
