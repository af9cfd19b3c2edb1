import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { formatHttp2Head } from "../../handshake/http2_request.ts";
import { Refusal, refusalOf } from "../../handshake/refusal.ts";
import { parseRequestHead } from "../../handshake/request_head.ts";
import { isUpgradeRequest, readUpgrade } from "../../handshake/server_handshake.ts";
import { Http2Link } from "../../transport/http2_link.ts";
import { Http2StreamTransport } from "../../transport/http2_stream.ts";
import type { Transport } from "../../transport/transport.ts";
import { NOTHING } from "../../util/bytes.ts";
import { type Member, MemberList } from "../../util/member_list.ts";
import { Timer } from "../../util/timers.ts";
import type { HttpHost } from "../http/http_connection.ts";
import type { LateUpgrade } from "../late_upgrade.ts";
import { LINGER } from "../linger.ts";
import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { UpgradeOffer } from "../upgrade_offer.ts";
import { Http2Exchange, type Http2Request } from "./http2_exchange.ts";
import { Http2Responder } from "./http2_responder.ts";

const { NGHTTP2_REFUSED_STREAM: REFUSED, NGHTTP2_FLAG_END_STREAM: END_STREAM } = http2.constants;

/** The most streams that a connection may have open. */
export const MAX_STREAMS = 250;

/** A stream that asks for a WebSocket, and is handed over. */
export interface Http2Upgrade extends LateUpgrade {
  /** The connection that it is a stream of. */
  readonly connection: Http2Connection;
}

/** Whose connections these are. */
export interface Http2Host extends Omit<HttpHost, "handler"> {
  readonly handler: HttpHost["handler"] | undefined;
  /** Takes a stream that asks for a WebSocket. */
  upgrade(upgrade: Http2Upgrade): void;
}

/** A client's connection that speaks HTTP/2: requests and WebSockets side by side, each a stream. */
export class Http2Connection extends Timer implements Member {
  slot = -1;
  readonly secure: boolean;
  readonly info: PeerInfo;
  /** Streams that are WebSockets, or are becoming one. */
  sockets = 0;
  /** Gives back the places that WebSockets have among those of the client's address, beyond that of the connection. */
  readonly places: (() => void)[] = [];
  readonly #host: Http2Host;
  readonly #link: Http2Link;
  readonly #session: ServerHttp2Session;
  readonly #exchanges = new MemberList<Http2Exchange>();
  #closing = false;

  /** @param transport The client's connection with the preface still to be read; ours from now on. */
  constructor(transport: Transport, secure: boolean, info: PeerInfo, host: Http2Host) {
    super();
    this.secure = secure;
    this.info = info;
    this.#host = host;
    this.#link = new Http2Link(transport, "server");
    const { maxHeaderBytes, maxHeaderFields } = host.limits;
    const session = this.#session = http2.performServerHandshake(this.#link.side, {
      settings: {
        enableConnectProtocol: true,
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: Math.min(maxHeaderBytes, 0xffffffff),
      },
      // Pseudo-header fields are counted, too. What is compressed to a byte may be 4 KiB, so their number is its bound.
      maxHeaderListPairs: Math.min(maxHeaderFields + 8, 0x7fffffff),
      // Megabytes: what so many streams may have waiting in both directions, twice.
      maxSessionMemory: 64,
    });
    this.#link.open(session);
    // A connection that is lost is no news: it means something to its streams, if it has any.
    session.on("error", (error: Error & { code?: string }) => {
      if (error.code?.startsWith("ERR_HTTP2")) host.refused(error, info);
    });
    session.on("close", () => this.#linger());
    session.on(
      "stream",
      (stream: ServerHttp2Stream, _headers: unknown, flags: number, fields: string[]) => {
        this.#accept(stream, fields, (flags & END_STREAM) === 0);
      },
    );
    this.#rest();
  }

  /** Requests under way. */
  get requests(): number {
    return this.#exchanges.size;
  }

  /** Resolves at its end. */
  get ended(): Promise<void> {
    return this.#link.ended;
  }

  /** No request has come for too long, or the client doesn't take the end. */
  override fire(): void {
    if (this.#closing) this.close();
    else this.shutdown();
  }

  /** Takes no further streams, and ends when those there are have ended (RFC 9113 6.8). */
  shutdown(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#host.timers.clear(this);
    // Never amid a read of the session's, which a callback of the application's may be called in.
    queueMicrotask(() => this.#session.close());
  }

  /** Ends at once. */
  close(): void {
    this.#closing = true;
    this.#host.timers.clear(this);
    for (const exchange of this.#exchanges) exchange.cut();
    queueMicrotask(() => {
      this.#session.destroy();
      this.#link.side.destroy();
    });
  }

  /** What the session still has to say goes out, within a moment. */
  #linger(): void {
    const { side } = this.#link;
    if (side.destroyed) return;
    this.#closing = true;
    this.#host.timers.set(this, LINGER);
    side.end(() => this.close());
  }

  /** Waits for a request, for as long as the client may be idle. */
  #rest(): void {
    const { timers, limits } = this.#host;
    if (!this.#closing && this.#link.streams === 0) timers.set(this, limits.httpIdleTimeout);
  }

  #accept(stream: ServerHttp2Stream, fields: string[], hasBody: boolean): void {
    // It reports what a reset says; what that means is told by other events.
    stream.on("error", () => {});
    if (this.#closing) return stream.close(REFUSED);
    // It has been reset by what came in the same read.
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
      throw new Refusal(400, "The handshake ends the stream that the WebSocket would go on with");
    }
    if (isUpgrade && makeOffer === null) return host.upgrade({ ...upgrade, offer: null });
    const { handler } = host;
    // Without one everything else is refused.
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

  /** Has the handler answer; returns whether the client gets its WebSocket. */
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

  /** Answers what can't be served. */
  #refuse(stream: ServerHttp2Stream, transport: Http2StreamTransport, error: unknown): void {
    const refusal = refusalOf(error);
    this.#host.refused(refusal?.error ?? error, this.info);
    if (refusal === null || stream.headersSent) return transport.cut();
    new Http2Responder(stream).refuse(refusal, false)
      .then(() => transport.close(), () => transport.cut());
  }
}
