import { TimeoutError } from "../errors.ts";
import { HeadParser } from "../handshake/head_parser.ts";
import { Refusal, refusalOf } from "../handshake/refusal.ts";
import { parseRequestHead, type RequestHead } from "../handshake/request_head.ts";
import { isUpgradeRequest } from "../handshake/server_handshake.ts";
import { OpeningStream } from "../transport/opening_stream.ts";
import { closeQuietly, drain, readHead, writeAll } from "../transport/stream_io.ts";
import type { Transport } from "../transport/transport.ts";
import { NOTHING } from "../util/bytes.ts";
import { Timer, type Timers } from "../util/timers.ts";
import { type Acceptance, type Candidate, decide } from "./decide_handshake.ts";
import type { Waiting } from "./handshake_limit.ts";
import type { ListenSettings } from "./listen_options.ts";
import { LINGER } from "./linger.ts";
import type { PeerInfo } from "./peer_info.ts";

/**
 * A handshake from the accepted socket to the 101 or to a refusal: what is known of it so far, and its deadline. Each
 * wait on the way is ended by that deadline, by a shutdown, or by later handshakes that need the room, whatever the peer,
 * the stream and the application's callbacks do.
 */
export class PendingHandshake<Data> extends Timer implements Waiting, Candidate {
  slot = -1;
  /** When it began, by `performance.now()`. */
  since: number = performance.now();
  /** The text of the request's head. */
  text = "";
  request!: RequestHead;
  /** What has been read and not been used yet: bytes before the head is read, then what came after it. */
  early: Uint8Array = NOTHING;
  secure = false;
  info: PeerInfo;
  /** Whether there was room for it when it came. */
  hasRoom = true;
  /** Gives its place among the connections of its address back. */
  release: () => void = () => {};
  readonly #raw: Transport;
  readonly #settings: ListenSettings<Data>;
  readonly #timers: Timers;
  #transport: Transport | null = null;
  #stream: OpeningStream | null = null; // the same, for the handshake
  #parser: HeadParser | null = null;
  #ending: unknown;
  #refused = false;
  #accepted = false;
  #deciding = false;
  #closed = false;
  #interrupt: ((reason: unknown) => void) | null = null;
  #cancel: (() => void) | null = null;

  /** @param raw The accepted socket, on which TLS may still be to come. */
  constructor(raw: Transport, info: PeerInfo, settings: ListenSettings<Data>, timers: Timers) {
    super();
    this.#raw = raw;
    this.info = info;
    this.#settings = settings;
    this.#timers = timers;
    timers.set(this, settings.handshakeTimeout);
  }

  /** Whether the application keeps it waiting, or its 101 is on the way: it isn't the peer that is slow. */
  get deciding(): boolean {
    return this.#deciding || this.#accepted;
  }

  /** Whether the 101 is on the way, so that nothing else may be answered. */
  get accepted(): boolean {
    return this.#accepted;
  }

  get over(): boolean {
    return this.#ending !== undefined || this.#closed;
  }

  onOver(cancel: () => void): void {
    if (this.over) cancel();
    else this.#cancel = cancel;
  }

  /** The stream that carries the request; known from the stage on in which it can be answered. */
  get transport(): Transport {
    return this.#transport!;
  }

  /** Takes the stream that carries the request. */
  use(transport: Transport, secure: boolean): void {
    this.#carry(transport);
    this.secure = secure;
  }

