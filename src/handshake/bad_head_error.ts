/** The head of a message breaks the rules of HTTP/1.1, so the bytes that follow it can't be trusted either. */
export class BadHeadError extends Error {
  /** The name of the class. */
  override readonly name = "BadHeadError";
  /** The status that a server answers with: 400, 431 (too large), 501 (unknown transfer coding) or 505 (version). */
  readonly status: number;

  /**
   * Makes an error for a bad head.
   *
   * @param status The status that a server answers with.
   * @param message What is wrong with the head.
   */
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
