import { abortError, TimeoutError } from "../errors.ts";
import { HeadParser } from "../handshake/head_parser.ts";
import { Refusal, refusalOf } from "../handshake/refusal.ts";
import { PREFACE_HEAD } from "../handshake/http2_request.ts";
import { parseRequestHead, type RequestHead } from "../handshake/request_head.ts";
import { isUpgradeRequest } from "../handshake/server_handshake.ts";
import { OpeningStream } from "../transport/opening_stream.ts";
import { closeQuietly, readHead, readUntil } from "../transport/stream_io.ts";
import type { SocketTransport } from "../transport/sockets.ts";
import type { Transport } from "../transport/transport.ts";
import { NOTHING } from "../util/bytes.ts";
import { stackless } from "../util/stackless.ts";
import { Timer, type Timers } from "../util/timers.ts";
import { type AcceptedHandshake, type Candidate, decide } from "./decide_handshake.ts";
import type { Waiting } from "./handshake_limit.ts";
import type { ListenSettings } from "./listen_options.ts";
import { GoawayResponder } from "./http2/goaway_responder.ts";
import type { LateUpgrade } from "./late_upgrade.ts";
import { LINGER } from "../transport/linger.ts";
import type { PeerInfo } from "./peer_info.ts";
import { Http1Responder, type Responder } from "./responder.ts";
import type { UpgradeOffer } from "./upgrade_offer.ts";

/** An accepted socket, or a stream that takes its place. */
export type RawSocket = Transport & Pick<SocketTransport, "setNoDelay">;

/** The `release` of a handshake that isn't counted. */
export const NOTHING_TO_RELEASE = (): void => {};

/**
 * A stage of a handshake. It adds its results to the handshake, or throws the error with which the handshake is refused.
 * `false` ends the handshake without a response: its stream was passed on or served. A stage without a wait returns no
 * promise, since most handshakes pass through all stages.
 */
export type Stage<Data> = Stages<Data>["pass"];

interface Stages<Data> {
  // A method, since its parameter is bivariant: a `Listener<Data>` has to be assignable to `Listener<unknown>`.
  pass(handshake: PendingHandshake<Data>): boolean | void | Promise<boolean | void>;
}

/** The stages of handshakes, and the functions that are called at their end. */
export interface Course<Data> {
  readonly stages: readonly Stage<Data>[];
  /** The handshake has failed; the client gets a response if that is possible. */
  failed(handshake: PendingHandshake<Data>, reason: unknown): void;
  /** The handshake has become a connection, its stream was passed on, or its stream is closed. */
  over(handshake: PendingHandshake<Data>): void;
}

const PASSING = 0;
const LINGERING = 1;
const OVER = 2;

/**
 * A handshake from the accepted socket to the 101 or to a refusal: everything that is known of it, and its deadline. Every
 * wait is ended by the deadline, by a shutdown, or by later handshakes that need the room, even if the peer, the stream or
 * a callback of the application never answers.
 */
export class PendingHandshake<Data> extends Timer implements Waiting, Candidate {
  slot = -1;
  /** When it began, by `performance.now()`. */
  since: number = performance.now();
  /** The text of the request's head. */
  text = "";
  request!: RequestHead;
  /** Bytes that were read but not used yet: before the head is complete its beginning, then the bytes after it. */
  early: Uint8Array = NOTHING;
  secure = false;
  info: PeerInfo;
  /** Whether there was room for it when it began. */
  hasRoom = true;
  /** The decision of the application's handler; `null` if the listener decides. */
  offer: UpgradeOffer | null = null;
  /** The decision, once it is made. */
  decision!: AcceptedHandshake<Data>;
  /** Removes it from the count of its address. */
  #release: () => void = NOTHING_TO_RELEASE;
  /** The accepted socket, before TLS. */
  readonly raw: RawSocket;
  readonly #settings: ListenSettings<Data>;
  readonly #timers: Timers;
  #transport: Transport | null = null;
  #stream: OpeningStream | null = null; // the same stream, for the handshake
  #responder: Responder | null = null;
  #parser: HeadParser | null = null;
  #ending: unknown;
  #refused = false;
  #accepted = false;
  #deciding = false;
  #closed = false;
  #cancel: (() => void) | null = null;
  #course!: Course<Data>;
  #stage = 0; // the index of the next one
  #phase = PASSING;

