// What a hostile HTTP/2 client can do: frames written byte by byte, and the bounds for them.
import { assert, assertEquals } from "@std/assert";
import type { ListenOptions } from "../../mod.ts";
import { concat, repeat, utf8 } from "../support/bytes.ts";
import { frame, masked, TEXT } from "../support/frames.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldBlock,
  GOAWAY,
  HEADERS,
  http2Frame,
  Http2Peer,
  PING,
  RawHttp2,
  RST_STREAM,
  SETTINGS,
  uint32,
  WINDOW_UPDATE,
} from "../support/http2_peer.ts";
import { standstill, until } from "../support/until.ts";
import { serve as listening, type Served } from "./_serve.ts";

const CANCEL = uint32(8);
const PROTOCOL_ERROR = 1, REFUSED_STREAM = 7, ENHANCE_YOUR_CALM = 11;

/** A listener whose handler answers with `body`; `asked` returns the number of its calls. */
function serve(
  options: ListenOptions = {},
  body: () => BodyInit = () => "hello",
): Served & { asked(): number } {
  let asked = 0;
  const handler = () => {
    asked++;
    return new Response(body());
  };
  return { ...listening({ handler, ...options }), asked: () => asked };
}

const GET = fieldBlock([":method", "GET"], [":scheme", "http"], [":path", "/"], [
  ":authority",
  "h",
]);
const WEBSOCKET: [string, string][] = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "h"],
  ["sec-websocket-version", "13"],
];

/** A request without a body. */
function get(stream: number): Uint8Array {
  return http2Frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
}

function ask(stream: number, ...fields: [string, string][]): Uint8Array {
  return http2Frame(HEADERS, END_HEADERS, stream, fieldBlock(...fields));
}

/** Reads in the background until the end of the connection. */
function draining(peer: RawHttp2): { end: Promise<number | null> } {
  return { end: peer.end() };
}

/** Writes until the other side ends the connection. */
async function flood(peer: RawHttp2, bytes: Uint8Array, most: number): Promise<void> {
  for (let n = 0; n < most; n++) {
    try {
      await peer.write(bytes);
    } catch {
      return;
    }
  }
}

function codeOf({ payload }: { payload: Uint8Array }): number {
  return new DataView(payload.buffer).getUint32(payload.length === 4 ? 0 : 4);
}

for (const acknowledged of [false, true]) {
  const how = acknowledged ? "ends the connection" : "is refused, before our settings are known";
  Deno.test(`the 251st stream ${how}`, async () => {
    const gate = Promise.withResolvers<Response>();
    let asked = 0;
    await using on = serve({
      handler: () => {
        asked++;
        return gate.promise;
      },
    });
    using peer = await RawHttp2.connect(on.port);
    if (acknowledged) await peer.write(http2Frame(SETTINGS, ACK, 0));
    await peer.write(...Array.from({ length: 251 }, (_, n) => get(2 * n + 1)));
    if (acknowledged) {
      assertEquals(await peer.end(), PROTOCOL_ERROR);
    } else {
      const { stream, payload } = await peer.next(RST_STREAM);
      assertEquals([stream, codeOf({ payload })], [501, REFUSED_STREAM]);
      gate.resolve(new Response("late"));
      for (let n = 0; n < 250; n++) await peer.next(HEADERS);
    }
    assert(asked <= 250);
  });
}

Deno.test("rapid reset (CVE-2023-44487): the connection ends after about 1,000 resets at once", async () => {
  await using on = serve();
  using peer = await RawHttp2.connect(on.port);
  const { end } = draining(peer);
  let stream = 1;
  for (let n = 0; n < 200; n++) {
    const parts: Uint8Array[] = [];
    for (let m = 0; m < 100; m++, stream += 2) {
      parts.push(get(stream), http2Frame(RST_STREAM, 0, stream, CANCEL));
    }
    try {
      await peer.write(...parts);
    } catch {
      break;
    }
  }
  assert(await end !== null);
  assert(on.asked() <= 1_400, `the handler was called ${on.asked()} times`);
});

