import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type CloseRecord,
  type Connection,
  type ConnectOptions,
  Context,
  HandshakeError,
  TimeoutError,
} from "../../mod.ts";
import { concat, join, text, utf8 } from "../support/bytes.ts";
import { CLOSE, closeFrame, frame, PING, PONG, TEXT } from "../support/frames.ts";
import { failure } from "../support/failure.ts";
import { head, rawListener, RawPeer, upgradeResponse, urlOf } from "../support/raw_peer.ts";

/** Connects, and records the calls of the callbacks in order. */
function connect(ctx: Context, url: string, options: ConnectOptions = {}) {
  const steps: string[] = [];
  const errors: unknown[] = [];
  const { promise: over, resolve } = Promise.withResolvers<CloseRecord>();
  const conn = ctx.connect(url, {
    onConnect: () => void steps.push("connect"),
    onError: (_conn, error) => {
      steps.push("error");
      errors.push(error);
    },
    onClose: (_conn, record) => {
      steps.push("close");
      resolve(record);
    },
    ...options,
  });
  return { conn, steps, errors, over };
}

Deno.test("frames in the segment of the 101 are received, at every split", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  const frames = join([frame(TEXT, "early €"), frame(PING, "p"), closeFrame(1000, "done")]);
  const length = upgradeResponse("").length + frames.length;
  for (let cut = upgradeResponse("").length - 6; cut <= length; cut++) {
    const messages: unknown[] = [];
    const { conn, over, steps } = connect(ctx, urlOf(listener), {
      onMessage: (_conn, data) => void messages.push(data),
    });
    using peer = new RawPeer(await listener.accept(), "server");
    const bytes = concat(upgradeResponse(await peer.readHead()), frames);
    assertEquals(bytes.length, length);
    await peer.write(bytes.subarray(0, cut));
    if (cut < length) await peer.write(bytes.subarray(cut));
    const answers = [await peer.frame(), await peer.frame()];
    assertEquals(answers.map((answer) => answer?.opcode), [PONG, CLOSE], `cut at ${cut}`);
    peer.close();
    const record = await over;
    assertEquals([messages, steps], [["early €"], ["connect", "close"]], `cut at ${cut}`);
    assertEquals([record.code, record.reason, record.wasClean], [1000, "done", true]);
    assertEquals((await conn.opened).protocol, "");
  }
});

Deno.test("early frames wait for a consumer", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  const conn = ctx.connect(urlOf(listener));
  using _peer = await RawPeer.accept(listener, { behind: [frame(TEXT, "a"), frame(TEXT, "b")] });
  await conn.opened;
  assertEquals([await conn.receive(), await conn.receive()], ["a", "b"]);
  conn.terminate();
});

Deno.test("a 101 that comes byte by byte after interim responses is accepted", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  const { conn, steps } = connect(ctx, urlOf(listener));
  using peer = new RawPeer(await listener.accept(), "server");
  const answer = upgradeResponse(await peer.readHead(), "Set-Cookie: a=1", "Set-Cookie: b=2");
  await peer.writeChopped(concat(head("HTTP/1.1 103 Early Hints", "Link: </a>"), answer), 1);
  const { headers } = await conn.opened;
  assertEquals(headers.getSetCookie(), ["a=1", "b=2"]);
  assertEquals([conn.state, steps], ["open", ["connect"]]);
  conn.terminate();
});

