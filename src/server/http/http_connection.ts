import { ownTurn } from "../../flow/turn_line.ts";
import { HeadParser } from "../../handshake/head_parser.ts";
import { type Refusal, refusalOf } from "../../handshake/refusal.ts";
import { parseRequestHead, type RequestHead } from "../../handshake/request_head.ts";
import { isUpgradeRequest } from "../../handshake/server_handshake.ts";
import { checkTaken, closeQuietly } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import { callForeign } from "../../util/foreign.ts";
import type { Member } from "../../util/member_list.ts";
import { Timer, type Timers } from "../../util/timers.ts";
import type { LateUpgrade } from "../late_upgrade.ts";
import { LINGER } from "../../transport/linger.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";
import { type ExchangeHost, HttpExchange, type Outcome } from "./http_exchange.ts";
import { HttpInput } from "./http_input.ts";

/** Limits for a client. */
export interface HttpLimits {
  /** The largest request head, in bytes. */
  readonly maxHeaderBytes: number;
  /** The most fields of a request. */
  readonly maxHeaderFields: number;
  /** The longest wait for a request, for a piece of a body, or for the client to take one of an answer, in ms. */
  readonly httpIdleTimeout: number;
}

/** What a connection needs from its listener. */
export interface HttpHost {
  readonly handler: HttpHandler;
  readonly limits: HttpLimits;
  readonly timers: Timers;
  /** A request was refused for its head. */
  refused(error: unknown, info: PeerInfo): void;
  /**
   * Finds the client of a request. `null` instead of the function, or as its result, means the peer itself.
   *
   * @param info The peer that has connected.
   */
  readonly visit: ((head: RequestHead, info: PeerInfo) => Visit | null) | null;
  /**
   * Makes an offer of a request for a WebSocket, which the handler may accept; `null` if the listener decides.
   *
   * @throws {Refusal} If it isn't a valid handshake.
   */
  readonly makeOffer: ((head: RequestHead, info: PeerInfo) => UpgradeOffer) | null;
}

/** A request that a proxy has passed on; a connection of a proxy carries requests of many clients. */
export interface Visit {
  /** The client that has sent it. */
  readonly info: PeerInfo;
  /** The reason for which it isn't served; `null` if it is. */
  readonly refusal: Refusal | null;
  /** The request has been answered. */
  leave(): void;
}

/**
 * A client's connection while it carries ordinary HTTP/1.1. Requests are answered one after the other, until one asks for
 * a WebSocket or the connection ends. A client that ends its direction counts as having left: it only gets an answer that
 * is available at once.
 */
export class HttpConnection extends Timer implements ExchangeHost, Member {
  slot = -1;
  readonly input: HttpInput;
  readonly secure: boolean;
  readonly info: PeerInfo;
  readonly #transport: Transport;
  readonly #host: HttpHost;
  readonly #parser: HeadParser;
  #exchange: HttpExchange | null = null;
  /** The head of the latest request. */
  #text = "";
  /** The WebSocket that the request asks for, if the handler decides about it. */
  #offer: UpgradeOffer | null = null;
  #closing = false;
  #lingering = false;
  #closed = false;
  /** Whether it waits for the next request. */
  #idle = false;
  /** The number of pending waits for the client. */
  #waits = 0;

  /**
   * @param transport The client's connection, which this object owns until it is handed over.
   * @param early The bytes that were read after the first request's head.
   */
  constructor(
    transport: Transport,
    secure: boolean,
    info: PeerInfo,
    early: Uint8Array,
    host: HttpHost,
  ) {
    super();
    this.#transport = transport;
    this.secure = secure;
    this.info = info;
    this.#host = host;
    this.input = new HttpInput(transport, early);
    this.#parser = new HeadParser(host.limits.maxHeaderBytes);
  }

  get handler(): HttpHandler {
    return this.#host.handler;
  }

  /** Whether no further request will be served. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Whether a request is being answered. */
  get busy(): boolean {
    return this.#exchange !== null;
  }

