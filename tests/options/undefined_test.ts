import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Connection,
  type ConnectionOptions,
  Context,
  HandshakeError,
  type ListenOptions,
  QueueFullError,
} from "../../mod.ts";
import { failure } from "../support/failure.ts";
import { makeCertificates } from "../transport/certificates.ts";

/** All options of a call, each `undefined`. */
const NOTHING_GIVEN = Object.fromEntries(
  [
    ...["onConnect", "onMessage", "onClose", "onError", "onPing", "onPong", "onDrain"],
    ...["onFrameStart", "onFrameChunk", "onFrameEnd", "data", "maxMessageSize", "highWaterMark"],
    ...["lowWaterMark", "maxQueueBytes", "whenQueueFull", "readAhead", "keepAlive", "closeTimeout"],
    ...["sendTimeout", "rateLimit", "payload", "compression", "assemble", "allowRsv", "debug"],
    ...["maskGenerator", "protocols", "headers", "extensions", "connectTimeout", "signal", "tls"],
    ...["proxy", "unix", "port", "hostname", "listener", "reusePort", "selectProtocol", "origins"],
    ...["maxConnections", "maxConnectionsPerAddress", "maxHandshakes", "handshakeTimeout"],
    ...[
      "maxHeaderBytes",
      "handler",
      "upgrades",
      "tickInterval",
      "onHandshake",
      "onHandshakeError",
      "onTick",
    ],
    ...["onShutdown", "role", "handshake", "initialData", "request", "url", "protocol"],
    ...["maxHeldBytes"],
  ].map((name) => [name, undefined]),
);

/** A server and a client whose contexts have the same defaults, and whose calls have only undefined options. */
async function connected(defaults: ConnectionOptions): Promise<
  { client: Connection; server: Connection; ctx: Context } & AsyncDisposable
> {
  const ctx = new Context(defaults);
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    ...NOTHING_GIVEN,
    hostname: "127.0.0.1",
    onConnect: accepted.resolve,
  });
  const client = ctx.connect(listener.url, { ...NOTHING_GIVEN });
  await client.opened;
  return {
    ctx,
    client,
    server: await accepted.promise,
    [Symbol.asyncDispose]: async () => void await ctx.shutdown({ timeout: 0 }),
  };
}

Deno.test("fault 55: undefined in the options of a call leaves a limit of the context in force", async () => {
  await using it = await connected({
    maxMessageSize: 10,
    onMessage: (conn) => conn.close(4000, "received"),
  });
  it.client.send("x".repeat(11));
  it.client.close();
  assertEquals((await it.server.closed).sent?.code, 1009);
});

Deno.test("fault 55: undefined leaves the context's queue, its marks and its policy", async () => {
  await using it = await connected({
    highWaterMark: 3,
    maxQueueBytes: 1000,
    whenQueueFull: "drop",
  });
  for (const conn of [it.client, it.server]) {
    conn.pauseSending();
    assertEquals([conn.send("123"), conn.send("4")], [true, false]);
    assertEquals([conn.send("x".repeat(1000)), conn.queuedBytes], [false, 4]);
  }
});

Deno.test("fault 55: undefined leaves the context's callbacks and data", async () => {
  const data = { of: "the context" };
  const got: unknown[] = [];
  await using it = await connected({ data, onMessage: (conn, text) => got.push(conn, text) });
  assertEquals([it.client.data, it.server.data], [data, data]);
  it.client.send("hello");
  it.client.close();
  await it.server.closed;
  assert(got.length === 2 && got[0] === it.server && got[1] === "hello");
});

Deno.test("fault 55: undefined leaves the context's compression, reserved bits and masking keys", async () => {
  await using it = await connected({ compression: { level: undefined, threshold: 7 } });
  assertEquals(it.client.extensions.split(";")[0], "permessage-deflate");
  const keys: number[] = [];
  await using plain = await connected({
    allowRsv: { rsv2: true, rsv1: undefined },
    maskGenerator: (key) => keys.push(key.fill(7).length),
    onMessage: () => {},
  });
  assert(plain.client.sendFrame({ opcode: 1, payload: "x", rsv2: true, fin: undefined }));
  assert(keys.length > 0);
});

Deno.test("fault 55: undefined leaves the context's proxy and TLS, and the parts of an option their defaults", async () => {
  using certificates = makeCertificates();
  await using server = new Context();
  const { cert, key } = certificates.server;
  const listener = server.listen({
    hostname: "127.0.0.1",
    tls: { cert, key, clientCaCerts: undefined },
  });
  await using ctx = new Context({ tls: { caCerts: [certificates.ca] }, proxy: null });
  const conn = ctx.connect(listener.url, { tls: undefined, proxy: undefined });
  await conn.opened;
  await using other = new Context({ proxy: "http://127.0.0.1:9", keepAlive: { interval: 5 } });
  const refused = other.connect(listener.url, {
    proxy: undefined,
    keepAlive: { interval: undefined, timeout: undefined },
  });
  const error = await failure(refused.opened);
  assert(String(error).includes("127.0.0.1:9"), String(error));
});

Deno.test("fault 55: undefined in listen, adopt and upgrade counts as not given", async () => {
  // A JavaScript program may put options of listen into its context.
  const origins = { origins: ["https://a.example"] } as ListenOptions;
  await using ctx = new Context(origins);
  const listener = ctx.listen({ hostname: "127.0.0.1", origins: undefined });
  const conn = ctx.connect(listener.url, { headers: { origin: "https://b.example" } });
  const error = await failure(conn.opened);
  assert(error instanceof HandshakeError);
  assertEquals(error.status, 403);

  await using strict = new Context({ maxQueueBytes: 5 });
  using tcp = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const dialled = await Deno.connect({ hostname: "127.0.0.1", port: tcp.addr.port });
  using _peer = await tcp.accept();
  const adopted = strict.adopt(dialled, { handshake: false, maxQueueBytes: undefined });
  assertThrows(() => adopted.send("123456"), QueueFullError);

  const upgraded = Promise.withResolvers<Connection>();
  await using http = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { response, connection } = strict.upgrade(request, { ...NOTHING_GIVEN });
    upgraded.resolve(connection);
    return response;
  });
  const client = ctx.connect(`ws://127.0.0.1:${http.addr.port}/`);
  await client.opened;
  const server = await upgraded.promise;
  await server.opened;
  assertThrows(() => server.send("123456"), QueueFullError);
  client.terminate();
  await server.closed;
});
