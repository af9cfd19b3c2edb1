import { assert, assertEquals, assertThrows } from "@std/assert";
import { delay } from "@std/async/delay";
import {
  type CloseRecord,
  type Connection,
  Context,
  UnsupportedError,
  type UpgradeOptions,
} from "../../mod.ts";
import { failure } from "../support/failure.ts";
import { pattern } from "../transport/streams.ts";
import { echoing, exercise, ROOM } from "./_exercise.ts";

/** A Deno.serve whose requests are upgraded with `options`. */
function serve(ctx: Context, options: UpgradeOptions): {
  url: string;
  accepted: Promise<Connection>;
} & AsyncDisposable {
  const { promise, resolve } = Promise.withResolvers<Connection>();
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { response, connection } = ctx.upgrade(request, options);
    resolve(connection);
    return response;
  });
  return {
    url: `ws://127.0.0.1:${server.addr.port}/path?x=1`,
    accepted: promise,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

Deno.test("upgrade makes the same connection", async () => {
  await using ctx = new Context({ compression: true, onPing: () => {} });
  const ended = Promise.withResolvers<CloseRecord>();
  await using server = serve(ctx, {
    ...echoing(ended.resolve),
    maxHeldBytes: 16 << 20,
    protocols: ["b", "a"],
    headers: { "x-served-by": "us" },
  });
  const client = ctx.connect(server.url, { ...ROOM, protocols: ["a", "b"] });
  await client.opened;
  const conn = await server.accepted;
  assertEquals([conn.role, conn.protocol, client.protocol], ["server", "b", "b"]);
  assertEquals(client.responseHeaders?.get("x-served-by"), "us");
  assertEquals(new URL(conn.request!.url).search, "?x=1");
  assertEquals(conn.url, server.url);
  await exercise(client);
  const record = await ended.promise;
  assertEquals([record.code, record.reason, record.wasClean], [4001, "bye", true]);
});

Deno.test("upgrade: it closes, with codes and reasons, and is closed", async () => {
  await using ctx = new Context();
  for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
    await using server = serve(ctx, { onConnect: (conn) => conn.close(code, "why") });
    const client = ctx.connect(server.url);
    const record = await client.closed;
    assertEquals([record.code, record.reason, record.wasClean], [code, "why", true]);
    const ours = await (await server.accepted).closed;
    assertEquals([ours.code, ours.initiator, ours.wasClean], [code, "local", true]);
  }
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  client.terminate();
  assertEquals((await (await server.accepted).closed).code, 1006);
});

Deno.test("upgrade: a client that doesn't read, drain and limits", async () => {
  await using ctx = new Context();
  let drains = 0;
  await using server = serve(ctx, { onDrain: () => void drains++, maxQueueBytes: 16 << 20 });
  const client = ctx.connect(server.url, { ...ROOM });
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  client.pause();
  const chunk = pattern(64 * 1024);
  let sent = 0;
  while (conn.queuedBytes <= 8 << 20) {
    conn.send(chunk);
    sent++;
    if (sent % 16 === 0) await delay(1);
  }
  assertEquals(conn.send(chunk), false);
  sent++;
  const error = assertThrows(() => conn.send(new Uint8Array(16 << 20))) as unknown as Error;
  assertEquals(error.name, "QueueFullError");
  const before = drains;
  const drained = conn.drained();
  client.resume();
  for (let i = 0; i < sent; i++) await client.receive();
  await drained;
  assert(drains > before);
  assertEquals(conn.queuedBytes, 0);
});

Deno.test("upgrade: a pause holds messages, and too many of them close with 1013", async () => {
  await using ctx = new Context();
  const got: number[] = [];
  await using server = serve(ctx, {
    onMessage: (_conn, data) => void got.push(data.length),
    maxHeldBytes: 512 * 1024,
  });
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  conn.pause();
  for (let i = 0; i < 4; i++) client.send(pattern(50_000 + i));
  await delay(50);
  assertEquals(got, []);
  conn.resume();
  await delay(20);
  assertEquals(got, [50_000, 50_001, 50_002, 50_003]);
  conn.pause();
  // Deno's own socket closes cleanly only while nothing more arrives.
  client.send(pattern(600_000));
  assertEquals((await client.closed).code, 1013);
  await conn.closed;
});

Deno.test("upgrade: terminate ends it for us at once", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  conn.terminate();
  assertEquals((await conn.closed).code, 1006);
  await client.closed;
});

Deno.test("upgrade: a message over maxMessageSize closes with 1009", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, { maxMessageSize: 1000 });
  const client = ctx.connect(server.url);
  await client.opened;
  client.send(new Uint8Array(1001));
  assertEquals((await client.closed).code, 1009);
});

Deno.test("upgrade: what needs frames throws and names the ways that can", async () => {
  await using ctx = new Context();
  const request = new Request("http://x/");
  for (
    const options of [
      { compression: true },
      { onPing: () => {} },
      { onPong: () => {} },
      { allowRsv: { rsv1: true } },
      { assemble: false },
    ]
  ) {
    const error = assertThrows(() => ctx.upgrade(request, options as UpgradeOptions)) as unknown;
    assert(error instanceof UnsupportedError && /use listen or adopt/.test(error.message));
  }
  assertThrows(() => ctx.upgrade(request), TypeError);
  assertThrows(() => ctx.upgrade(1 as unknown as Request), TypeError, "Cannot upgrade 1: use");
  await using server = serve(ctx, {});
  const client = ctx.connect(server.url);
  await client.opened;
  const conn = await server.accepted;
  await conn.opened;
  assertEquals((await failure(Promise.resolve().then(() => conn.ping()))).name, "UnsupportedError");
  assertThrows(() => conn.pong(), UnsupportedError, "listen or adopt");
  assertThrows(() => conn.shutdownWrite(), UnsupportedError, "listen or adopt");
  const frame = { opcode: 1, payload: "x", fin: true } as Parameters<typeof conn.sendFrame>[0];
  assertThrows(() => conn.sendFrame(frame), UnsupportedError, "listen or adopt");
  // The client's pings are answered by the runtime.
  assert(await client.ping() >= 0);
});

Deno.test("upgrade: fragments go out as one message, and streams work", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, {
    ...ROOM,
    onConnect: (conn) => {
      conn.sendFragment("one ");
      conn.sendFragment("two", { final: true });
      conn.readable.pipeTo(conn.writable).catch(() => {});
    },
  });
  await using client = ctx.connect(server.url, { ...ROOM });
  assertEquals(await client.receive(), "one two");
  client.send(pattern(1 << 20));
  assertEquals((await client.receive()).length, 1 << 20);
});

Deno.test("upgrade: Deno's own client", async () => {
  await using ctx = new Context();
  await using server = serve(ctx, echoing());
  const socket = new WebSocket(server.url);
  socket.binaryType = "arraybuffer";
  const got = await new Promise((resolve) => {
    socket.onopen = () => socket.send("hello");
    socket.onmessage = ({ data }) => resolve(data);
  });
  assertEquals(got, "hello");
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.close();
  await closed;
  assertEquals((await (await server.accepted).closed).code, 1005);
});
