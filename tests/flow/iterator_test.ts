import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ConnectionClosedError } from "../../mod.ts";
import { numbered, numberOf, upTo } from "../support/messages.ts";
import { RAW_LISTENERS, rawPeer, testPair, testRaw } from "../support/pair.ts";
import { join } from "../support/bytes.ts";
import { turn, until } from "../support/until.ts";

const KIB = 1024;

testPair(
  "an iterator that isn't advanced stops the peer, and loses nothing",
  async (pair) => {
    await using both = await pair();
    const { client, server } = both;
    for (let i = 0; i < 192; i++) client.send(numbered(i, 64 * KIB));
    await until(() => server.stats().messagesReceived > 0);
    await turn();
    assert(client.queuedBytes > 4 * 1024 * KIB);
    const got: number[] = [];
    for await (const message of server) {
      got.push(numberOf(message));
      if (got.length % 50 === 0) await turn();
      if (got.length === 192) break;
    }
    assertEquals(got, upTo(192));
    assertEquals((await client.closed).code, 1000);
  },
);

for (const code of [1000, 1001, 1005, 1002, 3000]) {
  Deno.test(`iteration ends correctly with code ${code}, after the last message`, async () => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    const close = code === 1005
      ? raw.encode(8)
      : raw.encode(8, new Uint8Array([code >> 8, code & 255]));
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), close]));
    const got: unknown[] = [];
    const iterate = async () => {
      for await (const message of conn) {
        got.push(message);
        await turn();
      }
    };
    if (code === 1000 || code === 1001 || code === 1005) {
      await iterate();
    } else {
      const error = await assertRejects(iterate, ConnectionClosedError);
      assert(error.close === await conn.closed);
    }
    assertEquals(got, ["a", "b"]);
    assertEquals((await conn.closed).undelivered, 0);
    assertEquals((await conn.closed).code, code);
  });
}

testRaw("iteration throws once when the peer vanishes, and then ends", async (rawPeer) => {
  await using peer = await rawPeer();
  const messages = peer.conn.messages();
  const next = assertRejects(() => messages.next(), ConnectionClosedError);
  peer.raw.close();
  await next;
  assertEquals(await messages.next(), { value: undefined, done: true });
}, RAW_LISTENERS);

testRaw(
  "break closes with 1000, or leaves the connection open with all later messages",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    await raw.write(join(upTo(6).map((i) => raw.encode(1, `${i}`))));
    for await (const message of conn.messages({ preventClose: true })) if (message === "1") break;
    assertEquals(conn.state, "open");
    assertEquals(await conn.receive(), "2");
    for await (const message of conn) if (message === "3") break;
    assertEquals([...(await raw.next(8)).payload], [1000 >> 8, 1000 & 255]);
    await raw.sendClose(1000);
    assertEquals((await conn.closed).undelivered, 2);
  },
  RAW_LISTENERS,
);

testRaw(
  "a pending next() ends when the iterator returns, and takes no message",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const messages = peer.conn.messages({ preventClose: true });
    const pending = messages.next();
    await messages.return!();
    assertEquals(await pending, { value: undefined, done: true });
    assertEquals(await messages.next(), { value: undefined, done: true });
    await peer.raw.send(1, "kept");
    assertEquals(await peer.conn.receive(), "kept");
  },
  RAW_LISTENERS,
);

testRaw("calls of next() in advance get their messages in order", async (rawPeer) => {
  await using peer = await rawPeer();
  const messages = peer.conn.messages();
  const results = upTo(10).map(() => messages.next());
  await peer.raw.write(join(upTo(10).map((i) => peer.raw.encode(1, `${i}`))));
  assertEquals((await Promise.all(results)).map(({ value }) => value), upTo(10).map(String));
}, RAW_LISTENERS);

testPair("iteration throws a TypeError if there is onMessage or another consumer", async (pair) => {
  await using both = await pair({ onMessage() {} });
  const { client, server } = both;
  assertThrows(() => server.messages(), TypeError, "onMessage");
  await assertRejects(() => server.receive(), TypeError, "onMessage");
  const messages = client.messages({ preventClose: true });
  assertThrows(() => client.messages(), TypeError, "already");
  await assertRejects(() => client.receive(), TypeError, "already");
  assertThrows(() => client.on({ onMessage() {} }), TypeError);
  await messages.return!();
  client.on({ onMessage() {} });
  await assertRejects(() => client.receive(), TypeError, "onMessage");
});

