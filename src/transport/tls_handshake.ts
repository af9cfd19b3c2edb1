import { nextTick } from "node:process";
import { ReadCheck } from "./read_check.ts";
import { readInto } from "./stream_io.ts";
import type { CipherSide } from "./tls_stream.ts";
import type { Transport } from "./transport.ts";

/** Index of the size of a read: the messages of a client fit, and those of a server take a few. */
const FLIGHT = 1;

/** The outcome of a handshake of `node:tls`, as its events report it. */
export class TlsOutcome<Result> {
  /** The result of a successful handshake. */
  result: Result | undefined;
  /** The error of a failed handshake. */
  failure: Error | undefined;
  /** Rejects with `failure`. */
  readonly failed: Promise<never>;
  readonly #reject: (error: Error) => void;
  readonly #cipher: CipherSide;

  constructor(cipher: CipherSide) {
    this.#cipher = cipher;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    this.failed = promise;
    this.#reject = reject;
  }

  /** The handshake has succeeded. */
  succeed(result: Result): void {
    this.result ??= result;
  }

  /** The handshake has failed: the alert is written, then the transport below is closed. */
  fail(error: Error): void {
    if (this.result !== undefined || this.failure !== undefined) return;
    this.failure = error;
    this.#reject(error);
    void this.#cipher.abandon();
  }
}

/**
 * Feeds `node:tls` from the transport below until the handshake has ended.
 *
 * @param raw The transport below.
 * @param cipher The encrypted side over it.
 * @param outcome The outcome, which event handlers set.
 * @returns The result.
 * @throws The failure of the handshake, or that of the transport below.
 */
export async function handshake<Result>(
  raw: Transport,
  cipher: CipherSide,
  outcome: TlsOutcome<Result>,
): Promise<Result> {
  // `node:tls` begins in the next tick, and must do so before the connection may be abandoned.
  await new Promise<void>((resolve) => nextTick(resolve));
  try {
    const reads = new ReadCheck();
    const take = (bytes: Uint8Array | null) => {
      if (bytes === null) {
        throw new Deno.errors.UnexpectedEof("the peer closed the connection during the handshake");
      }
      // A read may end after the handshake has failed.
      if (outcome.failure === undefined) cipher.emit("data", bytes);
      return true;
    };
    while (outcome.result === undefined) {
      await Promise.race([readInto(raw, reads, FLIGHT, take), outcome.failed]);
      // An error is reported one tick later than success.
      if (outcome.result === undefined) {
        await new Promise((resolve) => queueMicrotask(() => resolve(null)));
      }
    }
    return outcome.result;
  } catch (error) {
    // While this waits, `node:tls` may report the error of the last bytes, and write its alert.
    await cipher.abandon();
    throw outcome.failure ?? error;
  }
}
