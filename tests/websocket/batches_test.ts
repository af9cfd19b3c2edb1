import { assert, assertEquals } from "@std/assert";
import { WebSocket } from "../../websocket.ts";
import { concat } from "../support/bytes.ts";
import { BINARY, CLOSE, frame, FrameReader, readClose, TEXT } from "../support/frames.ts";
import { uncaught } from "../support/uncaught.ts";
import { finish, rawPeer, record, serve } from "./_serve.ts";

// Messages of one segment: each is an event of its own, and the messages that listeners send leave in one write.

const MANY = 100;
/** Messages that contain their numbers. */
const NUMBERED = concat(...Array.from({ length: MANY }, (_, i) => frame(TEXT, String(i))));

/** Reads once; returns the payloads of the text messages and the close code. */
async function readOnce(conn: Deno.TcpConn): Promise<{ texts: string[]; code?: number }> {
  const buffer = new Uint8Array(65_536), count = await conn.read(buffer);
  const reader = new FrameReader(), texts: string[] = [];
  reader.push(buffer.subarray(0, count ?? 0));
  for (let next = reader.next(); next !== null; next = reader.next()) {
    if (next.opcode === CLOSE) return { texts, code: readClose(next.payload).code };
    texts.push(new TextDecoder().decode(next.payload));
  }
  return { texts };
}

Deno.test("the answers to the messages of one segment leave in one write", async () => {
  const read = Promise.withResolvers<string[]>();
  await using peer = rawPeer(async (conn) => {
    await conn.write(NUMBERED);
    read.resolve((await readOnce(conn)).texts);
  });
  const socket = new WebSocket(peer.url, { compression: false }), log = record(socket);
  socket.onmessage = ({ data }) => socket.send(data);
  assertEquals(await read.promise, Array.from({ length: MANY }, (_, i) => String(i)));
  while ((await log.next()).type !== "close");
});

Deno.test("all microtasks run between two messages of one segment", async () => {
  await using peer = rawPeer((conn) => conn.write(NUMBERED));
  const socket = new WebSocket(peer.url), log = record(socket), order: string[] = [];
  socket.onmessage = async ({ data }) => {
    order.push(data);
    for (let i = 0; i < 50; i++) await null;
    order.push(data);
  };
  while ((await log.next()).type !== "close");
  assertEquals(order, Array.from({ length: 2 * MANY }, (_, i) => String(i >> 1)));
});

Deno.test("the error of a listener is uncaught, and no message is lost", async () => {
  using errors = uncaught();
  const read = Promise.withResolvers<string[]>();
  await using peer = rawPeer(async (conn) => {
    await conn.write(NUMBERED);
    read.resolve((await readOnce(conn)).texts);
  });
  const socket = new WebSocket(peer.url, { compression: false }), log = record(socket);
  socket.onmessage = ({ data }) => {
    socket.send(data);
    throw data;
  };
  const numbers = Array.from({ length: MANY }, (_, i) => String(i));
  assertEquals(await read.promise, numbers);
  while ((await log.next()).type !== "close");
  assertEquals(errors.log.events, numbers);
});

Deno.test("close() in the middle of a segment sends earlier answers, and only close follows", async () => {
  const read = Promise.withResolvers<{ texts: string[]; code?: number }>();
  await using peer = rawPeer(async (conn) => {
    await conn.write(NUMBERED);
    read.resolve(await readOnce(conn));
    await conn.write(frame(CLOSE, Uint8Array.of(0x0f, 0xa0)));
  });
  const socket = new WebSocket(peer.url, { compression: false }), log = record(socket);
  socket.onmessage = ({ data }) => {
    socket.send(data);
    if (data === "2") socket.close(4000);
  };
  assertEquals(await read.promise, { texts: ["0", "1", "2"], code: 4000 });
  const types: string[] = [];
  do types.push((await log.next()).type); while (types.at(-1) !== "close");
  assertEquals(types, ["open", "message", "message", "message", "close"]);
});

Deno.test("answers leave while a peer sends without end", async () => {
  const flood = concat(...Array.from({ length: 500 }, () => frame(BINARY, new Uint8Array(100))));
  await using peer = rawPeer(async (conn) => {
    let answered = false;
    const flooding = (async () => {
      while (!answered) await conn.write(flood);
    })();
    const buffer = new Uint8Array(65_536);
    assert((await conn.read(buffer))! > 0);
    answered = true;
    // The client may read nothing until its answers are read.
    const reading = (async () => {
      while ((await conn.read(buffer).catch(() => null)) !== null);
    })();
    await flooding;
    conn.closeWrite();
    await reading;
  });
  const socket = new WebSocket(peer.url, { compression: false }), log = record(socket);
  socket.onmessage = () => socket.send("x");
  while ((await log.next()).type !== "close");
});

Deno.test("each ArrayBuffer contains one message, and may be transferred", async () => {
  await using server = serve();
  const sizes = [0, 1, 64, 2048, 2049, 16_384, 65_536, 300_000];
  for (const compression of [false, true]) {
    const socket = new WebSocket(server.url, { compression }), log = record(socket);
    socket.binaryType = "arraybuffer";
    assertEquals((await log.next()).type, "open");
    for (const size of sizes) socket.send(new Uint8Array(size).fill(size));
    const buffers: ArrayBuffer[] = [];
    for (const size of sizes) {
      const { data } = await log.next() as MessageEvent<ArrayBuffer>;
      assertEquals(new Uint8Array(data), new Uint8Array(size).fill(size));
      buffers.push(data);
    }
    assertEquals(new Set(buffers).size, sizes.length);
    // Transferring one leaves the others and later messages alone.
    structuredClone(buffers[2], { transfer: [buffers[2]] });
    assertEquals(buffers.map(({ byteLength }) => byteLength), sizes.with(2, 0));
    socket.send(new Uint8Array(64).fill(1));
    const { data } = await log.next() as MessageEvent<ArrayBuffer>;
    assertEquals(new Uint8Array(data), new Uint8Array(64).fill(1));
    await finish(socket, log);
  }
});
