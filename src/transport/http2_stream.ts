import type { Http2Stream } from "node:http2";
import { addAbortSignal } from "node:stream";
import { setImmediate } from "node:timers";
import { callForeign } from "../util/foreign.ts";
import { NodeStreamTransport } from "./node_stream.ts";
import type { PeerCertificate } from "./peer_certificate.ts";

/** How long the other end has to take the end of a stream, in ms. */
const LINGER = 1000;

/** The error codes of RFC 9113 7, by their numbers. */
const ERROR_CODES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

/** The connection that a stream is one of many on. */
export interface Http2Carrier {
  readonly localAddr: Deno.Addr | null;
  readonly remoteAddr: Deno.Addr | null;
  readonly peerCertificate?: PeerCertificate;
  /** Whether its peer doesn't take what is written as fast as it comes. */
  readonly congested: boolean;
  /** Calls back when that may no longer be so. */
  whenTaken(taken: () => void): void;
  /** Adds to the count of streams, and of those that keep the process alive. */
  count(streams: number, holds: number): void;
}

/** A stream of an HTTP/2 connection as a transport: its two ends are END_STREAM, and a cut is RST_STREAM (RFC 8441 5). */
export class Http2StreamTransport extends NodeStreamTransport {
  readonly multiplexed = true;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly #stream: Http2Stream;
  readonly #carrier: Http2Carrier;
  #reset: Error | null = null;
  #closed = false;
  #refed = true;
  #wakeWriter: (() => void) | null = null; // while the carrier is congested

  /** @param stream The stream; ours from now on. */
  constructor(stream: Http2Stream, carrier: Http2Carrier) {
    // That of an answer to HEAD has from the start.
    super(stream, undefined, true);
    this.#stream = stream;
    this.#carrier = carrier;
    this.peerCertificate = carrier.peerCertificate;
    carrier.count(1, 1);
    stream.once("aborted", () => {
      this.#reset = this.#resetError();
      this.fail(this.#reset);
    });
    stream.once("close", () => {
      this.unref();
      carrier.count(-1, 0);
    });
  }

  override get localAddr(): Deno.Addr | null {
    return this.#carrier.localAddr;
  }

  override get remoteAddr(): Deno.Addr | null {
    return this.#carrier.remoteAddr;
  }

  override tryWrite(data: Uint8Array): number {
    // A stream's own window may be wide open.
    return this.#carrier.congested && !this.#stream.closed ? 0 : super.tryWrite(data);
  }

  override whenWritable(ready: () => void): void {
    if (!this.#carrier.congested || this.#stream.closed) return super.whenWritable(ready);
    this.#wakeWriter = ready;
    this.#carrier.whenTaken(() => {
      if (this.#wakeWriter !== ready) return;
      this.#wakeWriter = null;
      this.whenWritable(ready);
    });
  }

  protected override ended(): void {
    // A reset and the loss of the connection look like it, too.
    if (this.#reset === null) super.ended();
  }

  protected override fail(error: Error): void {
    const reset = this.#reset;
    if (reset === null || !this.writing) return this.#failNow(reset ?? error);
    // The stream calls back in a later turn: what it was given has perhaps been sent, and was all that its peer has waited for.
    setImmediate(() => this.#failNow(reset));
  }

  #failNow(error: Error): void {
    super.fail(error);
    const wake = this.#wakeWriter;
    this.#wakeWriter = null;
    wake?.();
  }

  /** Ends our direction; the other end has a moment to end its own. */
  override close(): void {
    const stream = this.#stream;
    // A stream that is ended before its head was sent would be accepted by that.
    if (stream.sentHeaders === undefined) return this.cut();
    this.#end(() => {
      const timer = setTimeout(() => stream.destroy(), LINGER);
      stream.once("close", () => clearTimeout(timer));
      // What isn't read is of no interest any more, but would keep the stream from ending.
      stream.removeAllListeners("data");
      stream.resume();
      stream.end();
    });
  }

  /** Ends both directions at once, with CANCEL. */
  cut(): void {
    // `close` with a code would end our direction first, as if it were in order.
    this.#end(() => addAbortSignal(AbortSignal.abort(), this.#stream));
  }

  override ref(): void {
    this.#hold(true);
  }

  override unref(): void {
    this.#hold(false);
  }

  #hold(on: boolean): void {
    if (this.#refed === on || (on && this.#stream.closed)) return;
    this.#refed = on;
    this.#carrier.count(0, on ? 1 : -1);
  }

  #end(end: () => void): void {
    if (this.#closed) return;
    this.#closed = true;
    this.fail(new Deno.errors.BadResource("The stream is closed"));
    if (!this.#stream.closed) callForeign(end, () => this.#stream.destroy());
  }

  #resetError(): Error {
    const { rstCode } = this.#stream;
    const name = ERROR_CODES[rstCode ?? 0] ?? `error code ${rstCode}`;
    return new Deno.errors.ConnectionReset(
      rstCode ? `The HTTP/2 stream was reset with ${name}` : "The HTTP/2 connection has ended",
    );
  }
}
