import { type Connection, type ConnectionOptions, Context, type ListenOptions } from "../mod.ts";
import { repeat, utf8 } from "../tests/support/bytes.ts";
import { BINARY, frame, masked, PING, PONG } from "../tests/support/frames.ts";
import { MemoryConn } from "../tests/support/memory_conn.ts";
import { macrotask } from "../tests/support/virtual_clock.ts";
import { RawPeer } from "../tests/support/raw_peer.ts";
import type { Shape } from "./hostile_parsers.ts";

// Everything that can queue up in a connection, with the usual limits raised: `size` entries, timed from the first to
// the last.

/** A limit that no run reaches. */
const ALL = 1 << 30;

interface Ends {
  readonly ctx: Context;
  readonly conn: Connection;
  readonly far: MemoryConn;
}

/** A connection over a pipe in memory that holds everything. */
function open(options: ConnectionOptions & { extensions?: string[] } = {}): Ends {
  const ctx = new Context();
  const [near, far] = MemoryConn.pair(ALL);
  const conn = ctx.adopt(near, {
    handshake: false,
    keepAlive: false,
    readAhead: ALL,
    maxMessageSize: 0,
    maxQueueBytes: 0,
    onError: () => {},
    ...options,
  });
  return { ctx, conn, far };
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await macrotask();
}

/** Reads everything and drops it. */
async function swallow(far: MemoryConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  while (await far.read(buffer).catch(() => null) !== null);
}

/** Ends the stream without a close frame. */
async function end({ ctx, far }: Ends): Promise<void> {
  far.close();
  await ctx.shutdown({ timeout: 0 });
}

/** Messages that wait until a consumer claims them, or resumes, after all of them have arrived. */
function held(
  payload: string,
  options: (took: () => void) => ConnectionOptions,
  take: (conn: Connection, took: () => void) => unknown,
): Shape {
  const message = masked(frame(BINARY, payload));
  return (size) => {
    const bytes = repeat(message, size);
    return async () => {
      let taken = 0;
      const took = () => void taken++;
      const ends = open(options(took));
      const { conn, far } = ends;
      await far.write(bytes);
      await until(() => conn.stats().bytesReceived === bytes.length);
      // The consumer ends with the connection, which is terminated.
      const taking = Promise.resolve(take(conn, took)).catch(() => {});
      await until(() => taken === size);
      await end(ends);
      await taking;
    };
  };
}

const PAUSED = (took: () => void): ConnectionOptions => ({
  onConnect: (conn) => conn.pause(),
  onMessage: took,
});
const UNCLAIMED = (): ConnectionOptions => ({});

const FACES: Record<string, Shape> = Object.fromEntries(
  ["", "x"].flatMap((payload): [string, Shape][] => {
    const what = payload === "" ? "empty messages" : "messages of one byte";
    return [
      [`held ${what}: onMessage`, held(payload, PAUSED, (conn) => conn.resume())],
      [
        `held ${what}: async onMessage`,
        held(payload, (took) => ({
          onConnect: (conn) => conn.pause(),
          onMessage: (): Promise<void> => {
            took();
            return Promise.resolve();
          },
        }), (conn) => conn.resume()),
      ],
      [
        `held ${what}: iterator`,
        held(payload, UNCLAIMED, async (conn, took) => {
          for await (const _ of conn.messages({ preventClose: true })) took();
        }),
      ],
      [
        `held ${what}: receive`,
        held(payload, UNCLAIMED, async (conn, took) => {
          for (;;) {
            if (await conn.receive().catch(() => null) === null) break;
            took();
          }
        }),
      ],
      [
        `held ${what}: messageStreams`,
        held(payload, UNCLAIMED, async (conn, took) => {
          for await (const { stream } of conn.messageStreams()) {
            await stream.cancel();
            took();
          }
        }),
      ],
      [
        `held ${what}: readable`,
        held(payload, UNCLAIMED, async (conn, took) => {
          for await (const _ of conn.readable) took();
        }),
      ],
    ];
  }),
);

/** The same over Deno's own socket, which reads on. It begins where an array is long enough to be slow at its front. */
function upgraded(payload: string): Shape {
  const message = masked(frame(BINARY, payload));
  return (entries) => {
    const size = 4 * entries, bytes = repeat(message, size);
    return async () => {
      let taken = 0, conn: Connection | null = null;
      const ctx = new Context();
      const server = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        (request) =>
          ctx.upgrade(request, {
            maxHeldBytes: ALL,
            onConnect(opened) {
              conn = opened;
              opened.pause();
            },
            onMessage: () => void taken++,
          }).response,
      );
      using peer = await RawPeer.connect(server.addr.port);
      await peer.write(bytes);
      // It is answered when everything before it has been read.
      await peer.send(PING, "last");
      await peer.next(PONG);
      conn!.resume();
      await until(() => taken === size);
      peer.close();
      await ctx.shutdown({ timeout: 0 });
      await server.shutdown();
    };
  };
}

