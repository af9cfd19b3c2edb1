import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { turn } from "../support/until.ts";

// Real sockets would need 20,000 descriptors, so only the time that a write takes is imitated.
const RECEIVERS = 10_000;
const WRITE_COST = 0.02;

// An open stream for `adopt`. The library uses only the other members.
const readable = new ReadableStream<Uint8Array<ArrayBuffer>>();
const writable = new WritableStream<Uint8Array<ArrayBufferLike>>();

class BusyConn implements Deno.Conn {
  static writes = 0;
  readonly localAddr: Deno.Addr = { transport: "unix", path: "" };
  readonly remoteAddr: Deno.Addr = this.localAddr;
  readonly readable = readable;
  readonly writable = writable;
  written = "";
  #ended = Promise.withResolvers<null>();
  read() {
    return this.#ended.promise;
  }
  write(data: Uint8Array) {
    for (const end = performance.now() + WRITE_COST; performance.now() < end;);
    BusyConn.writes++;
    for (let i = 0; i < data.length; i += 3) this.written += String.fromCharCode(data[i + 2]);
    return Promise.resolve(data.length);
  }
  closeWrite() {
    return Promise.resolve();
  }
  close() {
    this.#ended.resolve(null);
  }
  ref() {}
  unref() {}
  [Symbol.dispose]() {
    this.close();
  }
}

/** A context with `RECEIVERS` subscribers of the topic "all". */
async function crowd() {
  const ctx = new Context({ keepAlive: false, onMessage: () => {} });
  const streams = Array.from({ length: RECEIVERS }, () => new BusyConn());
  const members = streams.map((stream) => ctx.adopt(stream, { handshake: false }));
  await Promise.all(members.map(({ opened }) => opened));
  for (const member of members) member.subscribe("all");
  BusyConn.writes = 0;
  return { ctx, streams, members };
}

/** Waits until everything is written, and terminates all connections. */
async function end(members: readonly Connection[]): Promise<void> {
  await Promise.all(members.map((member) => member.drained()));
  const ends = members.map(({ closed }) => closed);
  for (const member of members) member.terminate();
  await Promise.all(ends);
}

Deno.test("during a publication to 10,000 connections timers run every few hundred writes, and its order is kept", async () => {
  const { ctx, streams, members } = await crowd();
  let before = 0, most = 0, ticks = 0;
  ctx.publish("all", "1");
  ctx.publish("all", "2");
  assertEquals(ctx.publish("all", "3").sent, RECEIVERS);
  while (BusyConn.writes < RECEIVERS) {
    await turn();
    most = Math.max(most, BusyConn.writes - before);
    before = BusyConn.writes;
    if (++ticks === 3) ctx.publish("all", "4");
  }
  await Promise.all(members.map((member) => member.drained()));
  assert(most <= 500, `${most} writes in one turn`);
  assert(streams.every(({ written }) => written === "1234"));
  await end(members);
});

Deno.test("a single message doesn't wait for the backlog of a broadcast", async () => {
  await using server = new Context();
  const listener = server.listen({ port: 0, onMessage: (conn, data) => conn.send(data) });
  const { ctx, members } = await crowd();
  await using client = server.connect(listener.url);
  await client.opened;
  ctx.publish("all", "1");
  await turn();
  client.send("question");
  assertEquals(await client.receive(), "question");
  assert(BusyConn.writes < RECEIVERS / 2, `${BusyConn.writes} writes came first`);
  await end(members);
});
