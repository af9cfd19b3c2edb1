import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import zlib from "node:zlib";
import {
  type CompressionOptions,
  type ConnectionOptions,
  Context,
  HandshakeError,
  QueueFullError,
} from "../../mod.ts";
import { Deflater } from "../../src/deflate/deflater.ts";
import { workQueue } from "../../src/deflate/work_queue.ts";
import { compressed } from "../support/deflate.ts";
import {
  answering,
  assertBytes,
  inflater,
  json,
  noise,
  offering,
  push,
  TAKEOVER,
} from "./helpers.ts";
import { join, utf8 } from "../support/bytes.ts";
import { frameOf } from "../support/frames.ts";
import { Http2Origin } from "../support/http2_peer.ts";
import { type OpenRaw, RAW_CLIENTS, RAW_LISTENERS, testPair, testRaw } from "../support/pair.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { standstill, turn, until } from "../support/until.ts";

const FIN = 0x80, RSV1 = 0x40, CONTINUATION = 0, TEXT = 1, BINARY = 2, PING = 9;
const HELLO = Uint8Array.of(0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00);

/** A connection with compression to a raw peer, and the messages that it gets. */
async function agreed(
  open: OpenRaw,
  options: ConnectionOptions = {},
  extensions: string | string[] | null = "permessage-deflate",
) {
  const messages: (string | Uint8Array)[] = [];
  const pair = await open({
    compression: true,
    onMessage: (_conn, data) => void messages.push(data),
    onError: () => {},
    ...options,
  }, { extensions });
  return { ...pair, messages };
}

// ---- Negotiation over the wire ---------------------------------------------------------------------

testRaw("a server without the option accepts no offer", async (open) => {
  await using it = await agreed(open, { compression: false });
  assertEquals(it.raw.extensions, null);
}, RAW_LISTENERS);

testRaw("a server selects from offers in several headers", async (open) => {
  await using it = await agreed(open, {}, [
    "x-other",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; server_max_window_bits=11; server_no_context_takeover",
  ]);
  const agreement = "permessage-deflate; server_no_context_takeover; server_max_window_bits=11";
  assertEquals(it.raw.extensions, agreement);
  assertEquals(it.conn.extensions, agreement);
}, RAW_LISTENERS);

testPair("both sides have the negotiated parameters", async (open) => {
  await using ends = await open(
    { compression: { windowBits: 10 } },
    { compression: { contextTakeover: false } },
  );
  const { extensions } = await ends.client.opened;
  assertEquals(
    extensions,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover; " +
      "server_max_window_bits=10; client_max_window_bits=10",
  );
  assertEquals(ends.client.extensions, extensions);
  assertEquals(ends.server.extensions, extensions);
});

const BAD_ANSWERS: [string, CompressionOptions | boolean][] = [
  ["permessage-deflate; unknown", true],
  ["permessage-deflate; server_max_window_bits=7", true],
  ["permessage-deflate; client_max_window_bits", true],
  ["permessage-deflate, permessage-deflate", true],
  ["permessage-deflate; server_max_window_bits=12", { windowBits: 10 }],
  ["permessage-deflate", false],
];

for (const [answer, compression] of BAD_ANSWERS) {
  Deno.test(`a client with ${JSON.stringify(compression)} fails at the response ${answer}`, async () => {
    await using ctx = new Context();
    using server = Deno.listen({ port: 0 });
    const conn = ctx.connect(`ws://127.0.0.1:${server.addr.port}/`, {
      compression,
      onError: () => {},
    });
    using _peer = await RawPeer.accept(server, answering(answer));
    const error = await assertRejects(() => conn.opened, HandshakeError);
    assertEquals(error.status, 101);
    assertEquals(error.headers.get("sec-websocket-extensions"), answer);
    assertEquals((await conn.closed).code, 1006);
  });

  Deno.test(`a client over HTTP/2 with ${JSON.stringify(compression)} fails at the answer ${answer}`, async () => {
    await using ctx = new Context({ onError: () => {} });
    await using server = await Http2Origin.start();
    const tls = { caCerts: [server.ca] };
    const conn = ctx.connect(server.url, { http2: true, tls, compression });
    using _peer = await server.webSocket({ "sec-websocket-extensions": answer });
    const error = await assertRejects(() => conn.opened, HandshakeError);
    assertEquals(error.status, 200);
    assertEquals(error.headers.get("sec-websocket-extensions"), answer);
    assertEquals((await conn.closed).code, 1006);
  });
}

