import net from "node:net";
import { type Connection, type ConnectionOptions, Context } from "../../mod.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { RAW_PAIRS } from "../support/pair.ts";
import { type ByteStream, RawPeer } from "../support/raw_peer.ts";
import { streamsOf } from "../support/watched_conn.ts";
import type { Certificates } from "../transport/certificates.ts";

/** A connection of the library, and its raw peer. */
export interface Ends extends AsyncDisposable {
  readonly conn: Connection;
  readonly peer: RawPeer<ByteStream>;
}

/** A kind of byte stream below a connection. */
export interface Way {
  readonly name: string;
  readonly role: "server" | "client";
  /** Whether frame hooks and extensions work over it. */
  readonly frames: boolean;
  open(options: ConnectionOptions, extension: string, maxHeldBytes?: number): Promise<Ends>;
}

const HOST = { hostname: "127.0.0.1", port: 0 };

const offer = (extension: string) => ({ "Sec-WebSocket-Extensions": extension || null });
const answer = (extension: string) => ({
  lines: extension === "" ? [] : [`Sec-WebSocket-Extensions: ${extension}`],
});

function ends(
  ctx: Context,
  conn: Connection,
  peer: RawPeer<ByteStream>,
  below?: AsyncDisposable,
): Ends {
  return {
    conn,
    peer,
    async [Symbol.asyncDispose]() {
      peer.close();
      await ctx.shutdown({ timeout: 0 });
      await below?.[Symbol.asyncDispose]();
    },
  };
}

/** Records the connection when its handshake is complete. */
function opening(options: ConnectionOptions): [ConnectionOptions, Promise<Connection>] {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  return [{
    ...options,
    onConnect(conn) {
      resolve(conn);
      return options.onConnect?.(conn);
    },
  }, promise];
}

function compressing(options: ConnectionOptions, extension: string): ConnectionOptions {
  return extension === "" ? options : { ...options, compression: true };
}

/** All kinds of byte streams; TLS needs certificates. */
export function ways(certificates: Certificates): Way[] {
  const tls = { ...certificates.server };
  return [
    ...Object.entries(RAW_PAIRS).map(([ours, open]): Way => ({
      name: ours.endsWith("HTTP/2") ? "HTTP/2" : "TCP",
      role: ours.startsWith("client") ? "client" : "server",
      frames: true,
      async open(options, extension) {
        const handshake = { extensions: extension || null };
        const pair = await open(compressing(options, extension), handshake);
        return ends(pair.ctx, pair.conn, pair.raw, pair);
      },
    })),
    {
      name: "TLS",
      role: "server",
      frames: true,
      async open(options, extension) {
        const ctx = new Context();
        const [handlers, opened] = opening(compressing(options, extension));
        const { port } = ctx.listen({ ...HOST, tls, ...handlers });
        const stream = await Deno.connectTls({
          hostname: "localhost",
          port,
          caCerts: [certificates.ca],
        });
        const peer = await new RawPeer<ByteStream>(stream, "client").request(offer(extension));
        return ends(ctx, await opened, peer);
      },
    },
    {
      name: "TLS",
      role: "client",
      frames: true,
      async open(options, extension) {
        const ctx = new Context({ tls: { caCerts: [certificates.ca] } });
        using listener = Deno.listenTls({ ...HOST, ...tls });
        const conn = ctx.connect(
          `wss://localhost:${(listener.addr as Deno.NetAddr).port}/`,
          compressing(options, extension),
        );
        const peer = new RawPeer<ByteStream>(await listener.accept(), "server");
        await peer.answer(answer(extension));
        await conn.opened;
        return ends(ctx, conn, peer);
      },
    },
    ...(["server", "client"] as const).map((role): Way => ({
      name: "Node socket",
      role,
      frames: true,
      async open(options, extension) {
        const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const accepted = new Promise<net.Socket>((resolve) => server.once("connection", resolve));
        const far = await Deno.connect({
          ...HOST,
          port: (server.address() as net.AddressInfo).port,
        });
        const socket = await accepted;
        server.close();
        return await adopted(socket, far, role, options, extension);
      },
    })),
    ...(["server", "client"] as const).map((role): Way => ({
      name: "stream pair",
      role,
      frames: true,
      async open(options, extension) {
        const [near, far] = MemoryConn.pair();
        return await adopted(streamsOf(near), far, role, options, extension);
      },
    })),
    {
      name: "upgrade",
      role: "server",
      frames: false,
      async open(options, _, maxHeldBytes) {
        const ctx = new Context();
        const [handlers, opened] = opening(options);
        const server = Deno.serve({ ...HOST, onListen: () => {} }, (request) => {
          return ctx.upgrade(request, { maxHeldBytes, ...handlers }).response;
        });
        const peer = await RawPeer.connect(server.addr.port);
        const both = ends(ctx, await opened, peer);
        return {
          ...both,
          async [Symbol.asyncDispose]() {
            await both[Symbol.asyncDispose]();
            await server.shutdown();
          },
        };
      },
    },
  ];
}

/** A connection over an adopted stream; the library performs the handshake. */
async function adopted(
  source: Parameters<Context["adopt"]>[0],
  far: ByteStream,
  role: "server" | "client",
  options: ConnectionOptions,
  extension: string,
): Promise<Ends> {
  const ctx = new Context();
  const conn = ctx.adopt(source, {
    ...compressing(options, extension),
    role,
    url: role === "client" ? "ws://127.0.0.1/" : undefined,
  });
  const peer = new RawPeer(far, role === "server" ? "client" : "server");
  if (role === "server") await peer.request(offer(extension));
  else await peer.answer(answer(extension));
  await conn.opened;
  return ends(ctx, conn, peer);
}
