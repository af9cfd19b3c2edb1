import { yieldTurn } from "../../flow/turn_line.ts";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { HeadParser } from "../../handshake/head_parser.ts";
import { Refusal } from "../../handshake/refusal.ts";
import { parseRequestHead, type RequestHead } from "../../handshake/request_head.ts";
import { isUpgradeRequest } from "../../handshake/server_handshake.ts";
import { checkTaken, closeQuietly } from "../../transport/stream_io.ts";
import type { Transport } from "../../transport/transport.ts";
import { callForeign } from "../../util/foreign.ts";
import type { Member } from "../../util/member_list.ts";
import { Timer, type Timers } from "../../util/timers.ts";
import { LINGER } from "../linger.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import { type ExchangeHost, HttpExchange } from "./http_exchange.ts";
import { HttpInput } from "./http_input.ts";

/** What a client may do. */
export interface HttpLimits {
  /** The largest request head, in bytes. */
  readonly maxHeaderBytes: number;
  /** How many fields it may have. */
  readonly maxHeaderFields: number;
  /** How long the client may let us wait for a request, for a piece of a body, or to take one of an answer, in ms. */
  readonly httpIdleTimeout: number;
}

/** Whose connections these are. */
export interface HttpHost {
  readonly handler: HttpHandler;
  readonly limits: HttpLimits;
  readonly timers: Timers;
  /** A request was refused for its head. */
  refused(error: unknown, info: PeerInfo): void;
  /**
   * Finds out which client has sent a request; `null`, and for `null`, it is the peer itself.
   *
   * @param info The peer that has connected.
   */
  readonly visit: ((head: RequestHead, info: PeerInfo) => Visit | null) | null;
}

/** A request that a proxy has passed on: its connection carries those of many clients. */
export interface Visit {
  /** The client that has sent it. */
  readonly info: PeerInfo;
  /** Why it isn't served; `null` if it is. */
  readonly refusal: Refusal | null;
  /** It has been answered. */
  leave(): void;
}

/** A request to upgrade that came on a connection which had been used for HTTP. */
export interface LateUpgrade {
  /** The text of its head. */
  readonly text: string;
  /** What came after it. */
  readonly early: Uint8Array;
  /** The connection, the receiver's from now on. */
  readonly transport: Transport;
}

/**
 * A client's connection while it carries ordinary HTTP/1.1: one request after the other, each answered before the next
 * is looked at, until one asks for a WebSocket or the connection ends. A client that ends its direction has left,
 * and gets no answer that has to be waited for.
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
  #closing = false;
  #lingering = false;
  #closed = false;
  /** Whether the next request is waited for. */
  #idle = false;
  /** Waits for the client that are under way. */
  #waits = 0;

  /**
   * @param transport The client's connection, ours until it is handed over.
   * @param early What has been read from it after the first request's head.
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

  /** Whether no further request will be taken. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Whether a request is under way. */
  get busy(): boolean {
    return this.#exchange !== null;
  }

  /**
   * Serves the connection.
   *
   * @param first The head of the first request, which isn't an upgrade.
   * @returns The request that asks for a WebSocket, and with it the connection; `null` at its end.
   */
  async run(first: RequestHead): Promise<LateUpgrade | null> {
    try {
      for (let head: RequestHead | null = first; head !== null; head = await this.#nextHead()) {
        if (isUpgradeRequest(head)) return this.#handOver();
        if (!await this.#answer(head) || this.#closing) break;
      }
    } catch (error) {
      await this.#refuse(error);
    }
    await this.#linger();
    this.close();
    return null;
  }

  /** Answers a request; returns whether the connection can carry another one. */
  async #answer(head: RequestHead): Promise<boolean> {
    const visit = this.#host.visit === null ? null : this.#host.visit(head, this.info);
    if (visit !== null && visit.refusal !== null) {
      this.#host.refused(visit.refusal.error, visit.info);
      await this.write(visit.refusal.format(head.method === "HEAD"));
      return false;
    }
    try {
      const exchange = this.#exchange = new HttpExchange(this, head, visit?.info ?? this.info);
      const persists = await exchange.run();
      this.#exchange = null;
      return persists;
    } finally {
      visit?.leave();
    }
  }

  /** A client has let us wait too long. */
  override fire(): void {
    if (this.#idle && !this.#lingering) this.shutdown();
    else this.close();
  }

  /** Lets the request under way be answered, then ends. */
  shutdown(): void {
    this.#closing = true;
    if (this.#exchange === null) this.#end();
  }

  /** Ends at once. */
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
    // A client that doesn't wait for answers has the next request ready whenever one is answered.
    if (input.available > 0) await new Promise<void>((resume) => yieldTurn({ resume }));
    if (this.#closing) return null;
    this.#idle = true;
    // For the whole of it, so that one that drips in isn't endless.
    timers.set(this, limits.httpIdleTimeout);
    try {
      while (await input.more()) {
        const used = parser.push(input.bytes);
        input.skip(used === -1 ? input.available : used);
        if (used === -1) continue;
        // It has crossed our end of the connection: nobody could be answered.
        return this.#closing ? null : parseRequestHead(parser.text, limits.maxHeaderFields);
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
    return { text: this.#parser.text, ...this.input.handOver() };
  }

  /** Answers what can't be read. */
  async #refuse(error: unknown): Promise<void> {
    if (!(error instanceof BadHeadError)) {
      this.close();
      throw error;
    }
    const refusal = new Refusal(error.status, error.message);
    const exchange = this.#exchange;
    this.#exchange = null;
    if (exchange === null) this.#host.refused(refusal.error, this.info);
    const isHead = exchange === null ? this.#parser.isHeadRequest : exchange.isHead;
    if (this.#closed || this.#lingering) return;
    await this.write(refusal.format(isHead)).catch(() => {});
  }

  /** Ends our direction; the client has a moment to take what is on its way, and to end its own. */
  #end(): void {
    if (this.#closed || this.#lingering) return;
    this.#lingering = true;
    this.#host.timers.set(this, LINGER);
    callForeign(() => this.#transport.closeWrite(), () => {});
  }

  /** Reads to the client's end: closing with input unread would reset the connection under the answer. */
  async #linger(): Promise<void> {
    const { input } = this;
    if (this.#closed || (input.ended && input.available === 0)) return;
    this.#end();
    do input.skip(input.available); while (await input.more());
  }
}