for (
  const compression of [{ contextTakeover: false }, { windowBits: 9 }, {
    windowBits: 9,
    contextTakeover: false,
    memLevel: 1,
  }]
) {
  testRaw(
    `fault 61: a client with ${JSON.stringify(compression)} accepts a server that promises nothing`,
    async (open) => {
      await using it = await open({ compression: { threshold: 0, ...compression } }, {
        extensions: "permessage-deflate",
      });
      const { conn, raw: peer } = it;
      assertEquals((await conn.opened).extensions, "permessage-deflate");
      assertEquals(conn.extensions, "permessage-deflate");
      // The most that the server may use then: a window of 32 KiB with context takeover.
      const codec = zlib.createDeflateRaw({ windowBits: 15 });
      const chunks: Uint8Array[] = [];
      codec.on("data", (chunk) => chunks.push(chunk));
      const deflate = (text: string) =>
        new Promise<Uint8Array>((resolve) => {
          codec.write(text);
          codec.flush(
            zlib.constants.Z_SYNC_FLUSH,
            () => resolve(join(chunks.splice(0)).slice(0, -4)),
          );
        });
      const far = noise(20_000).toBase64();
      for (let i = 0; i < 3; i++) {
        const payload = await deflate(far);
        // Later messages consist mostly of references to the first one.
        assert(i === 0 || payload.length < 1000, `${payload.length}`);
        await peer.write(frameOf(FIN | RSV1 | TEXT, payload));
        assert(await conn.receive() === far);
      }
      codec.close();
      conn.send(far);
      const { payload } = await peer.next(TEXT);
      assertEquals(
        zlib.inflateRawSync(join([payload, Uint8Array.of(0, 0, 0xff, 0xff)]), {
          finishFlush: zlib.constants.Z_SYNC_FLUSH,
          windowBits: compression.windowBits ?? 15,
        }).toString(),
        far,
      );
    },
    RAW_CLIENTS,
  );
}

testRaw("a client that is limited to 8 bits sends uncompressed, and inflates", async (open) => {
  await using it = await agreed(
    open,
    { compression: { threshold: 0 } },
    "permessage-deflate; client_max_window_bits=8",
  );
  const { conn, raw: peer, messages } = it;
  assertEquals(peer.extensions, "permessage-deflate; client_max_window_bits");
  conn.send("Hello", { compress: true });
  const { fin, rsv, opcode, payload } = (await peer.frame())!;
  assertEquals([fin, rsv, opcode, payload], [true, 0, TEXT, utf8("Hello")]);
  await peer.send(frameOf(FIN | RSV1 | TEXT, HELLO));
  await until(() => messages.length === 1);
  assertEquals(messages, ["Hello"]);
}, RAW_CLIENTS);

// ---- What is received ------------------------------------------------------------------------------

const VIOLATIONS: [string, [number, Uint8Array][], offer?: null][] = [
  ["RSV1 on a ping", [[FIN | RSV1 | PING, utf8("")]]],
  ["RSV1 on a continuation", [[RSV1 | TEXT, HELLO.subarray(0, 3)], [
    FIN | RSV1 | CONTINUATION,
    HELLO.subarray(3),
  ]]],
  ["RSV1 on a continuation of an uncompressed message", [[TEXT, utf8("a")], [
    FIN | RSV1 | CONTINUATION,
    HELLO,
  ]]],
  ["RSV2", [[FIN | 0x20 | TEXT, HELLO]]],
  ["RSV1 and RSV3", [[FIN | RSV1 | 0x10 | TEXT, HELLO]]],
  ["RSV1 without negotiated compression", [[FIN | RSV1 | TEXT, HELLO]], null],
];

for (const [what, frames, offer] of VIOLATIONS) {
  testRaw(`${what} fails the connection with 1002`, async (open) => {
    await using it = await agreed(open, {}, offer);
    for (const [first, payload] of frames) await it.raw.send(frameOf(first, payload));
    assertEquals(await it.raw.closeCode(), 1002);
    assertEquals(it.messages, []);
  });
}

