/** A violation of the protocol by the peer; the connection fails with the close code it names. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  /** The code of the close frame that answers it (RFC 6455 7.4.1). */
  readonly closeCode: number;

  /**
   * @param closeCode The code to fail the connection with.
   * @param message What the peer did.
   */
  constructor(closeCode: number, message: string) {
    super(message);
    this.closeCode = closeCode;
  }
}
