import { type Acceptance, decide } from "./decide_handshake.ts";
import { TimeoutError } from "../errors.ts";
import { HeadParser } from "../handshake/head_parser.ts";
import { parseRequestHead } from "../handshake/request_head.ts";
import { isUpgradeRequest } from "../handshake/server_handshake.ts";
import { closeQuietly, drain, readHead, writeAll } from "../transport/stream_io.ts";
import type { ListenSettings, PeerInfo } from "./listen_options.ts";
import { refusalOf, Refused } from "../handshake/refusal.ts";
import type { Member } from "../util/member_list.ts";
import { Timer, type Timers } from "../util/timers.ts";
import type { Transport } from "../transport/transport.ts";

// How long a refused peer has to take the answer and to close.
const LINGER = 1000;

/** A request that came in. */
export interface PendingHandshakeInit<Data> {
  /** Our consent to a WebSocket; `null` for an ordinary HTTP request, where there is a handler for those. */
  accepted: Acceptance<Data> | null;
  /** The text of its head. */
  head: string;
  /** What came behind it. */
  early: Uint8Array;
}

/** A handshake that is being answered, from the accepted socket to the 101 or to a refusal. */
export class PendingHandshake<Data> extends Timer implements Member {
  slot = -1;
  readonly #raw: Transport;
  readonly #settings: ListenSettings<Data>;
  readonly #timers: Timers;
  #transport: Transport | null = null;
  #ending: unknown;
  #refused = false;
  #closed = false;
  #deciding = false;

  /** @param raw The accepted socket, on which TLS may still be to come. */
  constructor(raw: Transport, settings: ListenSettings<Data>, timers: Timers) {
    super();
    this.#raw = raw;
    this.#settings = settings;
    this.#timers = timers;
    if (settings.handshakeTimeout > 0) timers.set(this, settings.handshakeTimeout);
  }

  /** Whether it is the application that keeps it waiting, and not the peer. */
  get deciding(): boolean {
    return this.#deciding;
  }

  /** Reads the request and decides about it; what came behind the head is `early`. */
  async run(
    transport: Transport,
    secure: boolean,
    info: PeerInfo,
  ): Promise<PendingHandshakeInit<Data>> {
    this.#transport = transport;
    const parser = new HeadParser(this.#settings.maxHeaderBytes);
    const early = await readHead(transport, (bytes) => {
      this.check();
      return parser.push(bytes);
    });
    this.check();
    if (early === null) {
      this.#transport = null;
      throw new Deno.errors.UnexpectedEof("The stream ended before the handshake was complete");
    }
    const { text } = parser;
    if (this.#settings.handler !== undefined && !isUpgradeRequest(parseRequestHead(text))) {
      this.#timers.clear(this);
      return { accepted: null, head: text, early };
    }
    return { accepted: await this.decide(transport, text, secure, info), head: text, early };
  }

  /** Decides about a request whose head has been read already. */
  async decide(
    transport: Transport,
    head: string,
    secure: boolean,
    info: PeerInfo,
  ): Promise<Acceptance<Data>> {
    this.#transport = transport;
    const decision = decide(head, secure, this.#settings, info);
    let acceptance = decision as Acceptance<Data>;
    if (decision instanceof Promise) {
      this.#deciding = true;
      try {
        acceptance = await decision;
      } finally {
        this.#deciding = false;
      }
    }
    this.check();
    this.#timers.clear(this);
    return acceptance;
  }

  /** The handshake took too long, or the refused peer did. */
  override fire(): void {
    if (this.#refused) {
      this.#close();
    } else {
      this.abort(
        408,
        new TimeoutError(`No handshake within ${this.#settings.handshakeTimeout} ms`),
      );
    }
  }

  /** Ends it with a status, from outside. */
  abort(status: number, error: unknown): void {
    if (this.#ending !== undefined) return;
    this.#ending = error;
    this.#timers.clear(this);
    if (this.#transport === null) this.#close();
    else this.#answer(new Refused(status, (error as Error).message));
  }

  /** Closes it without an answer, to make room for others. */
  evict(): void {
    this.#ending ??= new Error("The handshake had to make room for later ones");
    this.#close();
  }

  /** Refuses before anything was read, in the clear where that means anything to the peer. */
  turnAway(transport: Transport | null, message: string): never {
    this.#transport = transport;
    throw new Refused(503, message);
  }

  /**
   * Answers a handshake that has failed, and closes it without resetting the connection under the answer.
   *
   * @returns The error to report.
   */
  async refuse(error: unknown): Promise<unknown> {
    const transport = this.#transport;
    const refused = refusalOf(error);
    try {
      if (transport !== null) {
        if (!this.#refused && refused !== null) this.#answer(refused);
        if (this.#refused) await drain(transport, LINGER);
      }
    } catch {
      // The peer is gone, and with it the need to tell it anything.
    }
    this.#timers.clear(this);
    this.#close();
    return this.#ending ?? refused?.error ?? error;
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // A failed TLS handshake has closed it already.
    closeQuietly(this.#raw);
  }

  /** Throws if it was ended from outside. */
  check(): void {
    if (this.#ending !== undefined) throw this.#ending;
  }

  #answer(refused: Refused): void {
    const transport = this.#transport!;
    this.#refused = true;
    this.#timers.set(this, LINGER);
    writeAll(transport, refused.answer).then(() => transport.closeWrite()).catch(() => {});
  }
}
