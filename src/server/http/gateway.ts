import type { HttpHandler, PeerInfo } from "../peer_info.ts";
import type { Timers } from "../../util/timers.ts";
import type { Transport } from "../../transport/transport.ts";
import { GatewayConnection, type HttpLimits, type LateUpgrade } from "./gateway_connection.ts";

/**
 * Ordinary HTTP on the port of a listener: its connections are piped to a `Deno.serve` of our own on the loopback, so that
 * keep-alive, pipelining, streamed bodies, `Expect: 100-continue` and abort signals are as it does them.
 */
export class HttpGateway {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  /** Whom we speak for, by the local port of the inner connection; nobody else is let in. */
  readonly #peers = new Map<number, PeerInfo>();
  readonly #pipes = new Set<GatewayConnection>();
  readonly #bounds: HttpLimits;
  readonly #timers: Timers;
  #serving = 0;
  #closing = false;
  #stopped: Promise<void> | null = null;

  /**
   * @param handler The application's.
   * @param secure Whether clients come through our TLS: `request.url` says so then.
   */
  constructor(handler: HttpHandler, secure: boolean, bounds: HttpLimits, timers: Timers) {
    this.#bounds = bounds;
    this.#timers = timers;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request, { remoteAddr }) => {
        const info = this.#peers.get(remoteAddr.port);
        if (info === undefined) return new Response("Forbidden", { status: 403 });
        return handler(secure ? withHttps(request) : request, info);
      },
    );
  }

  /** The number of connections. */
  get size(): number {
    return this.#serving;
  }

  /**
   * Serves a connection whose first request isn't an upgrade.
   *
   * @returns A request to upgrade that came later, and with it the connection; `null` at its end.
   */
  async serve(
    client: Transport,
    head: string,
    early: Uint8Array,
    info: PeerInfo,
  ): Promise<LateUpgrade | null> {
    this.#serving++;
    try {
      return await this.#pipe(client, head, early, info);
    } finally {
      this.#serving--;
    }
  }

  async #pipe(
    client: Transport,
    head: string,
    early: Uint8Array,
    info: PeerInfo,
  ): Promise<LateUpgrade | null> {
    const { hostname, port } = this.#server.addr;
    const inner = await Deno.connect({ hostname, port });
    inner.setNoDelay(true);
    const key = (inner.localAddr as Deno.NetAddr).port;
    this.#peers.set(key, info);
    const pipe = new GatewayConnection(client, inner, this.#bounds, this.#timers);
    this.#pipes.add(pipe);
    try {
      const end = pipe.run(head, early);
      // Its first request is under way, and is answered.
      if (this.#closing) pipe.shutdown();
      return await end;
    } finally {
      this.#pipes.delete(pipe);
      this.#peers.delete(key);
    }
  }

  /** Lets the requests under way be answered, and ends all connections behind them. */
  close(): void {
    this.#closing = true;
    for (const pipe of this.#pipes) pipe.shutdown();
  }

  /** Ends all connections at once. */
  terminate(): void {
    for (const pipe of this.#pipes) pipe.close();
  }

  /** Ends the inner server, when no connection is left. */
  stop(): Promise<void> {
    return this.#stopped ??= this.#server.shutdown();
  }

  ref(): void {
    this.#server.ref();
  }

  unref(): void {
    this.#server.unref();
  }
}

function withHttps(request: Request): Request {
  return new Request(request.url.replace(/^http:/, "https:"), request);
}