testRaw(
  "compressed, uncompressed and fragmented messages arrive in order, with control frames in between",
  async (open) => {
    await using it = await agreed(open);
    const { raw: peer, messages } = it;
    await peer.send(frameOf(FIN | RSV1 | TEXT, HELLO));
    await peer.send(frameOf(FIN | TEXT, utf8("plain")));
    await peer.send(frameOf(RSV1 | TEXT, Uint8Array.of(0xf2, 0x00)));
    await peer.send(frameOf(FIN | PING, utf8("between")));
    await peer.send(frameOf(CONTINUATION, new Uint8Array(0)));
    await peer.send(frameOf(FIN | CONTINUATION, Uint8Array.of(0x11, 0x00, 0x00)));
    await peer.send(frameOf(BINARY, Uint8Array.of(1, 2)));
    await peer.send(frameOf(FIN | CONTINUATION, Uint8Array.of(3)));
    // RFC 7692 7.2.3.4, in the middle of a stream with takeover.
    await peer.send(frameOf(FIN | RSV1 | TEXT, Uint8Array.of(0xf3, 0x00, 0x11, 0x00, 0x00, 0x00)));
    await peer.send(frameOf(FIN | RSV1 | TEXT, Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00)));
    await peer.send(frameOf(FIN | RSV1 | TEXT, Uint8Array.of(0x00)));
    await peer.send(frameOf(FIN | RSV1 | TEXT, new Uint8Array(0)));
    const pong = await peer.frame();
    assertEquals([pong!.opcode, pong!.payload], [10, utf8("between")]);
    await until(() => messages.length === 8);
    const [first, second, third, bytes, ...rest] = messages;
    assertEquals([first, second, third], ["Hello", "plain", "Hello"]);
    assertEquals(bytes, Uint8Array.of(1, 2, 3));
    assertEquals(rest, ["Hello", "Hello", "", ""]);
  },
);

const CORRUPT: [string, number, Uint8Array][] = [
  ["corrupt data", 1007, Uint8Array.of(0x06, 0x00)],
  ["a reference to before the first message", 1007, Uint8Array.of(0xf2, 0x00, 0x11, 0x00, 0x00)],
  ["a compressed text that isn't UTF-8", 1007, Uint8Array.of(0x00, 1, 0, 0xfe, 0xff, 0xff, 0x00)],
];

for (const [what, code, payload] of CORRUPT) {
  testRaw(`receiving ${what} fails with ${code}`, async (open) => {
    await using it = await agreed(open);
    await it.raw.send(frameOf(FIN | RSV1 | TEXT, payload));
    assertEquals(await it.raw.closeCode(), code);
    assertEquals(it.messages, []);
  });

  Deno.test(`${what} fails only its connection, with ${code}`, async () => {
    await using ctx = new Context();
    const messages: (string | Uint8Array)[] = [];
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      compression: true,
      onMessage: (_conn, data) => void messages.push(data),
      onError: () => {},
    });
    using other = await RawPeer.connect(listener.port, offering("permessage-deflate"));
    using peer = await RawPeer.connect(listener.port, offering("permessage-deflate"));
    await peer.send(frameOf(FIN | RSV1 | TEXT, payload));
    assertEquals(await peer.closeCode(), code);
    await other.send(frameOf(FIN | RSV1 | TEXT, HELLO));
    await until(() => messages.length === 1);
    assertEquals(messages, ["Hello"]);
  });
}

testRaw("a compressed frame may be longer than the limit if its message isn't", async (open) => {
  await using it = await agreed(open, { maxMessageSize: 100 });
  const { raw: peer, messages } = it;
  const empty = Uint8Array.of(0x00, 0x00, 0x00, 0xff, 0xff);
  await peer.send(frameOf(FIN | RSV1 | TEXT, join([...Array(100).fill(empty), HELLO])));
  await until(() => messages.length === 1);
  assertEquals(messages, ["Hello"]);
});