  #carry(transport: Transport): void {
    this.#transport = transport;
    this.#stream = new OpeningStream(transport);
  }

  /** Waits for a stage, but no longer than the handshake lasts. */
  wait<T>(stage: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      stage.then(resolve, reject);
    });
  }

  /** Reads the head of the request. */
  async readHead(): Promise<void> {
    this.check();
    const { maxHeaderBytes } = this.#settings;
    const parser = this.#parser = new HeadParser(maxHeaderBytes);
    const before = this.early, used = before.length === 0 ? -1 : parser.push(before);
    if (used >= 0) return this.take(parser.text, before.subarray(used));
    const early = await this.wait(readHead(this.#stream!, (bytes) => {
      this.check();
      return parser.push(bytes);
    }));
    this.check();
    if (early === null) {
      this.#stream = null;
      throw new Deno.errors.UnexpectedEof("The stream ended before the handshake was complete");
    }
    this.take(parser.text, early);
  }

  /** Takes a head that was read elsewhere, and what came after it. */
  take(text: string, early: Uint8Array): void {
    this.text = text;
    this.early = early;
    this.request = parseRequestHead(text, this.#settings.maxHeaderFields);
  }

  /** Whether it is an ordinary HTTP request, for the application's handler. */
  get isOrdinary(): boolean {
    return this.#settings.handler !== undefined && !isUpgradeRequest(this.request);
  }

  /** Decides about the request. */
  async decide(): Promise<Acceptance<Data>> {
    this.check();
    this.#deciding = true;
    try {
      return await this.wait(decide(this, this.#settings));
    } finally {
      this.#deciding = false;
    }
  }

  /** Writes the 101. */
  async accept({ answer }: Acceptance<Data>): Promise<void> {
    this.check();
    this.#accepted = true;
    await this.wait(writeAll(this.#stream!, answer));
    this.#timers.clear(this);
    this.check();
  }

  /** Leaves the stream to ordinary HTTP, which watches over it by itself. */
  leave(): void {
    this.check();
    this.#timers.clear(this);
  }

  /** Gets the stream back, with a request that asks for a WebSocket; the deadline starts again. */
  resume(transport: Transport, text: string, early: Uint8Array): void {
    this.#carry(transport);
    this.since = performance.now();
    this.#timers.set(this, this.#settings.handshakeTimeout);
    this.take(text, early);
  }

  /** The handshake took too long, or the refused peer did. */
  override fire(): void {
    if (this.#refused) {
      this.#close();
    } else {
      const { handshakeTimeout } = this.#settings;
      this.abort(408, new TimeoutError(`No handshake within ${handshakeTimeout} ms`));
    }
  }

  /** Ends it with a status, from outside. */
  abort(status: number, error: Error): void {
    if (this.over || this.#refused) return;
    this.#ending = error;
    this.#timers.clear(this);
    if (this.#stream === null || this.#accepted) {
      this.#close();
    } else {
      this.#answer(new Refusal(status, error.message));
      this.#end();
    }
  }

  /** Closes it without an answer, to make room for others. */
  evict(): void {
    this.#ending ??= new Error("The handshake had to make room for later ones");
    this.#close();
  }

  /** Refuses before anything was read, in the clear if the peer can read that. */
  turnAway(transport: Transport | null, message: string): never {
    if (transport !== null) this.#carry(transport);
    throw new Refusal(503, message);
  }

  /**
   * Answers a handshake that has failed, if that can be told. `linger` has to follow.
   *
   * @returns The error to report.
   */
  refuse(error: unknown): unknown {
    const refusal = refusalOf(error);
    const answers = this.#stream !== null && !this.over && !this.#refused && !this.#accepted;
    if (answers && refusal !== null) this.#answer(refusal);
    return this.#ending ?? refusal?.error ?? error;
  }

  /** Closes the stream of a handshake that was refused, without resetting the connection under the answer. */
  async linger(): Promise<void> {
    try {
      if (this.#refused && !this.#closed) await this.wait(drain(this.#stream!, LINGER));
    } catch {
      // The peer is gone, and with it the need to tell it anything.
    }
    this.#timers.clear(this);
    this.#close();
  }

  /** Throws if it was ended from outside. */
  check(): void {
    if (this.#ending !== undefined) throw this.#ending;
  }

  /** Whether it is a HEAD, as far as that is known: its answer has no content. */
  get #isHead(): boolean {
    const { method } = (this.request as RequestHead | undefined) ?? {};
    return method === undefined ? this.#parser?.isHeadRequest === true : method === "HEAD";
  }

  #answer(refusal: Refusal): void {
    const stream = this.#stream!;
    this.#refused = true;
    this.#timers.set(this, LINGER);
    const answer = refusal.format(this.#isHead);
    writeAll(stream, answer).then(() => stream.closeWrite()).catch(() => {});
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream?.leave();
    // A failed TLS handshake has closed it already.
    closeQuietly(this.#raw);
    this.#end();
  }

  /** Ends the wait under way, which may be for something that never settles. */
  #end(): void {
    this.#interrupt?.(this.#ending ?? new Error("The handshake was given up"));
    this.#cancel?.();
    this.#cancel = null;
  }
}