Deno.test("the request has the fields of RFC 6455 4.1, and the application's headers", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  const { conn } = connect(ctx, urlOf(listener, "/a%20b?c=d"), {
    protocols: ["one", "two"],
    extensions: ["x-custom; a=1"],
    headers: { "Authorization": "Basic x", "Cookie": ["a=1", "b=2"] },
  });
  using peer = await RawPeer.accept(listener, {
    lines: ["Sec-WebSocket-Protocol: two", "Sec-WebSocket-Extensions: x-custom; a=1"],
  });
  const lines = peer.head.split("\r\n").slice(0, -2);
  assertEquals(lines[0], "GET /a%20b?c=d HTTP/1.1");
  const key = lines.find((line) => line.startsWith("Sec-WebSocket-Key: "))!;
  assertEquals(atob(key.slice(19)).length, 16);
  assertEquals(lines.slice(1).filter((line) => line !== key).sort(), [
    "Authorization: Basic x",
    "Connection: Upgrade",
    "Cookie: a=1",
    "Cookie: b=2",
    `Host: 127.0.0.1:${listener.addr.port}`,
    "Sec-WebSocket-Extensions: x-custom; a=1",
    "Sec-WebSocket-Protocol: one, two",
    "Sec-WebSocket-Version: 13",
    "Upgrade: websocket",
  ]);
  const info = await conn.opened;
  assertEquals([info.protocol, info.extensions], ["two", "x-custom; a=1"]);
  assertEquals([conn.protocol, conn.extensions], ["two", "x-custom; a=1"]);
  assertEquals(conn.responseHeaders?.get("upgrade"), "websocket");
  conn.terminate();
});

Deno.test("fault 41: folded fields in a 101 are accepted, whole and byte by byte", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  for (const size of [Infinity, 1]) {
    const { conn } = connect(ctx, urlOf(listener), { protocols: ["one", "two"] });
    using peer = new RawPeer(await listener.accept(), "server");
    const answer = text(upgradeResponse(await peer.readHead(), "X-Note: a", "X-Empty: b"))
      .replace("Accept: ", "Accept:\r\n\t ")
      .replace("X-Note: a", "Sec-WebSocket-Protocol: \r\n two\r\nX-Note: a \r\n  b\r\n\tc")
      .replace("X-Empty: b", "X-Empty:\r\n \r\n \t");
    await peer.writeChopped(utf8(answer), size);
    const { headers, protocol } = await conn.opened;
    assertEquals(protocol, "two");
    assertEquals(headers.get("x-note")?.replace(/ +/g, " "), "a b c");
    assertEquals(headers.get("x-empty"), "");
    conn.terminate();
  }
});

Deno.test("fault 41: a folded status line is refused, and a long fold takes linear time", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  for (const start of ["HTTP/1.1 101 a\r\n b\r\n", " HTTP/1.1 101 a\r\n"]) {
    const { conn } = connect(ctx, urlOf(listener));
    using peer = new RawPeer(await listener.accept(), "server");
    const answer = text(upgradeResponse(await peer.readHead()));
    await peer.write(start + answer.slice(answer.indexOf("\n") + 1));
    assert(await failure(conn.opened) instanceof HandshakeError);
  }
  const start = performance.now();
  for (const space of [" ".repeat(15_000), "\r\n ".repeat(5000)]) {
    const { conn } = connect(ctx, urlOf(listener));
    using peer = new RawPeer(await listener.accept(), "server");
    await peer.write(upgradeResponse(await peer.readHead(), `X: a${space}b`));
    await conn.opened;
    conn.terminate();
  }
  assert(performance.now() - start < 1000);
});

Deno.test("fault 48: an empty Sec-WebSocket-Protocol means none, if none was offered", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  for (const protocols of [undefined, []]) {
    const { conn } = connect(ctx, urlOf(listener), { protocols });
    using _peer = await RawPeer.accept(listener, { lines: ["Sec-WebSocket-Protocol:"] });
    assertEquals((await conn.opened).protocol, "");
    assertEquals(conn.protocol, "");
    conn.terminate();
  }
});

