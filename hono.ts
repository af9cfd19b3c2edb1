/**
 * Hono's `upgradeWebSocket` with Sluice's connections.
 *
 * The same application runs on a listener with `upgrades: "handler"`, over HTTP/1.1 and HTTP/2, and with `Deno.serve`, where
 * it has the features of Deno's own WebSocket.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { upgradeWebSocket } from "@sluice/websocket/hono";
 * import { Hono } from "hono";
 *
 * await using ctx = new Context();
 * const app = new Hono();
 * app.get(
 *   "/ws",
 *   upgradeWebSocket(ctx, () => ({
 *     onMessage: (event, ws) => ws.send(`you said ${event.data}`),
 *   })),
 * );
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   handler: (request) => app.fetch(request),
 *   upgrades: "handler",
 * });
 * const conn = ctx.connect(new URL("/ws", listener.url));
 * await conn.opened;
 * conn.send("hello");
 * console.log(await conn.receive()); // "you said hello"
 * ```
 *
 * @module
 */
import { createWSMessageEvent, defineWebSocketHelper, WSContext, type WSEvents } from "hono/ws";
import type { Connection, Context, UpgradeOptions } from "./mod.ts";

/**
 * A WebSocket as Hono's callbacks get it.
 *
 * @see {@linkcode upgradeWebSocket}
 */
export interface HonoWebSocket {
  /** The connection. */
  raw?: Connection;
  /** 0 to 3: connecting, open, closing, closed. */
  readonly readyState: 0 | 1 | 2 | 3;
  /** The requested URL. */
  url: URL | null;
  /** The subprotocol; `""` for none. */
  protocol: string | null;
  /** Queues a message; throws like `Connection.send`. */
  send(
    data: string | ArrayBuffer | Uint8Array<ArrayBuffer>,
    options?: { compress?: boolean },
  ): void;
  /** Closes the connection. */
  close(code?: number, reason?: string): void;
}

/**
 * Hono's callbacks of a WebSocket.
 *
 * @see {@linkcode upgradeWebSocket}
 */
export interface HonoEvents {
  /** The connection is open. If it returns a promise, no message is delivered before that has settled. */
  onOpen?(event: Event, ws: HonoWebSocket): unknown;
  /** A message; a binary one is an `ArrayBuffer`. If it returns a promise, the next message waits for it. */
  onMessage?(event: MessageEvent<string | ArrayBuffer>, ws: HonoWebSocket): unknown;
  /** The connection has ended. */
  onClose?(event: CloseEvent, ws: HonoWebSocket): unknown;
  /** The connection or a callback has failed. The event is an `ErrorEvent`. */
  onError?(event: Event, ws: HonoWebSocket): unknown;
}

const READY_STATES = { connecting: 0, open: 1, closing: 2, closed: 3 } as const;

/**
 * Makes a handler for a route that upgrades; it passes other requests to the next handler. The callbacks are Hono's
 * `onOpen`, `onMessage`, `onClose` and `onError`; `ws.raw` is the `Connection`. While the promise of an `onMessage` is
 * pending, the connection is held, which slows the peer down.
 *
 * @param ctx The context of the connections.
 * @param createEvents Makes the callbacks for a request.
 * @param options Options of `Context.upgrade`; its callbacks are called, too.
 * @returns The handler.
 *
 * @typeParam Data The type of `conn.data`.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { upgradeWebSocket } from "@sluice/websocket/hono";
 * import { Hono } from "hono";
 *
 * const ctx = new Context();
 * const app = new Hono().get(
 *   "/ws",
 *   upgradeWebSocket(ctx, (c) => ({
 *     onOpen: (_event, ws) => ws.send(`hello ${c.req.query("name")}`),
 *     onClose: (event) => console.log(event.code),
 *   })),
 * );
 * const server = Deno.serve({ hostname: "127.0.0.1", port: 0 }, app.fetch);
 * const conn = ctx.connect(`ws://127.0.0.1:${server.addr.port}/ws?name=Ann`);
 * console.log(await conn.receive());
 * await ctx.shutdown();
 * await server.shutdown();
 * ```
 */
export function upgradeWebSocket<Data>(
  ctx: Context<Data>,
  // deno-lint-ignore no-explicit-any -- a context of Hono's, of whichever environment
  createEvents: (c: any) => HonoEvents | Promise<HonoEvents>,
  options?: UpgradeOptions,
  // deno-lint-ignore no-explicit-any -- the same
): (c: any, next: () => Promise<void>) => Promise<Response | void> {
  const helper = defineWebSocketHelper<Connection, UpgradeOptions>((c, events, options) => {
    if (c.req.header("upgrade")?.toLowerCase() !== "websocket") return;
    const given = { ...options, ...callbacks(events as HonoEvents, options) };
    return (ctx as Context).upgrade(c.req.raw, given).response;
  });
  const create = createEvents as unknown as () => WSEvents<Connection>;
  return helper(create, options) as unknown as ReturnType<typeof upgradeWebSocket<Data>>;
}

/** Converts Hono's callbacks to those of a connection, and combines them with those of the options. */
function callbacks(events: HonoEvents, own: UpgradeOptions = {}): UpgradeOptions {
  let face: HonoWebSocket | null = null;
  const faceOf = (conn: Connection) => face ??= faceFor(conn);
  return {
    async onConnect(conn) {
      await own.onConnect?.(conn);
      return events.onOpen?.(new Event("open"), faceOf(conn));
    },
    onMessage(conn, data) {
      // A copy: small messages share a buffer.
      const message = typeof data === "string" ? data : data.slice().buffer;
      const event = createWSMessageEvent(message) as MessageEvent<string | ArrayBuffer>;
      return events.onMessage?.(event, faceOf(conn));
    },
    onClose(conn, close) {
      const { code, reason, wasClean } = close;
      events.onClose?.(new CloseEvent("close", { code, reason, wasClean }), faceOf(conn));
      return own.onClose?.(conn, close);
    },
    onError(conn, error) {
      const message = error instanceof Error ? error.message : String(error);
      events.onError?.(new ErrorEvent("error", { error, message }), faceOf(conn));
      return own.onError?.(conn, error);
    },
  };
}

function faceFor(conn: Connection): HonoWebSocket {
  return new WSContext<Connection>({
    raw: conn,
    url: conn.url,
    protocol: conn.protocol,
    get readyState() {
      return READY_STATES[conn.state];
    },
    send(data, { compress }) {
      conn.send(data, compress === undefined ? undefined : { compress });
    },
    close(code, reason) {
      conn.close(code, reason);
    },
  });
}
