import {
  type AdoptOptions,
  type Connection,
  type ConnectionOptions,
  type ConnectOptions,
  Context,
  type ContextOptions,
  type Listener,
  type ListenOptions,
} from "../../mod.ts";
import { http2Certificates, Http2Origin, Http2Peer } from "./http2_peer.ts";
import type { MemoryConn } from "./memory_conn.ts";
import { rawListener, RawPeer, urlOf } from "./raw_peer.ts";

/** A client and the server's end of its connection, both of the library. */
export interface Pair extends AsyncDisposable {
  readonly ctx: Context;
  readonly listener: Listener;
  readonly client: Connection;
  readonly server: Connection;
}

/** The versions of HTTP that a pair may use. */
export const VERSIONS = ["1.1", "2"] as const;

type Version = typeof VERSIONS[number];

/** Connects a pair. Open connections are terminated in the end. */
export async function pair(
  server: ListenOptions = {},
  client: ConnectOptions = {},
  version: Version = "1.1",
  context: ContextOptions = {},
): Promise<Pair> {
  const over = version === "1.1" ? null : http2Certificates();
  const ctx = new Context(context);
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    ...(over !== null && { http2: true, tls: over.server }),
    ...server,
    onConnect(conn) {
      accepted.resolve(conn);
      return server.onConnect?.(conn);
    },
  });
  const conn = ctx.connect(
    listener.url,
    over === null ? client : { http2: true, tls: { caCerts: [over.ca] }, ...client },
  );
  await conn.opened;
  return { ctx, listener, client: conn, server: await accepted.promise, ...disposal(ctx) };
}

/** A connection of the library, and its raw peer. */
export interface RawPair extends AsyncDisposable {
  readonly ctx: Context;
  readonly conn: Connection;
  /** The raw peer. Over HTTP/2 its `conn` is a stream. */
  readonly raw: RawPeer;
}

/** What a raw peer says in the handshake. */
export interface RawHandshake {
  /** The extensions that it offers or accepts; `null` for none. */
  extensions?: string | string[] | null;
  /** Bytes that it sends in one write with its head; not over HTTP/2. */
  early?: Uint8Array;
}

/** Adds a callback to a listener's options, and returns a promise of the connection that the listener accepts. */
function accepting(options: ListenOptions): [ListenOptions, Promise<Connection>] {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  return [{
    hostname: "127.0.0.1",
    ...options,
    onConnect(conn) {
      resolve(conn);
      return options.onConnect?.(conn);
    },
  }, promise];
}

/** Connects a raw peer to a listener. */
export async function rawPeer(
  options: ListenOptions = {},
  { extensions = null, early }: RawHandshake = {},
): Promise<RawPair> {
  const ctx = new Context();
  const [handlers, accepted] = accepting(options);
  const { port } = ctx.listen(handlers);
  const fields = { "Host": `127.0.0.1:${port}`, "Sec-WebSocket-Extensions": extensions };
  const raw = await RawPeer.connect(port, fields, undefined, early);
  return { ctx, conn: await accepted, raw, ...disposal(ctx, raw) };
}

/** Connects a client to a raw peer. */
export async function rawHost(
  options: ConnectOptions = {},
  { extensions = null, early }: RawHandshake = {},
): Promise<RawPair> {
  const ctx = new Context();
  using listener = rawListener();
  const conn = ctx.connect(urlOf(listener), options);
  const raw = await RawPeer.accept(listener, {
    lines: [extensions ?? []].flat().map((value) => `Sec-WebSocket-Extensions: ${value}`),
    behind: early === undefined ? [] : [early],
  });
  await conn.opened;
  return { ctx, conn, raw, ...disposal(ctx, raw) };
}

/** Connects a raw peer to a listener over HTTP/2. Its `conn` is a stream. */
async function rawHttp2Peer(
  options: ListenOptions = {},
  { extensions = null }: RawHandshake = {},
): Promise<RawPair> {
  const ctx = new Context();
  const [handlers, accepted] = accepting({ http2: true, ...options });
  const below = await Http2Peer.connect(ctx.listen(handlers).port);
  const peer = await below.webSocket({ "sec-websocket-extensions": extensions });
  const raw = peer as unknown as RawPeer;
  return { ctx, conn: await accepted, raw, ...disposal(ctx, raw, below) };
}

/** Connects a client to a raw peer over HTTP/2. */
async function rawHttp2Host(
  options: ConnectOptions = {},
  { extensions = null }: RawHandshake = {},
): Promise<RawPair> {
  const ctx = new Context();
  const origin = await Http2Origin.start();
  const conn = ctx.connect(origin.url, { http2: true, tls: { caCerts: [origin.ca] }, ...options });
  const peer = await origin.webSocket({ "sec-websocket-extensions": extensions });
  await conn.opened;
  const raw = peer as unknown as RawPeer;
  return { ctx, conn, raw, ...disposal(ctx, raw, origin) };
}

/** Functions that open a pair with a raw peer, by the role of the library's connection, as test names give it. */
export const RAW_PAIRS = {
  "listener": rawPeer,
  "client": rawHost,
  "listener over HTTP/2": rawHttp2Peer,
  "client over HTTP/2": rawHttp2Host,
};

/** Opens a pair with a raw peer. */
export type OpenRaw = (
  options?: ConnectionOptions,
  handshake?: RawHandshake,
) => Promise<RawPair>;

/** The functions that open a listener's connection. */
export const RAW_LISTENERS = {
  "listener": rawPeer,
  "listener over HTTP/2": rawHttp2Peer,
};

/** The functions that open a client's connection. */
export const RAW_CLIENTS = {
  "client": rawHost,
  "client over HTTP/2": rawHttp2Host,
};

/** Defines a test of a connection with a raw peer, for both roles or one, over HTTP/1.1 and over HTTP/2. */
export function testRaw(
  name: string,
  body: (open: OpenRaw) => Promise<void>,
  ways: Record<string, OpenRaw> = RAW_PAIRS,
): void {
  for (const [ours, open] of Object.entries(ways)) Deno.test(`${name}: ${ours}`, () => body(open));
}

/** Defines a test of both ends of a connection, over HTTP/1.1 and over HTTP/2. */
export function testPair(name: string, body: (open: typeof pair) => Promise<void>): void {
  for (const version of VERSIONS) {
    const open: typeof pair = (server, client) => pair(server, client, version);
    Deno.test(`${name}: over HTTP/${version}`, () => body(open));
  }
}

function disposal(ctx: Context, raw?: RawPeer, below?: AsyncDisposable): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      // Without a timer, so that it works while a virtual clock is installed.
      for (const conn of ctx.connections) conn.terminate();
      // First, since a stream of HTTP/2 waits until the client ends it.
      raw?.close();
      await ctx.shutdown();
      await below?.[Symbol.asyncDispose]();
    },
  };
}

/** Adopts one end of a pipe in memory, without a handshake. A raw peer has the other end. */
export function adoptedPair<End extends MemoryConn>(
  ours: End,
  theirs: MemoryConn,
  options: AdoptOptions = {},
) {
  const ctx = new Context();
  const conn = ctx.adopt(ours, { handshake: false, ...options });
  const raw = new RawPeer(theirs, options.role === "client" ? "server" : "client");
  return {
    conn,
    ours,
    raw,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
      raw.close();
    },
  };
}
