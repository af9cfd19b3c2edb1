import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { formatHttp2Head } from "../../handshake/http2_request.ts";
import { Refusal, refusalOf } from "../../handshake/refusal.ts";
import { parseRequestHead } from "../../handshake/request_head.ts";
import { isUpgradeRequest, readUpgrade } from "../../handshake/server_handshake.ts";
import { Http2Link } from "../../transport/http2_link.ts";
import { Http2StreamTransport, REFUSED_STREAM } from "../../transport/http2_stream.ts";
import { nodeHttp2 } from "../../transport/node_http2.ts";
import type { Transport } from "../../transport/transport.ts";
import { NOTHING } from "../../util/bytes.ts";
import { type Member, MemberList } from "../../util/member_list.ts";
import { Timer } from "../../util/timers.ts";
import type { HttpHost } from "../http/http_connection.ts";
import type { LateUpgrade } from "../late_upgrade.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";
import { Http2Exchange, type Http2Request } from "./http2_exchange.ts";
import { Http2Responder } from "./http2_responder.ts";

const END_STREAM = 0x01; // a flag of frames (RFC 9113 6.2)

/** The limit of open streams per connection. */
export const MAX_STREAMS = 250;

/** A stream that requests a WebSocket. */
export interface Http2Upgrade extends LateUpgrade {
  /** The connection that carries the stream. */
  readonly connection: Http2Connection;
}

/** What a connection needs from its listener. */
export interface Http2Host extends Omit<HttpHost, "handler"> {
  readonly handler: HttpHost["handler"] | undefined;
  /** Takes over a stream that requests a WebSocket. */
  upgrade(upgrade: Http2Upgrade): void;
}

/** A client's HTTP/2 connection: each of its requests and WebSockets is a stream. */
export class Http2Connection extends Timer implements Member {
  slot = -1;
  readonly secure: boolean;
  readonly info: PeerInfo;
  /** The number of streams that are WebSockets, or whose handshake is in progress. */
  sockets = 0;
  /** Functions that release what the WebSockets count against the limit per address, beyond the connection's own one. */
  readonly places: (() => void)[] = [];
  readonly #host: Http2Host;
  readonly #link: Http2Link;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new MemberList<Http2Exchange>();
  #closing = false;

