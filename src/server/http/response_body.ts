/** The next piece of a body, as a reader gives it. */
export type Piece = ReadableStreamReadResult<Uint8Array>;

// A body that is there at once shows within two to five of these.
const TICKS = 8;

/**
 * The body of a response, read piece by piece. What is there at once is looked ahead for: a body of a single piece can
 * be announced with its length and goes out in one write with the head, while the head of one that takes its time goes
 * out first.
 */
export class ResponseBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** A read that was begun to look ahead. */
  #next: Promise<Piece> | null = null;

  /**
   * @param stream The body; ours from now on.
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

  /** The next piece if it is there at once, else `undefined`; either way `read` gives it. */
  async peek(): Promise<Piece | undefined> {
    const next = this.#next ??= this.#reader.read();
    let settled = false;
    const settle = () => void (settled = true);
    next.then(settle, settle);
    for (let tick = 0; !settled && tick < TICKS; tick++) await null;
    return settled ? await next : undefined;
  }

  /** Lets go of the body, and of what it comes from; a read under way ends. */
  cancel(reason: unknown): void {
    this.#reader.cancel(reason).catch(() => {});
  }
}