  /** @param raw The accepted socket, before TLS. */
  constructor(raw: RawSocket, info: PeerInfo, settings: ListenSettings<Data>, timers: Timers) {
    super();
    this.raw = raw;
    this.info = info;
    this.#settings = settings;
    this.#timers = timers;
    timers.set(this, settings.handshakeTimeout);
  }

  /** Whether it waits for the application, or its 101 is being written: the peer isn't slow. */
  get deciding(): boolean {
    return this.#deciding || this.#accepted;
  }

  /** Whether the 101 is being written, so that no other answer can be sent. */
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

  /** The stream that carries the request; set as soon as the request can be answered. */
  get transport(): Transport {
    return this.#transport!;
  }

  /** Adds a function that removes the handshake from a count. It is called when the stream is closed or was served. */
  onRelease(more: () => void): void {
    const release = this.#release;
    this.#release = release === NOTHING_TO_RELEASE ? more : () => {
      release();
      more();
    };
  }

  /** Returns the function that removes the handshake from all counts, and leaves it to the caller to call it. */
  takeRelease(): () => void {
    const release = this.#release;
    this.#release = NOTHING_TO_RELEASE;
    return release;
  }

  /** Sets the stream that carries the request. */
  use(transport: Transport, secure: boolean, responder?: Responder): void {
    this.#transport = transport;
    this.#stream = new OpeningStream(transport);
    this.#responder = responder ?? new Http1Responder(this.#stream);
    this.secure = secure;
  }

  // ---- The stages -------------------------------------------------------------------------------------------------

  /** Goes through the stages of a course, one after the other. Throws nothing. */
  pass(course: Course<Data>): void {
    this.#course = course;
    this.#passed(true);
  }

  /** Called when a stage is passed; runs the next ones. */
  readonly #passed = (goesOn: boolean | void): void => {
    // The handshake was ended during the stage.
    if (this.#phase !== PASSING) return;
    const { stages } = this.#course;
    try {
      this.check();
      while (goesOn !== false && this.#stage < stages.length) {
        const outcome = stages[this.#stage++](this);
        if (outcome instanceof Promise) {
          outcome.then(this.#passed, this.#failed);
          return;
        }
        goesOn = outcome;
      }
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#end();
  };

  /** A stage has failed, or the handshake was ended from outside. */
  readonly #failed = (error: unknown): void => {
    if (this.#phase !== PASSING) return;
    this.#phase = LINGERING;
    this.#deciding = false;
    this.#course.failed(this, this.#refuse(error));
    if (this.#refused && this.#stream !== null && !this.#closed) void this.#linger(this.#stream);
    else this.#close();
  };

  /** Ends the handshake, unless it has ended already. */
  #end(): void {
    if (this.#phase === OVER) return;
    this.#phase = OVER;
    this.#timers.clear(this);
    this.#course.over(this);
  }

  /** Reads the head of the request. */
  readHead(): Promise<void> | void {
    const { early } = this;
    const parser = this.#parser = new HeadParser(this.#settings.maxHeaderBytes);
    const used = early.length === 0 ? -1 : parser.push(early);
    if (used < 0) return this.#readRest(parser);
    this.take(parser.text, early.subarray(used));
  }

  async #readRest(parser: HeadParser): Promise<void> {
    const early = await readHead(this.#stream!, (bytes) => {
      this.check();
      return parser.push(bytes);
    });
    if (early === null) {
      this.#stream = null;
      throw stackless(() =>
        new Deno.errors.UnexpectedEof("The stream ended before the handshake was complete")
      );
    }
    this.take(parser.text, early);
  }

  /** Sets the head of the request and the bytes after it. */
  take(text: string, early: Uint8Array): void {
    this.text = text;
    this.early = early;
    const { maxHeaderFields, http2 } = this.#settings;
    const major = this.#responder?.httpVersion === "2" ? 2 : 1;
    if (http2 && major === 1 && text === PREFACE_HEAD) {
      this.#responder = new GoawayResponder(this.#stream!);
      return;
    }
    this.request = parseRequestHead(text, maxHeaderFields, major);
  }

  /** Whether the client speaks HTTP/2: the head is the beginning of its preface. */
  get isHttp2(): boolean {
    return this.#settings.http2 && this.text === PREFACE_HEAD;
  }

  /** The fields of the request; `null` before its head is complete. */
  get fields(): RequestHead["fields"] | null {
    return (this.request as RequestHead | undefined)?.fields ?? null;
  }

  /** Whether the application's handler gets the request. */
  get isForHandler(): boolean {
    const { handler, upgrades } = this.#settings;
    return handler !== undefined && (upgrades === "handler" || !isUpgradeRequest(this.request));
  }

  /** Decides about the request. */
  decide(): Promise<void> | void {
    const settings = this.#settings;
    const own = this.offer === null ? settings : this.offer.settings(settings);
    const decision = decide(this, own);
    if (decision instanceof Promise) return this.#awaitDecision(decision);
    this.decision = decision;
  }

  async #awaitDecision(decision: Promise<AcceptedHandshake<Data>>): Promise<void> {
    this.#deciding = true;
    this.decision = await decision;
    this.#deciding = false;
  }

  /** Writes the 101. */
  accept(): Promise<void> {
    // Before the call, since a foreign stream may end the handshake within it.
    this.#accepted = true;
    return this.#responder!.accept(this.decision.acceptance);
  }

  /** Leaves the stream to ordinary HTTP, which has timeouts of its own. */
  leave(): void {
    this.#timers.clear(this);
  }

  /** Gets the stream back, with a request for a WebSocket; the deadline begins again. */
  resume({ transport, responder, text, early, offer }: LateUpgrade): void {
    this.use(transport, this.secure, responder);
    this.offer = offer;
    if (offer !== null) {
      offer.engine!.cancel = () => this.abort(503, abortError("The handshake was cancelled"));
    }
    this.since = performance.now();
    this.#timers.set(this, this.#settings.handshakeTimeout);
    this.take(text, early);
  }

  /** The handshake has taken too long, or the peer has taken too long to read a refusal. */
  override fire(): void {
    if (this.#refused) {
      this.#close();
    } else {
      const { handshakeTimeout } = this.#settings;
      const message = `No handshake within ${handshakeTimeout} ms`;
      this.abort(408, stackless(() => new TimeoutError(message)));
    }
  }

  /** Ends the handshake from outside, and answers with a status. */
  abort(status: number, error: Error): void {
    if (this.over || this.#refused) return;
    this.#ending = error;
    this.#timers.clear(this);
    if (this.#stream === null || this.#accepted) {
      this.#close();
    } else {
      this.#answer(new Refusal(status, error.message));
      this.#interrupt();
    }
  }

  /** Closes the stream without an answer, to make room for others. */
  evict(): void {
    this.#ending ??= new Error("The handshake was dropped to make room for later ones");
    this.#close();
  }

  /** Refuses before anything was read; without a transport there is no answer. */
  turnAway(transport: Transport | null, message: string): never {
    if (transport !== null) this.use(transport, false);
    throw new Refusal(503, message);
  }

  /**
   * Answers a handshake that has failed, if an answer can be sent.
   *
   * @returns The error to report.
   */
  #refuse(error: unknown): unknown {
    const refusal = refusalOf(error);
    const answers = this.#stream !== null && !this.over && !this.#refused && !this.#accepted;
    if (answers && refusal !== null) this.#answer(refusal);
    return this.#ending ?? refusal?.error ?? error;
  }

  /** Closes the stream after a refusal, without a reset that could lose the answer. The deadline ends it as well. */
  async #linger(stream: OpeningStream): Promise<void> {
    const end = performance.now() + LINGER;
    await stream.settled();
    // The clock is checked, too: if a stream always has more bytes in memory, no timer fires.
    await readUntil(stream, NOTHING, () => performance.now() >= end);
    this.#close();
  }

  /** Throws if the handshake was ended from outside. */
  check(): void {
    if (this.#ending !== undefined) throw this.#ending;
  }

  /** Whether the request is a HEAD, as far as is known: the answer then has no content. */
  get #isHead(): boolean {
    const { method } = (this.request as RequestHead | undefined) ?? {};
    return method === undefined ? this.#parser?.isHeadRequest === true : method === "HEAD";
  }

  #answer(refusal: Refusal): void {
    this.#refused = true;
    this.#timers.set(this, LINGER);
    this.#responder!.refuse(refusal, this.#isHead).catch(() => {});
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream?.leave();
    // A failed TLS handshake has closed it already.
    closeQuietly(this.raw);
    // At once, since the handshake that has evicted this one may be of the same address.
    this.takeRelease()();
    this.#interrupt();
  }

  /** Ends the current wait, whose promise may never settle. Not at once: the caller may be going through all handshakes. */
  #interrupt(): void {
    queueMicrotask(() => {
      if (this.#phase === PASSING) {
        this.#failed(this.#ending ?? new Error("The handshake was abandoned"));
      }
      if (this.#closed) this.#end();
    });
    this.#cancel?.();
    this.#cancel = null;
  }
}