testRaw(
  "messages, pings and the close frame after a long message wait for it",
  async (open) => {
    const events: string[] = [];
    await using it = await agreed(open, {
      maxMessageSize: 0,
      onMessage: (_conn, data) => void events.push(`${data.length}`),
      onPing: () => void events.push("ping"),
      onClose: (_conn, { code }) => void events.push(`close ${code}`),
    });
    const zeros = (length: number) => compressed(new Uint8Array(length));
    const { raw: peer } = it;
    await Promise.all([
      peer.send(frameOf(FIN | RSV1 | BINARY, zeros(20 << 20))),
      peer.send(frameOf(FIN | TEXT, utf8("plain"))),
      peer.send(frameOf(RSV1 | BINARY, join([zeros(5 << 20), Uint8Array.of(0, 0, 0xff, 0xff)]))),
      peer.send(frameOf(FIN | PING, utf8(""))),
      peer.send(frameOf(FIN | CONTINUATION, zeros(3 << 20))),
      peer.send(frameOf(FIN | RSV1 | TEXT, HELLO)),
      peer.send(frameOf(FIN | 8, Uint8Array.of(0x03, 0xe8))),
    ]);
    assertEquals(await peer.closeCode(), 1000);
    peer.close();
    await until(() => events.length === 6);
    assertEquals(events, [`${20 << 20}`, "5", "ping", `${8 << 20}`, "5", "close 1000"]);
  },
);

testRaw("no message is delivered during a pause in the middle of long messages", async (open) => {
  const got: number[] = [];
  await using it = await agreed(open, {
    maxMessageSize: 0,
    onMessage(conn, data) {
      got.push(data.length);
      if (got.length === 1) conn.pause();
    },
  });
  const packed = compressed(new Uint8Array(4 << 20));
  const { conn, raw } = it;
  for (let i = 0; i < 5; i++) await raw.send(frameOf(FIN | RSV1 | BINARY, packed));
  await until(() => got.length === 1);
  // Everything that may be read has been read and inflated.
  await standstill(() => conn.stats().bytesReceived + workQueue.size);
  assertEquals([got.length, workQueue.size], [1, 0]);
  conn.resume();
  await until(() => got.length === 5);
  assertEquals(got, Array(5).fill(4 << 20));
});

testRaw(
  "terminate in the middle of a long message stops inflating, and leaves no work",
  async (open) => {
    await using it = await agreed(open, { maxMessageSize: 0 });
    const packed = compressed(new Uint8Array(64 << 20));
    await it.raw.send(frameOf(FIN | RSV1 | BINARY, packed));
    await until(() => workQueue.size > 0);
    it.conn.terminate();
    assertEquals(workQueue.size, 0);
    await it.conn.closed;
    assertEquals(it.messages, []);
  },
);

// ---- What is sent ----------------------------------------------------------------------------------

/** A connection to a peer that inflates its messages. */
async function connected(open: OpenRaw, compression: CompressionOptions = {}, limits = {}) {
  const pair = await agreed(open, { compression, ...limits });
  const { conn, raw } = pair;
  const { inflater: codec, got } = inflater();
  return {
    conn,
    /** The next frame, and the message that it ends. */
    async next() {
      const frame = await raw.frame();
      if (frame === null) throw new Error("The stream has ended");
      const { fin, rsv, opcode, payload } = frame;
      return { first: (fin ? FIN : 0) | (rsv << 4) | opcode, payload };
    },
    async inflate(payload: Uint8Array, final = true) {
      await push(codec, payload, final);
      return got.messages.shift();
    },
    async [Symbol.asyncDispose]() {
      codec.close();
      await pair[Symbol.asyncDispose]();
    },
  };
}

testRaw("the threshold decides about compression, and `compress` overrides it", async (open) => {
  await using it = await connected(open, { threshold: 10 });
  const { conn } = it;
  conn.send("123456789");
  conn.send("1234567890");
  conn.send("äöüää");
  conn.send("äöüß");
  conn.send(new Uint8Array(9));
  conn.send(new Uint8Array(10));
  conn.send("short", { compress: true });
  conn.send("1234567890", { compress: false });
  conn.send("", { compress: true });
  conn.send("");
  const seen: string[] = [];
  for (let i = 0; i < 10; i++) {
    const { first, payload } = await it.next();
    const packed = (first & RSV1) !== 0;
    const message = packed ? (await it.inflate(payload))! : payload;
    seen.push(`${packed ? "packed" : "plain"} ${first & 15} ${message.length}`);
  }
  assertEquals(seen, [
    "plain 1 9",
    "packed 1 10",
    "packed 1 10",
    "plain 1 8",
    "plain 2 9",
    "packed 2 10",
    "packed 1 5",
    "plain 1 10",
    "packed 1 0",
    "plain 1 0",
  ]);
});

