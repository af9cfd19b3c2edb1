import type { Http2Stream } from "node:http2";
import { addAbortSignal } from "node:stream";
import { setImmediate } from "node:timers";
import { callForeign } from "../util/foreign.ts";
import { LINGER } from "./linger.ts";
import { NodeStreamTransport } from "./node_stream.ts";
import type { PeerCertificate } from "./peer_certificate.ts";

/** The names of the error codes, by number (RFC 9113 7). */
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

/** The error code of a stream that wasn't processed (RFC 9113 7). */
export const REFUSED_STREAM = ERROR_CODES.indexOf("REFUSED_STREAM");

/** The connection that a stream belongs to. */
export interface Http2Carrier {
  readonly localAddr: Deno.Addr | null;
  readonly remoteAddr: Deno.Addr | null;
  readonly peerCertificate?: PeerCertificate;
  /** Whether the peer reads more slowly than is written. */
  readonly congested: boolean;
  /** Whether the connection has ended. */
  readonly lost: boolean;
  /** The error code of the peer's GOAWAY; `null` if none was received. */
  readonly goaway: number | null;
  /** Calls back when `congested` may be false again. */
  whenTaken(taken: () => void): void;
  /** Adds to the count of streams, and of those that keep the process alive. */
  count(streams: number, holds: number): void;
}

/** A stream of an HTTP/2 connection as a transport: END_STREAM is its FIN, and RST_STREAM its RST (RFC 8441 5). */
export class Http2StreamTransport extends NodeStreamTransport {
  readonly multiplexed = true;
  readonly peerCertificate: PeerCertificate | undefined;
  readonly #stream: Http2Stream;
  readonly #carrier: Http2Carrier;
  #reset: Error | null = null;
  #closed = false;
  #refed = true;
  #wakeWriter: (() => void) | null = null; // while the carrier is congested

  /** @param stream The stream, owned by this object from now on. */
  constructor(stream: Http2Stream, carrier: Http2Carrier) {
    // The stream may be half-closed from the start: the writable side of a response to HEAD has ended.
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
    // The stream's own window may be open although the connection is congested.
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
    // A reset and the loss of the connection end the readable side, too.
    if (this.#reset === null) super.ended();
  }

  protected override fail(error: Error): void {
    const reset = this.#reset;
    if (reset === null || !this.writing) return this.#failNow(reset ?? error);
    // The callback of a pending write comes in a later turn. Its data may have been sent completely, and the peer may have
    // reset the stream after reading it.
    setImmediate(() => this.#failNow(reset));
  }

  #failNow(error: Error): void {
    super.fail(error);
    const wake = this.#wakeWriter;
    this.#wakeWriter = null;
    wake?.();
  }

  /** Ends our direction, and the stream if the peer doesn't end its direction within `LINGER`. */
  override close(): void {
    const stream = this.#stream;
    // `end` would send a head with status 200 first, which accepts the WebSocket.
    if (stream.sentHeaders === undefined) return this.cut();
    this.#end(() => {
      const timer = setTimeout(() => stream.destroy(), LINGER);
      stream.once("close", () => clearTimeout(timer));
      // Unread data would keep the stream from ending.
      stream.removeAllListeners("data");
      stream.resume();
      stream.end();
    });
  }

  /** Ends both directions at once, with the error code CANCEL. */
  cut(): void {
    // `close` with a code would send END_STREAM before the reset, as in an orderly end.
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
    const { rstCode } = this.#stream, { lost, goaway } = this.#carrier;
    const after = goaway === null ? "" : `, after GOAWAY with ${nameOf(goaway)}`;
    return new Deno.errors.ConnectionReset(
      rstCode && !lost
        ? `The HTTP/2 stream was reset with ${nameOf(rstCode)}`
        : `The HTTP/2 connection has ended${after}`,
    );
  }
}

function nameOf(code: number): string {
  return ERROR_CODES[code] ?? `error code ${code}`;
}
