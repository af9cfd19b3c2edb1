import { type CloseRecord, Context, ProtocolError } from "../mod.ts";
import { join } from "../tests/support/bytes.ts";
import { frame, masked } from "../tests/support/frames.ts";
import { makeFrames } from "./frames.ts";
import type { Random } from "./random.ts";
import { finding, same, type Target } from "./target.ts";

// Whole connections over a pipe in memory. The first byte of the input selects the test.

function pipe() {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    { readable: back.readable, writable: there.writable },
    { readable: there.readable, writable: back.writable },
  ] as const;
}

const OPTIONS = { handshake: false, keepAlive: false, closeTimeout: 2000 } as const;

/** For any input, a connection ends when its stream does, with a plausible record and without an internal error. */
async function garbage(bytes: Uint8Array, random: Random, role: "server" | "client") {
  await using ctx = new Context();
  const [ours, theirs] = pipe();
  const errors: unknown[] = [];
  const compressed = random.oneIn(3);
  const conn = ctx.adopt(ours, {
    ...OPTIONS,
    role,
    maxMessageSize: random.pick([0, 100, 1000]),
    extensions: compressed ? ["permessage-deflate"] : [],
    onMessage: (conn, data) => {
      if (conn.state === "open") conn.send(data);
    },
    onError: (_, error) => void errors.push(error),
  });
  const drained = (async () => {
    for await (const _ of theirs.readable);
  })().catch(() => {});
  const writer = theirs.writable.getWriter();
  writer.closed.catch(() => {});
  for (const piece of random.split(bytes)) await writer.write(piece).catch(() => {});
  await writer.close().catch(() => {});
  const record: CloseRecord = await conn.closed;
  await drained;
  if (conn.queuedBytes !== 0) finding("bytes are queued on a closed connection");
  if (record.wasClean !== (record.sent !== null && record.received !== null)) finding(`${record}`);
  for (const error of errors) {
    const expected = error instanceof ProtocolError || error instanceof Deno.errors.UnexpectedEof;
    if (!expected) throw error;
  }
  if (ctx.connections.size !== 0) finding("the context still has it");
}

/** Two ends of ours, with bytes cut anywhere: all messages arrive, in order, and the end is clean. */
async function honest(random: Random) {
  await using ctx = new Context();
  const [a, b] = pipe();
  const extensions = random.oneIn(2) ? ["permessage-deflate"] : [];
  const sent: string[] = [], got: string[] = [];
  const server = ctx.adopt(a, {
    ...OPTIONS,
    extensions,
    role: "server",
    maxQueueBytes: 0,
    onMessage: (conn, data) => {
      if (random.oneIn(4)) {
        conn.pause();
        setTimeout(() => conn.resume(), 0);
      }
      conn.send(data);
    },
  });
  const client = ctx.adopt(b, {
    ...OPTIONS,
    extensions,
    role: "client",
    onMessage: (_, data) => void got.push(typeof data === "string" ? data : `b${data.length}`),
  });
  for (let i = 0; i < 10; i++) {
    if (random.oneIn(2)) {
      const text = `${i}${"é".repeat(random.length() % 5000)}`;
      client.send(text);
      sent.push(text);
    } else {
      const length = random.length();
      client.send(new Uint8Array(length));
      sent.push(`b${length}`);
    }
    if (random.oneIn(5)) void client.ping();
    if (random.oneIn(5)) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  while (got.length < sent.length && client.state === "open") {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  same(got, sent, "what came back isn't what was sent");
  random.pick([client, server]).close();
  const records = await Promise.all([client.closed, server.closed]);
  for (const record of records) if (!record.wasClean) finding(`${record}`);
}

export const connection: Target = {
  name: "connection",
  make(random) {
    const kind = random.below(3);
    if (kind === 2) return Uint8Array.of(2);
    const client = kind === 0;
    const close = frame(8, Uint8Array.of(3, 232));
    const bytes = join([
      makeFrames(random, client),
      random.oneIn(2) ? new Uint8Array(0) : client ? masked(close) : close,
    ]);
    return join([Uint8Array.of(kind), bytes]);
  },
  async judge(input, random) {
    const kind = (input[0] ?? 0) % 3;
    if (kind === 2) await honest(random);
    else await garbage(input.slice(1), random, kind === 0 ? "server" : "client");
  },
};
