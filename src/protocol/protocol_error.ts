/** What the peer did wrong, and the close code that tells it so. */
export class ProtocolError extends Error {
  /** The name of the class. */
  override readonly name = "ProtocolError";
  /** The code of the close frame that ends the connection (RFC 6455 7.4.1). */
  readonly closeCode: number;

  /**
   * Makes the error.
   *
   * @param closeCode The code to close with.
   * @param message What was received that isn't allowed.
   */
  constructor(closeCode: number, message: string) {
    super(message);
    this.closeCode = closeCode;
  }
}