const BODY = "x".repeat(5000);
const good = (...lines: string[]) => (request: string) => upgradeResponse(request, ...lines);
const without = (name: string, instead = "") => (request: string) => {
  const lines = text(upgradeResponse(request)).split("\r\n").slice(0, -2);
  return head(...lines.filter((line) => !line.startsWith(name)), ...(instead ? [instead] : []));
};
const ANSWERS: [
  name: string,
  answer: (request: string) => Uint8Array,
  status: number,
  message: string,
  body?: string,
][] = [
  [
    "403 with a body",
    () => concat(head("HTTP/1.1 403 Forbidden", "Content-Length: 4", "X-Why: no"), utf8("nope")),
    403,
    "the server answered 403 Forbidden",
    "nope",
  ],
  [
    "302",
    () => head("HTTP/1.1 302 Found", "Location: https://example.com/", "Content-Length: 0"),
    302,
    'answered 302 Found to "https://example.com/", which is not followed',
    "",
  ],
  [
    "200 and a chunked body",
    () =>
      concat(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), utf8("3\r\nabc\r\n0\r\n\r\n")),
    200,
    "answered 200 OK",
    "abc",
  ],
  [
    "500 and an endless body, of which 4 KiB are kept",
    () => concat(head("HTTP/1.1 500 Oops"), utf8(BODY)),
    500,
    "answered 500 Oops",
    BODY.slice(0, 4096),
  ],
  ["garbage", () => utf8("SSH-2.0-OpenSSH_9.2\r\n\r\n"), 0, "Cannot open ws://"],
  ["a frame without a head", () => concat(frame(TEXT, "hi"), utf8("\r\n\r\n")), 0, "Cannot open"],
  [
    "an endless head",
    () => utf8("HTTP/1.1 101 S\r\nX: " + "y".repeat(20_000)),
    0,
    "Cannot open",
  ],
  [
    "a wrong accept",
    without("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    101,
    "Sec-WebSocket-Accept doesn't answer our key",
  ],
  ["no accept", without("Sec-WebSocket-Accept"), 101, "Sec-WebSocket-Accept"],
  ["no upgrade", without("Upgrade"), 101, 'Upgrade must be "websocket"'],
  ["another upgrade", without("Upgrade", "Upgrade: h2c"), 101, 'not "h2c"'],
  ["no connection", without("Connection"), 101, 'Connection must contain "Upgrade"'],
  [
    "a subprotocol that wasn't offered",
    good("Sec-WebSocket-Protocol: other"),
    101,
    '"other" wasn\'t offered',
  ],
  [
    "two subprotocols",
    good("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    101,
    "wasn't offered",
  ],
  [
    "an extension that wasn't offered",
    good("Sec-WebSocket-Extensions: permessage-deflate"),
    101,
    '"permessage-deflate" wasn\'t offered',
  ],
  ["malformed extensions", good("Sec-WebSocket-Extensions: ;"), 101, "malformed"],
];

for (const [name, answer, status, message, body] of ANSWERS) {
  Deno.test(`the response of a server with ${name} leads to a HandshakeError`, async () => {
    await using ctx = new Context();
    using listener = rawListener();
    const { conn, steps, errors, over } = connect(ctx, urlOf(listener), { protocols: "chat" });
    using peer = new RawPeer(await listener.accept(), "server");
    const bytes = answer(await peer.readHead());
    await peer.write(bytes);
    const error = await failure(conn.opened) as HandshakeError;
    assert(error instanceof HandshakeError, String(error));
    assertEquals(error.status, status);
    assertStringIncludes(error.message, message);
    if (status === 403) assertEquals(error.headers.get("x-why"), "no");
    if (body !== undefined) assertEquals(text(error.body), body);
    const record = await over;
    assertEquals([steps, errors], [["error", "close"], [error]]);
    assertEquals([record.code, record.cause, record.wasClean], [1006, error, false]);
    assertEquals([conn.state, ctx.connections.size], ["closed", 0]);
    // The stream is closed: the peer gets the end, or a reset if it had more to send.
    await peer.rest().catch((error) => assert(error instanceof Deno.errors.ConnectionReset));
  });
}

Deno.test("a server that ends without a response leads to a HandshakeError with status 0", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  for (const start of ["", "HTTP/1.1 101"]) {
    const { conn, steps, over } = connect(ctx, urlOf(listener));
    const peer = new RawPeer(await listener.accept(), "server");
    await peer.readHead();
    await peer.write(utf8(start));
    peer.close();
    const error = await failure(conn.opened) as HandshakeError;
    assertEquals([error.name, error.status], ["HandshakeError", 0]);
    assertStringIncludes(error.message, "no answer");
    await over;
    assertEquals(steps, ["error", "close"]);
  }
});

