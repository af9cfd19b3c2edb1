/** A `Buffer` of Node is a `Uint8Array` whose `slice` copies nothing. It is copied like any other bytes. */
import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { type AdoptOptions, Context } from "../../mod.ts";
import { upgradeRequest } from "../support/raw_peer.ts";
import { MemoryConn, ReadyConn } from "../support/memory_conn.ts";
import { adoptedPair, pair, testRaw } from "../support/pair.ts";

const MIB = 1024 * 1024;
const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

testRaw("a Buffer in a ping or a pong may be changed at once", async (open) => {
  await using peer = await open();
  const { conn, raw } = peer;
  const payload = Buffer.from("abc");
  conn.pong(payload);
  const answered = conn.ping(payload);
  payload.fill("x");
  for (const opcode of [10, 9]) {
    assertEquals(new TextDecoder().decode((await raw.next(opcode)).payload), "abc");
  }
  await raw.send(10, Uint8Array.from([97, 98, 99]));
  assert(await answered >= 0);
});

Deno.test("a Buffer that is compressed in turns may be changed at once", async () => {
  const options = { compression: true, maxMessageSize: 0 };
  await using ends = await pair(options, options);
  const { client, server } = ends;
  const message = Buffer.alloc(4 * MIB, "abc");
  const expected = new Uint8Array(message);
  client.send(message);
  message.fill("x");
  const received = await server.receive();
  assertEquals(Buffer.compare(received as Uint8Array, expected), 0);
});

Deno.test("a Buffer that is lent to the transport may be changed at once", async () => {
  class BorrowingConn extends ReadyConn {
    readonly borrows = true;
  }
  const [ours, theirs] = BorrowingConn.pair(100 * 1024);
  await using peer = adoptedPair(ours, theirs);
  const message = Buffer.alloc(MIB, "abc");
  const expected = new Uint8Array(message);
  peer.conn.send(message);
  message.fill("x");
  assertEquals(Buffer.compare((await peer.raw.next(2)).payload, expected), 0);
});

const FRAME = "\x81\x82\0\0\0\0hi";
const HEAD = new TextDecoder().decode(upgradeRequest());
const request = new Request("http://example.com/", {
  headers: {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
  },
});

for (
  const [name, data, options] of [
    ["with the request", HEAD + FRAME, {}],
    ["after the request", FRAME, { request }],
    ["after the handshake", FRAME, { handshake: false }],
  ] as [string, string, AdoptOptions][]
) {
  Deno.test(`initial data ${name} may be changed at once, also if they are a Buffer`, async () => {
    for (const initialData of [latin1(data), Buffer.from(data, "latin1")]) {
      await using ctx = new Context();
      const [ours, theirs] = MemoryConn.pair();
      const conn = ctx.adopt(ours, { ...options, initialData });
      initialData.fill(0);
      assertEquals(await conn.receive(), "hi");
      conn.terminate();
      theirs.close();
    }
  });
}