testRaw("without negotiated compression, `compress: true` sends uncompressed", async (open) => {
  await using it = await agreed(open, {}, null);
  const { conn, raw: peer } = it;
  assertEquals(conn.extensions, "");
  conn.send("x".repeat(2000), { compress: true });
  assertEquals((await peer.frame())!.rsv, 0);
  conn.terminate();
});

testRaw("a lone surrogate is replaced before compression", async (open) => {
  await using it = await connected(open, { threshold: 0 });
  it.conn.send("a\ud800b");
  const { payload } = await it.next();
  assertEquals(new TextDecoder().decode(await it.inflate(payload)), "a\ufffdb");
});

testRaw(
  "long and short, compressed and uncompressed messages, control frames and the close keep their order",
  async (open) => {
    await using it = await connected(open, { threshold: 100 });
    const { conn } = it;
    const long = json(3 << 20), middle = json(1000, 2);
    conn.send(middle);
    conn.send(long);
    conn.send("plain");
    conn.send(middle);
    conn.send(long, { compress: false });
    conn.send(middle);
    conn.send("end", { compress: true });
    conn.ping(utf8("ping"));
    conn.close(4000, "bye");
    assertEquals(conn.queuedMessages, 7);
    assertEquals(conn.queuedBytes, 2 * long.length + 3 * middle.length + 5 + 3);
    const seen: string[] = [];
    for (;;) {
      const { first, payload } = await it.next();
      const packed = (first & RSV1) !== 0;
      const message = packed ? (await it.inflate(payload))! : payload;
      const opcode = first & 15;
      if (opcode === BINARY) {
        assertBytes(message, message.length === middle.length ? middle : long);
      }
      if (opcode !== PING) seen.push(`${packed ? "packed " : ""}${opcode} ${message.length}`);
      if (opcode === 8) break;
    }
    assertEquals(seen, [
      "packed 2 1000",
      `packed 2 ${3 << 20}`,
      "1 5",
      "packed 2 1000",
      `2 ${3 << 20}`,
      "packed 2 1000",
      "packed 1 3",
      "8 5",
    ]);
  },
);

testRaw("a ping overtakes a message that is being compressed", async (open) => {
  await using it = await connected(open);
  it.conn.send(json(16 << 20), { transfer: true });
  it.conn.ping(utf8("first"));
  assertEquals((await it.next()).payload, utf8("first"));
  assertEquals((await it.next()).first, FIN | RSV1 | BINARY);
});

testRaw(
  "the caller may change the buffer after send returns, even if compression takes long",
  async (open) => {
    await using it = await connected(open);
    const message = json(2 << 20), sent = message.slice();
    it.conn.send(message);
    message.fill(0);
    assertBytes(await it.inflate((await it.next()).payload), sent);
  },
);

testRaw(
  "the queue counts uncompressed bytes until the kernel has accepted the whole message",
  async (open) => {
    await using it = await connected(open, {}, { highWaterMark: 1 << 20, maxQueueBytes: 0 });
    const { conn } = it;
    // Far more than the kernel accepts, so that the end of the message stays in the queue.
    const length = 12 << 20;
    assertEquals(conn.send(noise(length), { compress: true }), false);
    assertEquals(conn.queuedBytes, length);
    await until(() => workQueue.size === 0);
    assert(await standstill(() => conn.stats().bytesSent) < length);
    assertEquals(conn.queuedBytes, length);
    assertEquals(conn.queuedMessages, 1);
    const drained = conn.drained();
    const { payload } = await it.next();
    assert(payload.length > length, "random bytes can't be compressed");
    await drained;
    assertEquals(conn.queuedBytes, 0);
  },
);

testRaw(
  "compressible messages count with their uncompressed length",
  async (open) => {
    await using it = await connected(open, {}, { maxQueueBytes: 1 << 20 });
    const { conn } = it;
    conn.send(new Uint8Array(800_000));
    assertEquals(conn.queuedBytes, 800_000);
    const error = assertThrows(() => conn.send(new Uint8Array(300_000)), QueueFullError);
    assertEquals(error.data, new Uint8Array(300_000));
    assertThrows(() => conn.send("x".repeat(300_000)), QueueFullError);
    assertEquals(conn.queuedBytes, 800_000);
  },
);