Deno.test("a server that never answers leads to a TimeoutError with the phase", async () => {
  await using ctx = new Context();
  using listener = rawListener();
  const { conn, steps, errors, over } = connect(ctx, urlOf(listener), { connectTimeout: 30 });
  using peer = new RawPeer(await listener.accept(), "server");
  const error = await failure(conn.opened);
  assert(error instanceof TimeoutError);
  assertEquals(
    error.message,
    `Cannot connect to ${
      urlOf(listener)
    }: timed out after 30 ms while waiting for the answer to the handshake`,
  );
  assertEquals((await over).cause, error);
  assertEquals([steps, errors], [["error", "close"], [error]]);
  await peer.rest();
});

const CANCELS: [name: string, cancel: (conn: Connection, controller: AbortController) => void][] = [
  ["close()", (conn) => conn.close()],
  ["terminate()", (conn) => conn.terminate()],
  ["its signal", (_conn, controller) => controller.abort(new Error("enough"))],
];

for (const [name, cancel] of CANCELS) {
  for (const when of ["at once", "in the middle of the handshake"]) {
    Deno.test(`an attempt that is cancelled by ${name} ${when} leads to AbortError and onClose, without onError`, async () => {
      await using ctx = new Context();
      using listener = rawListener();
      const controller = new AbortController();
      const { conn, steps, over } = connect(ctx, urlOf(listener), { signal: controller.signal });
      let peer: RawPeer | null = null;
      if (when !== "at once") {
        peer = new RawPeer(await listener.accept(), "server");
        await peer.readHead();
      }
      cancel(conn, controller);
      cancel(conn, controller);
      const error = await failure(conn.opened) as DOMException;
      assert(error instanceof DOMException);
      assertEquals(error.name, "AbortError");
      if (name === "its signal") assertEquals((error.cause as Error).message, "enough");
      else assertStringIncludes(error.message, name);
      const record = await over;
      assertEquals([steps, record.code, record.cause], [["close"], 1006, error]);
      assertEquals([conn.state, conn.queuedBytes, ctx.connections.size], ["closed", 0, 0]);
      if (peer !== null) {
        await peer.rest();
        peer.close();
      }
    });
  }
}

Deno.test("with an aborted signal no connection is made", async () => {
  await using ctx = new Context();
  const { conn, steps, over } = connect(ctx, "ws://127.0.0.1:9/", { signal: AbortSignal.abort() });
  assertEquals(conn.state, "connecting");
  assertEquals((await failure(conn.opened)).name, "AbortError");
  await over;
  assertEquals(steps, ["close"]);
});

Deno.test("aborting a signal after the connection is open has no effect", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage: (conn, data) => conn.send(data),
  });
  const controller = new AbortController();
  const conn = ctx.connect(listener.url, { signal: controller.signal });
  await conn.opened;
  controller.abort();
  conn.send("still here");
  assertEquals(await conn.receive(), "still here");
});

Deno.test("a refused port leads to onError, then onClose, and opened rejects", async () => {
  await using ctx = new Context();
  const listener = rawListener();
  const url = urlOf(listener);
  listener.close();
  const { conn, steps, errors, over } = connect(ctx, url);
  const error = await failure(conn.opened);
  assert(error instanceof Deno.errors.ConnectionRefused);
  const record = await over;
  assertEquals([steps, errors], [["error", "close"], [error]]);
  assertEquals([record.cause, record.initiator, record.wasClean], [error, null, false]);
});

Deno.test("a host that doesn't resolve leads to onError, then onClose, and opened rejects", async () => {
  await using ctx = new Context();
  const { conn, steps, over } = connect(ctx, "ws://no-such-host.invalid/");
  assert(await failure(conn.opened) instanceof Error);
  await over;
  assertEquals(steps, ["error", "close"]);
});

Deno.test("a failure that is neither awaited nor handled doesn't end the process", async () => {
  await using ctx = new Context();
  const listener = rawListener();
  const url = urlOf(listener);
  listener.close();
  const conn = ctx.connect(url);
  conn.opened;
  assertEquals((await conn.closed).code, 1006);
});