  /** @param transport The client's connection, owned by this object from now on. Its preface hasn't been read. */
  constructor(transport: Transport, secure: boolean, info: PeerInfo, host: Http2Host) {
    super();
    this.secure = secure;
    this.info = info;
    this.#host = host;
    this.#link = new Http2Link(transport, "server");
    const { maxHeaderBytes, maxHeaderFields } = host.limits;
    const session = this.#session = nodeHttp2().performServerHandshake(this.#link.side, {
      settings: {
        enableConnectProtocol: true,
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: Math.min(maxHeaderBytes, 0xffffffff),
      },
      // Pseudo-header fields count, too. HPACK can encode a field of 4 KiB as one byte, so the number of fields has to be
      // bounded as well as the number of bytes.
      maxHeaderListPairs: Math.min(maxHeaderFields + 8, 0x7fffffff),
      // In megabytes: twice what the windows of `MAX_STREAMS` streams allow in both directions.
      maxSessionMemory: 64,
    });
    this.#link.open(session);
    // The loss of the connection is reported by its streams, if there are any.
    session.on("error", (error: Error & { code?: string }) => {
      if (error.code?.startsWith("ERR_HTTP2")) host.refused(error, info);
    });
    session.on("close", () => this.#over());
    session.on(
      "stream",
      (stream: ServerHttp2Stream, _headers: unknown, flags: number, fields: string[]) => {
        this.#accept(stream, fields, (flags & END_STREAM) === 0);
      },
    );
    this.#rest();
  }

  /** The number of requests in progress. */
  get requests(): number {
    return this.#exchanges.size;
  }

  /** Resolves when the connection is closed. */
  get ended(): Promise<void> {
    return this.#link.ended;
  }

  /** The connection has been idle for too long. */
  override fire(): void {
    this.shutdown();
  }

  /** Refuses further streams, and closes the connection when the open ones have ended (RFC 9113 6.8). */
  shutdown(): void {
    if (this.#closing) return;
    this.#over();
    // Not during a read of the session: a callback of the application may have called this from within one.
    queueMicrotask(() => this.#session.close());
  }

  /** Ends the connection and its requests at once. */
  close(): void {
    this.#over();
    for (const exchange of this.#exchanges) exchange.cut();
    queueMicrotask(() => {
      this.#session.destroy();
      this.#link.side.destroy();
    });
  }

  /** Refuses further streams, and stops the idle timeout. */
  #over(): void {
    this.#closing = true;
    this.#host.timers.clear(this);
  }

  /** Starts the idle timeout if no stream is open. */
  #rest(): void {
    const { timers, limits } = this.#host;
    if (!this.#closing && this.#link.streams === 0) timers.set(this, limits.httpIdleTimeout);
  }

  #accept(stream: ServerHttp2Stream, fields: string[], hasBody: boolean): void {
    // A reset is handled in "aborted" and "close".
    stream.on("error", () => {});
    if (this.#closing) return stream.close(REFUSED_STREAM);
    // A later frame of the same read has reset the stream.
    if (stream.closed || stream.destroyed) return;
    this.#host.timers.clear(this);
    const transport = new Http2StreamTransport(stream, this.#link);
    stream.once("close", () => this.#rest());
    this.#serve(stream, transport, fields, hasBody).catch((error) => {
      this.#refuse(stream, transport, error);
    });
  }

  async #serve(
    stream: ServerHttp2Stream,
    transport: Http2StreamTransport,
    fields: string[],
    hasBody: boolean,
  ): Promise<void> {
    const host = this.#host, { limits, makeOffer } = host;
    const text = formatHttp2Head(fields);
    if (text.length > limits.maxHeaderBytes) {
      throw new Refusal(431, `The head has more than ${limits.maxHeaderBytes} bytes`);
    }
    const head = parseRequestHead(text, limits.maxHeaderFields, 2);
    const upgrade = {
      connection: this,
      transport,
      responder: new Http2Responder(stream),
      text,
      early: NOTHING,
    };
    const isUpgrade = isUpgradeRequest(head);
    if (isUpgrade && !hasBody) {
      throw new Refusal(400, "The handshake ends the stream that the WebSocket needs");
    }
    if (isUpgrade && makeOffer === null) return host.upgrade({ ...upgrade, offer: null });
    const { handler } = host;
    // Without a handler every other request is refused.
    if (handler === undefined) return void readUpgrade(head);
    const visit = host.visit === null ? null : host.visit(head, this.info);
    if (visit !== null && visit.refusal !== null) throw visit.refusal;
    let offer: UpgradeOffer | null = null;
    try {
      const info = visit?.info ?? this.info;
      if (isUpgrade) offer = makeOffer!(head, info);
      const request = { stream, transport, head, hasBody, secure: this.secure, info };
      if (!await this.#answer(request, handler, offer)) return;
    } finally {
      visit?.leave();
    }
    host.upgrade({ ...upgrade, offer });
  }

  /** Calls the handler; returns whether it has accepted the WebSocket. */
  async #answer(
    request: Http2Request,
    handler: HttpHandler,
    offer: UpgradeOffer | null,
  ): Promise<boolean> {
    const { timers, limits: { httpIdleTimeout: idleTimeout } } = this.#host;
    const exchange = new Http2Exchange(request, { handler, timers, idleTimeout }, offer);
    this.#exchanges.add(exchange);
    try {
      return await exchange.run();
    } finally {
      this.#exchanges.delete(exchange);
    }
  }

  /** Answers a request that can't be served. */
  #refuse(stream: ServerHttp2Stream, transport: Http2StreamTransport, error: unknown): void {
    const refusal = refusalOf(error);
    this.#host.refused(refusal?.error ?? error, this.info);
    if (refusal === null || stream.headersSent) return transport.cut();
    new Http2Responder(stream).refuse(refusal, false)
      .then(() => transport.close(), () => transport.cut());
  }
}