testPair("payload view excludes iteration", async (pair) => {
  await using both = await pair({ payload: "view" });
  assertThrows(() => both.server.messages(), TypeError, "view");
  await assertRejects(() => both.server.receive(), TypeError, "view");
});

testRaw("receive({ signal }) rejects when aborted, and takes no message", async (rawPeer) => {
  await using peer = await rawPeer();
  const abort = new AbortController();
  const aborted = assertRejects(
    () => peer.conn.receive({ signal: abort.signal }),
    DOMException,
    "aborted",
  );
  abort.abort();
  await aborted;
  await assertRejects(() => peer.conn.receive({ signal: abort.signal }), DOMException);
  await peer.raw.send(1, "kept");
  assertEquals(await peer.conn.receive(), "kept");
}, RAW_LISTENERS);

testRaw(
  "a message that a cancelled readable has taken counts as undelivered",
  async (rawPeer) => {
    for (let microtasks = 0; microtasks < 8; microtasks++) {
      await using peer = await rawPeer();
      const { conn, raw } = peer;
      await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8)]));
      const close = await conn.closed;
      assertEquals(close.undelivered, 2);
      const reader = conn.readable.getReader(), read = reader.read();
      for (let n = 0; n < microtasks; n++) await null;
      await reader.cancel();
      assertEquals(close.undelivered, (await read).done ? 2 : 1);
    }
  },
  RAW_LISTENERS,
);

testRaw(
  "receive() rejects at the end after all waiting messages, also when called later",
  async (rawPeer) => {
    await using peer = await rawPeer();
    const { conn, raw } = peer;
    await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8)]));
    const close = await conn.closed;
    assertEquals(close.undelivered, 2);
    assertEquals([await conn.receive(), close.undelivered], ["a", 1]);
    assertEquals([await conn.receive(), close.undelivered], ["b", 0]);
    const error = await assertRejects(() => conn.receive(), ConnectionClosedError);
    assert(error.close === close);
  },
  RAW_LISTENERS,
);

testRaw("a message larger than readAhead isn't read until it is requested", async (rawPeer) => {
  for (const readAhead of [0, 1, 1000]) {
    await using peer = await rawPeer({ readAhead, maxMessageSize: 0 });
    const { conn, raw } = peer;
    const writing = raw.write(raw.encode(2, new Uint8Array(8 * 1024 * KIB).fill(5)));
    const read = conn.stats().bytesReceived;
    assert(read <= 64 * KIB, `${read}`);
    const message = await conn.receive() as Uint8Array;
    await writing;
    assert(message.length === 8 * 1024 * KIB && message.every((byte) => byte === 5));
  }
}, RAW_LISTENERS);

testRaw("a pause holds an iterator, too, beyond the end of the connection", async (rawPeer) => {
  await using peer = await rawPeer();
  const { conn, raw } = peer;
  const messages = conn.messages();
  const first = messages.next();
  conn.pause();
  let settled = false;
  first.then(() => settled = true);
  await raw.write(join([raw.encode(1, "a"), raw.encode(1, "b"), raw.encode(8)]));
  await raw.frames();
  await turn();
  assert(!settled);
  conn.resume();
  assertEquals((await first).value, "a");
  conn.pause();
  const second = messages.next(), third = messages.next();
  await turn();
  conn.resume();
  assertEquals((await second).value, "b");
  assertEquals((await third).done, true);
}, RAW_LISTENERS);

testPair("iteration over a failed connect throws its cause", async (pair) => {
  await using both = await pair();
  const conn = both.ctx.connect("ws://127.0.0.1:1/");
  const error = await assertRejects(async () => {
    for await (const _ of conn);
  }, ConnectionClosedError);
  assert(error.cause === (await conn.closed).cause && error.cause !== undefined);
});
