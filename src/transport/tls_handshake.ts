import { nextTick } from "node:process";
import { readOnce } from "./stream_io.ts";
import type { CipherSide } from "./tls_stream.ts";

import type { Transport } from "./transport.ts";

/** Index of the size that is read with: a client's flight fits, and a server's takes a few. */
const FLIGHT = 1;

/** How a handshake in `node:tls` ends: what its events report. */
export class TlsOutcome<Result> {
  /** What it ended with, or `undefined` as long as it hasn't. */
  result: Result | undefined;
  /** Why it failed, or `undefined` as long as it hasn't. */
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

  /** Ends it well. */
  succeed(result: Result): void {
    this.result ??= result;
  }

  /** Ends it badly: the alert goes out, then the transport below is closed. */
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
 * @param outcome Settled by event handlers.
 * @returns The outcome's result.
 * @throws Its failure, or that of the transport below.
 */
export async function handshake<Result>(
  raw: Transport,
  cipher: CipherSide,
  outcome: TlsOutcome<Result>,
): Promise<Result> {
  // `node:tls` begins a tick from now, and can't if the connection has been given up before.
  await new Promise<void>((resolve) => nextTick(resolve));
  try {
    const take = (bytes: Uint8Array | null) => {
      if (bytes === null) {
        throw new Deno.errors.UnexpectedEof("the peer closed the connection in the middle of it");
      }
      // It may come late, when the handshake has failed.
      if (outcome.failure === undefined) cipher.emit("data", bytes);
    };
    while (outcome.result === undefined) {
      await Promise.race([readOnce(raw, FLIGHT, take), outcome.failed]);
      // Errors, unlike success, come a tick late.
      if (outcome.result === undefined) {
        await new Promise((resolve) => queueMicrotask(() => resolve(null)));
      }
    }
    return outcome.result;
  } catch (error) {
    // What `node:tls` made of the last bytes may be reported, and its alert be written, only now.
    await cipher.abandon();
    throw outcome.failure ?? error;
  }
}