Deno.test("a field list beyond maxHeaderBytes, or of too many fields, ends only its stream", async () => {
  await using on = serve({ maxHeaderBytes: 4096, maxHeaderFields: 20 });
  await using client = await Http2Peer.connect(on.port);
  assertEquals(client.settings.maxHeaderListSize, 4096);
  using peer = await RawHttp2.connect(on.port);
  const large = concat(GET, fieldBlock(["x-large", "x".repeat(5000)]));
  const fields = (count: number) =>
    concat(
      GET,
      fieldBlock(...Array.from({ length: count }, (_, n): [string, string] => [`x${n}`, "y"])),
    );
  for (const [n, block] of [large, fields(22)].entries()) {
    await peer.write(http2Frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block));
    assertEquals((await peer.next(HEADERS)).stream, 2 * n + 1);
    assertEquals((await on.refused.next()).status, 431);
  }
  await peer.write(http2Frame(HEADERS, END_HEADERS | END_STREAM, 5, fields(40)));
  const { stream, payload } = await peer.next(RST_STREAM);
  assertEquals([stream, codeOf({ payload })], [5, ENHANCE_YOUR_CALM]);
  await peer.write(get(7));
  assertEquals((await peer.next(HEADERS)).stream, 7);
  assertEquals(on.asked(), 1);
});

for (const maxHeaderFields of [0, Infinity, 5000]) {
  Deno.test(`more than 1,024 fields end their stream with maxHeaderFields: ${maxHeaderFields}`, async () => {
    await using on = serve({ maxHeaderFields, maxHeaderBytes: 0 });
    using peer = await RawHttp2.connect(on.port);
    // `:authority` counts as one, since it becomes `Host`.
    const most = concat(GET, repeat(fieldBlock(["a", ""]), 1023));
    const ask = (stream: number, block: Uint8Array) =>
      peer.write(http2Frame(HEADERS, END_HEADERS | END_STREAM, stream, block));
    await ask(1, most);
    assertEquals((await peer.next(DATA)).stream, 1);
    await ask(3, concat(most, fieldBlock(["a", ""])));
    assertEquals((await peer.next(HEADERS)).stream, 3);
    assertEquals((await on.refused.next()).status, 431);
    await ask(5, concat(GET, repeat(fieldBlock(["a", ""]), 2600)));
    const { stream, payload } = await peer.next(RST_STREAM);
    assertEquals([stream, codeOf({ payload })], [5, ENHANCE_YOUR_CALM]);
    await ask(7, GET);
    assertEquals((await peer.next(HEADERS)).stream, 7);
    assertEquals(on.asked(), 2);
  });
}

for (
  const [name, first, bytes] of [
    ["SETTINGS", [], http2Frame(SETTINGS, 0, 0)],
    ["empty DATA", [ask(1, ...WEBSOCKET)], http2Frame(DATA, 0, 1)],
    ["CONTINUATION", [http2Frame(HEADERS, 0, 1, GET)], http2Frame(CONTINUATION, 0, 1)],
    ["unknown frames", [], http2Frame(77, 0, 0)],
  ] as const
) {
  Deno.test(`a flood of ${name} ends the connection`, async () => {
    await using on = serve();
    using peer = await RawHttp2.connect(on.port);
    const { end } = draining(peer);
    await peer.write(...first);
    await flood(peer, repeat(bytes, 1000), 1000);
    await end;
    await using client = await Http2Peer.connect(on.port);
    assertEquals((await client.request({ ":path": "/" })).body, "hello");
  });
}

Deno.test("a flood of PING stops the client if it doesn't read the answers", async () => {
  await using on = serve();
  using peer = await RawHttp2.connect(on.port);
  const pings = repeat(http2Frame(PING, 0, 0, new Uint8Array(8)), 1000);
  let written = 0;
  const writing = (async () => {
    for (; written < 20_000; written++) await peer.write(pings);
  })();
  writing.catch(() => {});
  // The kernels buffer some of both directions.
  const stood = await standstill(() => written);
  assert(stood < 2000, `${stood * pings.length} bytes were accepted`);
  await using client = await Http2Peer.connect(on.port);
  assertEquals((await client.request({ ":path": "/" })).body, "hello");
  peer.close();
  await writing.catch(() => {});
});