testRaw(
  "the policy close drops the whole queue, and the message that is being compressed",
  async (open) => {
    await using it = await connected(open, {}, { maxQueueBytes: 4 << 20, whenQueueFull: "close" });
    const { conn } = it;
    conn.send(json(3 << 20));
    conn.send("behind it");
    assertEquals(conn.send(json(3 << 20)), false);
    assertEquals(workQueue.size, 0);
    const { first, payload } = await it.next();
    assertEquals(first & 15, 8);
    assertEquals(payload, Uint8Array.of(1013 >> 8, 1013 & 255));
  },
);

testRaw("fragments are compressed as one message", async (open) => {
  await using it = await connected(open, { threshold: 5 });
  const { conn } = it;
  const long = json(1 << 20);
  conn.sendFragment("ä");
  conn.sendFragment("Hel\ud83c");
  conn.sendFragment("\udf0d");
  conn.sendFragment("", { final: true });
  conn.sendFragment(long);
  conn.sendFragment(long);
  conn.sendFragment(Uint8Array.of(1, 2, 3), { final: true });
  conn.sendFragment("tiny", { final: true });
  conn.sendFragment("large", { final: true });
  conn.sendFragment("a", { compress: false });
  conn.sendFragment("b", { final: true });
  const seen: number[] = [];
  const messages: Uint8Array[] = [];
  let packed = false, plain: Uint8Array[] = [];
  while (messages.length < 5) {
    const { first, payload } = await it.next();
    seen.push(first);
    if ((first & 15) !== CONTINUATION) packed = (first & RSV1) !== 0;
    const final = (first & FIN) !== 0;
    if (packed) {
      const message = await it.inflate(payload, final);
      if (final) messages.push(message!);
    } else {
      plain.push(payload);
      if (final) {
        messages.push(join(plain));
        plain = [];
      }
    }
  }
  assertEquals(new TextDecoder().decode(messages[0]), "äHel🌍");
  assertBytes(messages[1], join([long, long, Uint8Array.of(1, 2, 3)]));
  assertEquals(messages.slice(2), [utf8("tiny"), utf8("large"), utf8("ab")]);
  assertEquals(seen, [
    ...[RSV1 | TEXT, CONTINUATION, CONTINUATION, FIN | CONTINUATION],
    ...[RSV1 | BINARY, CONTINUATION, FIN | CONTINUATION],
    ...[FIN | TEXT, FIN | RSV1 | TEXT],
    ...[TEXT, FIN | CONTINUATION],
  ]);
});

testRaw("terminate stops compression", async (open) => {
  await using it = await connected(open);
  it.conn.send(json(10 << 20));
  assertEquals(workQueue.size, 1);
  it.conn.terminate();
  assertEquals(workQueue.size, 0);
  const { unsentMessages, unsentBytes } = await it.conn.closed;
  assertEquals([unsentMessages, unsentBytes], [1, 10 << 20]);
});

testPair("close during compression sends all messages first", async (open) => {
  const messages: (string | Uint8Array)[] = [];
  await using ends = await open({
    compression: true,
    maxMessageSize: 0,
    onMessage: (_conn, data) => void messages.push(data),
  }, { compression: true });
  const { client } = ends;
  const message = json(8 << 20);
  client.send(message);
  client.send("last");
  client.close();
  assert((await client.closed).wasClean);
  assert((await ends.server.closed).wasClean);
  assertBytes(messages[0] as Uint8Array, message);
  assertEquals(messages[1], "last");
});

testRaw(
  "a payload that is delivered as a view is valid during its callback, split or not",
  async (open) => {
    const seen: Uint8Array[] = [];
    await using it = await agreed(open, {
      payload: "view",
      async onMessage(_conn, data) {
        await turn();
        seen.push((data as Uint8Array).slice());
      },
    });
    const deflater = new Deflater(TAKEOVER);
    const sent = [json(100), json(5000, 2), noise(70_000), json(100, 3)];
    for (const message of sent) {
      await it.raw.send(frameOf(FIN | RSV1 | BINARY, deflater.deflate(message, true).slice()));
    }
    deflater.close();
    await until(() => seen.length === sent.length);
    for (let i = 0; i < sent.length; i++) assertBytes(seen[i], sent[i]);
  },
);