/** Messages that are queued for a peer that begins to read when all of them are. */
function queued(
  send: (conn: Connection, i: number) => void,
  options: ConnectionOptions & { extensions?: string[] } = {},
): Shape {
  return (size) => async () => {
    const ends = open({ onMessage: () => {}, ...options });
    const { conn, far } = ends;
    await conn.opened;
    conn.pauseSending();
    for (let i = 0; i < size; i++) send(conn, i);
    conn.resumeSending();
    const buffer = new Uint8Array(64 * 1024);
    while (conn.queuedMessages > 0) {
      await far.read(buffer);
      await macrotask();
    }
    await end(ends);
  };
}

const DEFLATE = ["permessage-deflate"];

const QUEUES: Record<string, Shape> = {
  "held empty messages: upgrade": upgraded(""),
  "held messages of one byte: upgrade": upgraded("x"),
  "queued messages of one byte": queued((conn) => void conn.send("x")),
  "queued empty messages": queued((conn) => void conn.send("")),
  "queued empty fragments": queued((conn, i) => {
    conn.sendFragment("", { final: i % 1000 === 999 });
  }),
  "queued compressed messages of one byte": queued(
    (conn) => void conn.send("x", { compress: true }),
    { extensions: DEFLATE, compression: { threshold: 0 } },
  ),
  "pings that are never answered, then as many unsolicited pongs": (size) => {
    const pongs = repeat(masked(frame(PONG, "unsolicited")), size);
    return async () => {
      const ends = open({ onMessage: () => {} });
      const { conn, far } = ends;
      void swallow(far);
      await conn.opened;
      for (let i = 0; i < size; i++) {
        void conn.ping(`${i}`).catch(() => {});
        if (i % 32 === 31) await macrotask();
      }
      await far.write(pongs);
      await until(() => conn.stats().bytesReceived === pongs.length);
      await end(ends);
    };
  },
  "pings that time out": (size) => async () => {
    const ends = open({ onMessage: () => {} });
    const { conn, far } = ends;
    void swallow(far);
    await conn.opened;
    let over = 0;
    for (let i = 0; i < size; i++) {
      void conn.ping(`${i}`, { timeout: 1 }).catch(() => over++);
      if (i % 32 === 31) await macrotask();
    }
    await until(() => over === size);
    await end(ends);
  },
  "pings whose answers aren't read": (size) => {
    const pings = repeat(masked(frame(PING, "x".repeat(100))), size);
    return async () => {
      const ends = open({ onMessage: () => {} });
      await ends.far.write(pings);
      await until(() => ends.conn.stats().bytesReceived === pings.length);
      await end(ends);
    };
  },
};

/** A listener on the loopback and bytes for it; timed until `count` answers have come. */
function overHttp(options: ListenOptions, request: string, answer: RegExp): Shape {
  return (size) => {
    const bytes = repeat(utf8(request), size);
    return async () => {
      const ctx = new Context();
      const { port } = ctx.listen({
        hostname: "127.0.0.1",
        onHandshakeError: () => {},
        ...options,
      });
      using peer = await RawPeer.dial(port);
      void peer.write(bytes).catch(() => {});
      const buffer = new Uint8Array(64 * 1024);
      const decoder = new TextDecoder();
      let rest = "";
      for (let answers = 0; answers < size;) {
        const count = await peer.conn.read(buffer);
        if (count === null) throw new Error(`The stream ended after ${answers} answers`);
        const text = rest + decoder.decode(buffer.subarray(0, count));
        const parts = text.split(answer);
        answers += parts.length - 1;
        rest = parts.at(-1)!.slice(-200);
      }
      peer.close();
      await ctx.shutdown({ timeout: 0 });
    };
  };
}

const HTTP: Record<string, Shape> = {
  "pipelined requests": overHttp(
    { handler: () => new Response(null, { status: 204 }) },
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    /HTTP\/1\.1 204/,
  ),
};

/** The queues that are measured. */
export const PILES: Record<string, Shape> = { ...FACES, ...QUEUES, ...HTTP };