Deno.test("a client without a stream that doesn't read is given up after httpIdleTimeout, too", async () => {
  await using on = serve({ httpIdleTimeout: 1500 });
  using peer = await RawHttp2.connect(on.port);
  // More answers than the kernel takes, so that the end can't be written.
  const pings = repeat(http2Frame(PING, 0, 0, new Uint8Array(8)), 1000);
  for (let failed = false; !failed;) await peer.write(pings).catch(() => failed = true);
});

Deno.test("an upgrade of HTTP/1.1, and malformed pseudo-headers, are protocol errors", async () => {
  await using on = serve();
  const get: [string, string][] = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "h"],
  ];
  const without = (name: string) => WEBSOCKET.filter(([other]) => other !== name);
  const malformed: [string, string][][] = [
    [...get, ["connection", "upgrade"], ["upgrade", "websocket"]],
    [...get, ["upgrade", "websocket"]],
    [...get, ["transfer-encoding", "chunked"]],
    [...get, [":protocol", "websocket"]],
    [...get, [":path", "/"]],
    [...get, [":unknown", "x"]],
    [...get, ["Upper", "x"]],
    [["a", "b"], ...get],
    without(":path"),
    without(":scheme"),
    without(":authority"),
    [...without(":path"), [":path", "elsewhere"]],
    [...without(":path"), [":path", ""]],
    [...without(":path"), [":path", "*"]],
    [...without(":authority"), [":authority", "user@h"]],
  ];
  for (const fields of malformed) {
    using peer = await RawHttp2.connect(on.port);
    await peer.write(ask(1, ...fields));
    let code: number | null = null;
    // A stream error or a connection error; RFC 9113 8.1.1 and 5.4.1 allow both.
    while (code === null) {
      const frame = await peer.frame();
      if (frame === null) break;
      if (frame.type === RST_STREAM || frame.type === GOAWAY) code = codeOf(frame);
    }
    assertEquals(code, PROTOCOL_ERROR, JSON.stringify(fields));
  }
  assertEquals(on.asked(), 0);
});

Deno.test("a CONNECT that ends its stream is refused; frames directly after a CONNECT are read", async () => {
  await using on = serve();
  using peer = await RawHttp2.connect(on.port);
  const block = fieldBlock(...WEBSOCKET);
  await peer.write(http2Frame(HEADERS, END_HEADERS | END_STREAM, 1, block));
  await peer.next(HEADERS);
  assertEquals((await on.refused.next()).status, 400);
  await peer.write(
    ask(3, ...WEBSOCKET),
    http2Frame(DATA, 0, 3, masked(frame(TEXT, "early"))),
  );
  for (;;) {
    const { stream, payload } = await peer.next(DATA);
    if (stream !== 3) continue;
    assertEquals(payload, frame(TEXT, "early"));
    break;
  }
});