  /**
   * Serves the connection.
   *
   * @param first The head of the first request.
   * @param text The text of that head.
   * @returns A request for a WebSocket, together with the connection; `null` if the connection has ended.
   */
  async run(first: RequestHead, text: string): Promise<LateUpgrade | null> {
    const { makeOffer } = this.#host;
    this.#text = text;
    try {
      for (let head: RequestHead | null = first; head !== null; head = await this.#nextHead()) {
        if (makeOffer === null && isUpgradeRequest(head)) return this.#handOver();
        const outcome = await this.#answer(head);
        if (outcome === "upgraded") return this.#handOver();
        if (outcome === "ends" || this.#closing) break;
      }
    } catch (error) {
      await this.#refuse(error);
    }
    await this.#linger();
    this.close();
    return null;
  }

  async #answer(head: RequestHead): Promise<Outcome> {
    const visit = this.#host.visit === null ? null : this.#host.visit(head, this.info);
    if (visit !== null && visit.refusal !== null) {
      this.#host.refused(visit.refusal.error, visit.info);
      await this.write(visit.refusal.format(head.method === "HEAD"));
      return "ends";
    }
    try {
      const info = visit?.info ?? this.info;
      const { makeOffer } = this.#host, asks = makeOffer !== null && isUpgradeRequest(head);
      this.#offer = asks ? makeOffer(head, info) : null;
      const exchange = this.#exchange = new HttpExchange(this, head, info, this.#offer);
      const outcome = await exchange.run();
      this.#exchange = null;
      return outcome;
    } finally {
      visit?.leave();
    }
  }

  /** The client has taken too long. */
  override fire(): void {
    if (this.#idle && !this.#lingering) this.shutdown();
    else this.close();
  }

  /** Ends the connection after the current request is answered. */
  shutdown(): void {
    this.#closing = true;
    if (this.#exchange === null) this.#end();
  }

  /** Ends the connection at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.timers.clear(this);
    this.input.close();
    closeQuietly(this.#transport);
    this.#exchange?.left();
  }

  async more(): Promise<boolean> {
    this.#wait();
    try {
      return await this.input.more();
    } finally {
      this.#moved();
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      this.#wait();
      try {
        const rest = at === 0 ? bytes : bytes.subarray(at);
        at += checkTaken(await this.#transport.write(rest));
      } catch (error) {
        this.close();
        throw error;
      } finally {
        this.#moved();
      }
    }
  }

  #wait(): void {
    this.#waits++;
    this.#arm();
  }

  #moved(): void {
    if (--this.#waits > 0) this.#arm();
    else if (!this.#lingering) this.#host.timers.clear(this);
  }

  #arm(): void {
    if (this.#closed || this.#lingering) return;
    this.#host.timers.set(this, this.#host.limits.httpIdleTimeout);
  }

  async #nextHead(): Promise<RequestHead | null> {
    const { input } = this, { timers, limits } = this.#host, parser = this.#parser;
    // If the client doesn't wait for answers, the next request is always ready: other connections get their turn.
    if (input.available > 0) await ownTurn();
    if (this.#closing) return null;
    this.#idle = true;
    // One timeout for the whole head, so that a head that comes slowly ends, too.
    timers.set(this, limits.httpIdleTimeout);
    try {
      while (await input.more()) {
        const used = parser.push(input.bytes);
        input.skip(used === -1 ? input.available : used);
        if (used === -1) continue;
        // We have ended our direction in the meantime, so the request can't be answered.
        if (this.#closing) return null;
        this.#text = parser.text;
        return parseRequestHead(parser.text, limits.maxHeaderFields);
      }
      return null;
    } finally {
      this.#idle = false;
      if (!this.#lingering) timers.clear(this);
    }
  }

  #handOver(): LateUpgrade {
    this.#host.timers.clear(this);
    this.#closed = true;
    return { text: this.#text, offer: this.#offer, ...this.input.handOver() };
  }

  /** Answers a request that can't be read. */
  async #refuse(error: unknown): Promise<void> {
    const refusal = refusalOf(error);
    if (refusal === null) {
      this.close();
      throw error;
    }
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange === null) this.#host.refused(refusal.error, this.info);
    const isHead = exchange === null ? this.#parser.isHeadRequest : exchange.isHead;
    if (this.#closed || this.#lingering) return;
    await this.write(refusal.format(isHead)).catch(() => {});
  }

  /** Ends our direction; the client has a moment to read the answer, and to end its own direction. */
  #end(): void {
    if (this.#closed || this.#lingering) return;
    this.#lingering = true;
    this.#host.timers.set(this, LINGER);
    callForeign(() => this.#transport.closeWrite(), () => {});
  }

  /** Reads until the client ends its direction: closing with unread input would reset the connection, and lose the answer. */
  async #linger(): Promise<void> {
    const { input } = this;
    if (this.#closed || (input.ended && input.available === 0)) return;
    this.#end();
    do input.skip(input.available); while (await input.more());
  }
}
