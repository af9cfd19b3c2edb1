import { constants, deflateRawSync } from "node:zlib";
import { type Connection, Context, type IncomingMessageStream } from "../mod.ts";
import { concat, join, utf8 } from "../tests/support/bytes.ts";
import { closeFrame, frame, masked } from "../tests/support/frames.ts";
import type { Random } from "./random.ts";
import { finding, same, type Target } from "./target.ts";

// One honest peer and every way to take its messages. They come in fragments, empty ones too, compressed or not, with
// pings in between, cut anywhere. They are taken slowly, in pieces, or paused in the middle. All of them have to arrive,
// once and in order, and no consumer may wait for ever.

interface Sent {
  text: boolean;
  payload: Uint8Array;
}

function makeMessage(random: Random): Sent {
  const length = random.oneIn(8) ? random.below(200_000) : random.length();
  const text = random.oneIn(2);
  return {
    text,
    payload: text ? utf8("aé世🌍".repeat(length / 10 + 1)) : new Uint8Array(length).fill(length),
  };
}

/** The frames of a message, with control frames in between. */
function encode({ text, payload }: Sent, random: Random, compress: boolean): Uint8Array[] {
  const compressed = compress && random.oneIn(2);
  const body = compressed
    // RFC 7692 7.2.1: the last four bytes are left out.
    ? new Uint8Array(deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH })).slice(0, -4)
    : payload;
  const cuts = random.oneIn(2)
    ? []
    : Array.from({ length: random.below(6) }, () => random.below(body.length + 1));
  cuts.push(0, body.length);
  cuts.sort((a, b) => a - b);
  const frames: Uint8Array[] = [];
  for (let i = 1; i < cuts.length; i++) {
    const first = i === 1;
    frames.push(frame(first ? text ? 1 : 2 : 0, body.subarray(cuts[i - 1], cuts[i]), {
      fin: i === cuts.length - 1,
      rsv: first && compressed ? 4 : 0,
    }));
    if (random.oneIn(4)) frames.push(frame(random.oneIn(2) ? 9 : 10, "?"));
  }
  return frames;
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** Describes a message in short; of a stream that was cancelled only the type is known. */
function describe(text: boolean, payload: Uint8Array | null): string {
  if (payload === null) return text ? "text?" : "binary?";
  let sum = 0;
  for (const byte of payload) sum = (sum * 31 + byte) >>> 0;
  return `${text ? "text" : "binary"} ${payload.length} ${sum}`;
}

function describeWhole(data: string | Uint8Array): string {
  return typeof data === "string" ? describe(true, utf8(data)) : describe(false, data);
}

async function disturb(conn: Connection, random: Random): Promise<void> {
  if (random.oneIn(3)) await turn();
  if (random.oneIn(6)) {
    conn.pause();
    if (random.oneIn(2)) await turn();
    conn.resume();
  }
}

async function readStream(
  { type, stream }: IncomingMessageStream,
  random: Random,
  conn: Connection,
): Promise<string> {
  const text = type === "text", reader = stream.getReader(), parts: Uint8Array[] = [];
  const until = random.oneIn(4) ? random.below(3) : Infinity;
  for (;;) {
    await disturb(conn, random);
    if (parts.length >= until) {
      await reader.cancel();
      return describe(text, null);
    }
    const { done, value } = await reader.read();
    if (done) return describe(text, join(parts));
    if (value.length === 0) finding("an empty chunk");
    parts.push(value);
  }
}

type Consume = (conn: Connection, random: Random, got: string[]) => Promise<unknown>;

const CONSUMERS: Consume[] = [
  (conn, random, got) => {
    conn.on({
      async onMessage(_, data) {
        got.push(describeWhole(data as string | Uint8Array));
        await disturb(conn, random);
      },
    });
    return conn.closed;
  },
  async (conn, random, got) => {
    for await (const data of conn) {
      got.push(describeWhole(data));
      await disturb(conn, random);
    }
  },
  async (conn, random, got) => {
    try {
      for (;;) {
        const abort = random.oneIn(3) ? new AbortController() : undefined;
        const taken = conn.receive({ signal: abort?.signal });
        if (random.oneIn(2)) abort?.abort();
        await taken.then(
          (data) => got.push(describeWhole(data)),
          (error) => {
            if (error.name !== "AbortError") throw error;
          },
        );
        await disturb(conn, random);
      }
    } catch {
      // Closed.
    }
  },
  async (conn, random, got) => {
    for await (const message of conn.messageStreams()) {
      got.push(await readStream(message, random, conn));
    }
  },
  async (conn, random, got) => {
    for await (const data of conn.readable) {
      got.push(describeWhole(data));
      await disturb(conn, random);
    }
  },
];

async function exchange(random: Random): Promise<void> {
  await using ctx = new Context();
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  const compress = random.oneIn(2);
  const conn = ctx.adopt({ readable: there.readable, writable: back.writable }, {
    handshake: false,
    keepAlive: false,
    maxMessageSize: 0,
    readAhead: random.pick([0, 1, 100, 5000, 65536]),
    extensions: compress ? ["permessage-deflate; client_no_context_takeover"] : [],
  });
  const drained = (async () => {
    for await (const _ of back.readable);
  })().catch(() => {});
  const sent = Array.from({ length: 1 + random.below(12) }, () => makeMessage(random));
  const frames = sent.flatMap((message) => encode(message, random, compress));
  const bytes = concat(...frames.map((frame) => masked(frame)), masked(closeFrame(1000)));
  const writer = there.writable.getWriter();
  writer.closed.catch(() => {});
  // A long stream is taken in few pieces, or it would take minutes.
  const most = random.pick([Math.max(5, bytes.length / 200), 5000, 70_000, bytes.length]);
  const written = (async () => {
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random.below(most));
      await writer.write(bytes.slice(at, end));
      at = end;
    }
    await writer.close();
  })().catch(() => {});
  const got: string[] = [];
  const consume = random.pick(CONSUMERS);
  // A late consumer gets the messages that came before it; a late callback may find the connection closed.
  if (consume !== CONSUMERS[0]) {
    for (let turns = random.below(4); turns > 0; turns--) {
      await turn();
    }
  }
  await consume(conn, random, got);
  const { code, undelivered, wasClean } = await conn.closed;
  await Promise.all([written, drained]);
  const expected = sent.map(({ text, payload }, i) =>
    describe(text, got[i]?.endsWith("?") ? null : payload)
  );
  same(got, expected, "what was taken isn't what was sent");
  if (code !== 1000 || undelivered !== 0 || !wasClean) finding(`${await conn.closed}`);
}

/** Messages of an honest peer, taken in every way. */
export const receiving: Target = {
  name: "receiving",
  make: () => new Uint8Array(0),
  judge: (_, random) => exchange(random),
};