Deno.test("bytes after the preface that aren't a frame end the connection", async () => {
  await using on = serve();
  for (
    const bytes of [
      utf8("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
      http2Frame(DATA, 0, 0, utf8("x")),
      http2Frame(SETTINGS, 0, 0, utf8("x")),
      http2Frame(WINDOW_UPDATE, 0, 0, uint32(0)),
      http2Frame(HEADERS, END_HEADERS, 2, GET),
      http2Frame(HEADERS, END_HEADERS, 1, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
    ]
  ) {
    using peer = await RawHttp2.connect(on.port);
    await peer.write(bytes);
    assert(await peer.end() !== 0);
  }
});

Deno.test("GOAWAY at any place, split at any byte, ends neither the process nor open streams", async () => {
  await using on = serve();
  const goaway = http2Frame(GOAWAY, 0, 0, concat(uint32(0), uint32(0), utf8("bye")));
  const sent = concat(
    goaway,
    ask(1, ...WEBSOCKET),
    http2Frame(SETTINGS, ACK, 0),
    goaway,
    http2Frame(DATA, 0, 1, masked(frame(TEXT, "hello"))),
    goaway,
  );
  for (const size of [1, 3, 7, 10, sent.length]) {
    using peer = await RawHttp2.connect(on.port);
    for (let at = 0; at < sent.length; at += size) await peer.write(sent.subarray(at, at + size));
    assertEquals((await peer.next(DATA)).payload, frame(TEXT, "hello"));
    (await on.opened.next()).terminate();
    await peer.next(RST_STREAM);
  }
  // Within a read that contains other frames, and followed by the end of the stream.
  for (let n = 0; n < 100; n++) {
    using peer = await RawHttp2.connect(on.port);
    await peer.write(get(13));
    while ((await peer.next(DATA)).flags !== END_STREAM);
    await peer.write(http2Frame(SETTINGS, ACK, 0), goaway);
  }
  await using client = await Http2Peer.connect(on.port);
  assertEquals((await client.request({ ":path": "/" })).body, "hello");
});

Deno.test("a GOAWAY frame that comes in several reads is dropped completely", async () => {
  await using on = serve();
  using peer = await RawHttp2.connect(on.port);
  // Frames of the maximum length. No read contains a whole one, so most reads begin within a frame.
  const goaway = http2Frame(GOAWAY, 0, 0, new Uint8Array(16_384).fill(255));
  await peer.write(http2Frame(SETTINGS, ACK, 0), repeat(goaway, 20), get(1));
  assertEquals((await peer.next(HEADERS)).stream, 1);
  assertEquals(on.refused.events, []);
});

Deno.test("the end of the client's direction ends the connection and its streams", async () => {
  await using on = serve();
  using peer = await RawHttp2.connect(on.port);
  await peer.write(ask(1, ...WEBSOCKET));
  const conn = await on.opened.next();
  await peer.conn.closeWrite();
  assertEquals((await conn.closed).code, 1006);
  await peer.end();
});

Deno.test("a client that opens no window, or reads nothing, is disconnected after httpIdleTimeout", async () => {
  let cancelled = 0;
  const endless = () =>
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(16 * 1024)),
      cancel: () => void cancelled++,
    });
  await using on = serve({ httpIdleTimeout: 100 }, endless);
  using peer = await RawHttp2.connect(on.port);
  await peer.write(get(1));
  assertEquals(codeOf(await peer.next(RST_STREAM)), 8);
  assertEquals(cancelled, 1);
  // With the largest windows, and a socket that isn't read.
  using deaf = await RawHttp2.connect(on.port);
  const huge = concat(Uint8Array.of(0, 4), uint32(0x7fffffff));
  await deaf.write(
    http2Frame(SETTINGS, 0, 0, huge),
    http2Frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff0000 - 65535)),
    get(1),
    get(3),
    get(5),
  );
  const before = Deno.memoryUsage().rss;
  await until(() => cancelled === 4);
  assert(Deno.memoryUsage().rss - before < 64 << 20);
});

Deno.test("a WebSocket whose client reads nothing keeps its messages queued, even with large windows", async () => {
  await using on = serve({ keepAlive: false, maxQueueBytes: 0 });
  using deaf = await RawHttp2.connect(on.port);
  const huge = concat(Uint8Array.of(0, 4), uint32(0x7fffffff));
  await deaf.write(
    http2Frame(SETTINGS, 0, 0, huge),
    http2Frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff0000 - 65535)),
    ask(1, ...WEBSOCKET),
  );
  const conn = await on.opened.next();
  const message = new Uint8Array(64 * 1024);
  for (let n = 0; n < 1024; n++) conn.send(message);
  const queued = await standstill(() => conn.queuedBytes);
  // The kernel has accepted a few MiB.
  assert(queued > 48 << 20, `only ${queued} bytes wait`);
});

Deno.test("a connection without a stream ends after httpIdleTimeout, with GOAWAY", async () => {
  await using on = serve({ httpIdleTimeout: 50 });
  using silent = await RawHttp2.connect(on.port);
  assertEquals(await silent.end(), 0);
  using used = await RawHttp2.connect(on.port);
  await used.write(ask(1, ...WEBSOCKET));
  const conn = await on.opened.next();
  const { end } = draining(used);
  let ended = false;
  end.then(() => ended = true);
  // An open WebSocket keeps the connection open; the timeout begins after its end.
  await standstill(() => used.seen.length);
  assertEquals(ended, false);
  conn.terminate();
  assertEquals(await end, 0);
});

Deno.test("a preface that never ends is ended by handshakeTimeout", async () => {
  await using on = serve({ handshakeTimeout: 50 });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: on.port });
  await conn.write(utf8("PRI * HTTP/2.0\r\n"));
  assertEquals((await on.refused.next()).name, "TimeoutError");
});
