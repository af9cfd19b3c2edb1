import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Connection, Context, HandshakeError, type ListenOptions } from "../../mod.ts";
import { concat, join, text, utf8 } from "../support/bytes.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { EventLog } from "../support/event_log.ts";
import { CLOSE, closeFrame, frame, masked, PING, PONG, TEXT } from "../support/frames.ts";
import { head, RawPeer, upgradeRequest } from "../support/raw_peer.ts";

/** A listener that echoes messages, and records the handshakes that it has refused. */
function echoListener(options: ListenOptions = {}) {
  const ctx = new Context();
  const refused = new EventLog<unknown>();
  const connected = new EventLog<Connection>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    port: 0,
    onConnect: (conn) => connected.push(conn),
    onMessage: (conn, data) => conn.send(data),
    onHandshakeError: (error) => refused.push(error),
    ...options,
  });
  return { ctx, port: listener.port, refused, connected };
}

/** Sends a request, and reads the whole response that refuses it. */
async function refusal(port: number, request: Uint8Array) {
  using peer = await RawPeer.dial(port);
  await peer.write(request);
  return await peer.response();
}

Deno.test("frames in the segment of the request's head are received, at every split", async () => {
  const { ctx, port } = echoListener();
  await using _ctx = ctx;
  const request = upgradeRequest();
  const frames = join([frame(TEXT, "early €"), frame(PING, "p")].map((plain) => masked(plain)));
  const bytes = concat(request, frames);
  for (let cut = request.length - 6; cut <= bytes.length; cut++) {
    using peer = await RawPeer.dial(port);
    await peer.write(bytes.subarray(0, cut));
    if (cut < bytes.length) await peer.write(bytes.subarray(cut));
    assertStringIncludes(await peer.readHead(), "HTTP/1.1 101 Switching Protocols\r\n");
    const answers = [await peer.frame(), await peer.frame()];
    // The pong may overtake the echo, since control frames have their own queue.
    answers.sort((a, b) => a!.opcode - b!.opcode);
    assertEquals(answers.map((answer) => [answer!.opcode, text(answer!.payload)]), [
      [TEXT, "early €"],
      [PONG, "p"],
    ]);
  }
});

Deno.test("early frames wait for the promise of onConnect", async () => {
  const steps: string[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const entered = new EventLog<void>();
  const { ctx, port } = echoListener({
    onConnect: async () => {
      entered.push();
      await gate;
      steps.push("connected");
    },
    onMessage: (conn, data) => {
      steps.push(String(data));
      conn.send(data);
    },
  });
  await using _ctx = ctx;
  using peer = await RawPeer.dial(port);
  const early = [frame(TEXT, "a"), frame(TEXT, "b"), frame(PING, "p")];
  await peer.write(concat(upgradeRequest(), peer.encode(...early)));
  await peer.readHead();
  await entered.next();
  // The ping is answered in the meantime, which also shows that both messages have been decoded.
  assertEquals((await peer.frame())?.opcode, PONG);
  assertEquals(steps, []);
  open();
  assertEquals(text((await peer.frame())!.payload), "a");
  assertEquals(text((await peer.frame())!.payload), "b");
  assertEquals(steps, ["connected", "a", "b"]);
});

Deno.test("a head that comes byte by byte, followed by a close frame, is accepted", async () => {
  const { ctx, port } = echoListener();
  await using _ctx = ctx;
  using peer = await RawPeer.dial(port);
  await peer.writeChopped(concat(upgradeRequest(), masked(closeFrame(4000, "bye"))), 1);
  await peer.readHead();
  assertEquals((await peer.frame())?.opcode, CLOSE);
  assertEquals(await peer.frame(), null);
});

Deno.test("the 101 has the fields of RFC 6455 4.2.2, and the listener's headers", async () => {
  const { ctx, port, connected } = echoListener({
    headers: { "Set-Cookie": ["a=1", "b=2"], "X-Served-By": "sluice" },
    protocols: ["superchat", "chat"],
  });
  await using _ctx = ctx;
  using peer = await RawPeer.connect(port, {
    "Sec-WebSocket-Protocol": "chat, superchat",
    "Origin": "https://example.com",
  }, "GET /room?id=7 HTTP/1.1");
  assertEquals(peer.head.split("\r\n").slice(0, -2).sort(), [
    "Connection: Upgrade",
    "HTTP/1.1 101 Switching Protocols",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "Sec-WebSocket-Protocol: superchat",
    "Set-Cookie: a=1",
    "Set-Cookie: b=2",
    "Upgrade: websocket",
    "X-Served-By: sluice",
  ]);
  const conn = await connected.next();
  assertEquals([conn.role, conn.protocol, conn.extensions], ["server", "superchat", ""]);
  assertEquals(conn.url, "ws://127.0.0.1/room?id=7");
  assertEquals(conn.request?.headers.get("origin"), "https://example.com");
  assertEquals(conn.responseHeaders?.getSetCookie(), ["a=1", "b=2"]);
});

const REFUSED: [name: string, status: number, request: Uint8Array, answer: string][] = [
  ["no upgrade", 426, head("GET / HTTP/1.1", "Host: h"), "Upgrade: websocket"],
  ["HTTP/1.0", 426, upgradeRequest({}, "GET / HTTP/1.0"), "Upgrade: websocket"],
  [
    "version 8",
    426,
    upgradeRequest({ "Sec-WebSocket-Version": "8" }),
    "Sec-WebSocket-Version: 13",
  ],
  [
    "no version",
    426,
    upgradeRequest({ "Sec-WebSocket-Version": null }),
    "Sec-WebSocket-Version: 13",
  ],
  ["POST", 405, upgradeRequest({}, "POST / HTTP/1.1"), "Allow: GET"],
  ["no key", 400, upgradeRequest({ "Sec-WebSocket-Key": null }), "Connection: close"],
  ["a short key", 400, upgradeRequest({ "Sec-WebSocket-Key": "c2hvcnQ=" }), "Connection: close"],
  ["no host", 400, upgradeRequest({ "Host": null }), "Connection: close"],
  ["a bad host", 400, upgradeRequest({ "Host": "a b" }), "Connection: close"],
  [
    "a host that doesn't form a URL",
    400,
    upgradeRequest({ "Host": "h:99999" }),
    "Connection: close",
  ],
  ["a body", 400, upgradeRequest({ "Content-Length": "5" }), "Connection: close"],
  [
    "a subprotocol that isn't a token",
    400,
    upgradeRequest({ "Sec-WebSocket-Protocol": "a b" }),
    "Connection: close",
  ],
  ["bytes that aren't HTTP", 400, utf8("\x16\x03\x01 hello\r\n\r\n"), "Connection: close"],
  ["HTTP/2", 505, utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "Connection: close"],
];

for (const [name, status, request, line] of REFUSED) {
  Deno.test(`a handshake with ${name} is refused with ${status}`, async () => {
    const { ctx, port, refused, connected } = echoListener();
    await using _ctx = ctx;
    const answer = await refusal(port, request);
    assertEquals(answer.status, status);
    assertStringIncludes(answer.head, `\r\n${line}`);
    assertEquals(
      Number(/content-length: (\d+)/i.exec(answer.head)?.[1]),
      utf8(answer.body).length,
    );
    const error = await refused.next() as HandshakeError;
    assert(error instanceof HandshakeError);
    assertEquals(error.status, status);
    assertEquals(connected.events, []);
  });
}

Deno.test("an endless head is refused with 431, and no reset destroys the response", async () => {
  const { ctx, port, refused } = echoListener({ maxHeaderBytes: 2000 });
  await using _ctx = ctx;
  using peer = await RawPeer.dial(port);
  await peer.write(utf8("GET / HTTP/1.1\r\nHost: h\r\n"));
  const line = utf8(`X-Endless: ${"y".repeat(1000)}\r\n`);
  for (let n = 0; n < 50; n++) await peer.write(line);
  assertEquals((await peer.response()).status, 431);
  peer.close();
  assertEquals((await refused.next() as HandshakeError).status, 431);
});

Deno.test("a head of exactly maxHeaderBytes is accepted", async () => {
  const request = upgradeRequest({ "X-Padding": "y".repeat(500) });
  const { ctx, port } = echoListener({ maxHeaderBytes: request.length });
  await using _ctx = ctx;
  using peer = await RawPeer.dial(port);
  await peer.write(request);
  assertStringIncludes(await peer.readHead(), " 101 ");
  const longer = upgradeRequest({ "X-Padding": "y".repeat(501) });
  assertEquals((await refusal(port, longer)).status, 431);
});

Deno.test("a handshake that doesn't come is refused with 408", async () => {
  for (const start of ["", "GET / HTTP/1.1\r\nHost:"]) {
    const { ctx, port, refused } = echoListener({ handshakeTimeout: 30 });
    await using _ctx = ctx;
    using peer = await RawPeer.dial(port);
    await peer.write(utf8(start));
    assertEquals((await peer.response()).status, 408);
    peer.close();
    const error = await refused.next() as Error;
    assertEquals([error.name, error.message], ["TimeoutError", "No handshake within 30 ms"]);
  }
});

Deno.test("an onHandshake that takes too long leads to 408", async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const { ctx, port, connected } = echoListener({
    handshakeTimeout: 30,
    onHandshake: () => promise,
  });
  await using _ctx = ctx;
  assertEquals((await refusal(port, upgradeRequest())).status, 408);
  resolve(true);
  assertEquals(connected.events, []);
});

Deno.test("a peer that disconnects in the middle of its head is reported", async () => {
  const { ctx, port, refused } = echoListener();
  await using _ctx = ctx;
  using peer = await RawPeer.dial(port);
  await peer.write(utf8("GET / HT"));
  peer.close();
  assert(await refused.next() instanceof Deno.errors.UnexpectedEof);
});

Deno.test("connections above maxConnections are refused with 503, until one has closed", async () => {
  const { ctx, port, refused, connected } = echoListener({ maxConnections: 1 });
  await using _ctx = ctx;
  using first = await RawPeer.connect(port);
  assertEquals((await refusal(port, upgradeRequest())).status, 503);
  assertEquals((await refused.next() as HandshakeError).status, 503);
  const conn = await connected.next();
  await first.send(closeFrame(1000));
  await conn.closed;
  using _second = await RawPeer.connect(port);
});

Deno.test("a shutdown answers unfinished handshakes with 503", async () => {
  const { ctx, port, refused } = echoListener();
  using peer = await RawPeer.dial(port);
  await peer.write(utf8("GET / HTTP/1.1\r\n"));
  // A later handshake shows that the listener has accepted the first connection.
  using other = await RawPeer.connect(port);
  const down = ctx.shutdown();
  assertEquals((await peer.response()).status, 503);
  assertEquals((await other.frame())?.opcode, CLOSE);
  await other.send(closeFrame(1001));
  peer.close();
  await refused.next();
  await down;
});

type Answer = Awaited<ReturnType<NonNullable<ListenOptions["onHandshake"]>>>;
const SPOKEN = upgradeRequest({
  "Sec-WebSocket-Protocol": "chat, superchat",
  "Sec-WebSocket-Extensions": "x-custom; a=1",
});
const DECISIONS: [
  name: string,
  decision: () => Answer | Promise<Answer>,
  status: number,
  lines: string[],
  body?: string,
][] = [
  ["true", () => true, 101, []],
  ["undefined", () => undefined, 101, []],
  ["null", () => null, 101, []],
  ["false", () => false, 403, []],
  ["an empty object", () => ({}), 101, []],
  [
    "a Response with headers",
    () =>
      new Response("go away", {
        status: 401,
        headers: [["WWW-Authenticate", "Basic"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]],
      }),
    401,
    ["www-authenticate: Basic", "set-cookie: a=1", "set-cookie: b=2"],
    "go away",
  ],
  [
    "a redirect",
    () => Response.redirect("https://example.com/there", 307),
    307,
    ["location: https://example.com/there"],
    "",
  ],
  ["a Response without body", () => new Response(null, { status: 204 }), 204, [], ""],
  [
    "headers, several cookies among them",
    () => ({ headers: { "Set-Cookie": ["a=1", "b=2"], "X-One": "1" } }),
    101,
    ["Set-Cookie: a=1", "Set-Cookie: b=2", "X-One: 1"],
  ],
  [
    "Headers with several cookies",
    () => ({ headers: new Headers([["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]]) }),
    101,
    ["set-cookie: a=1", "set-cookie: b=2"],
  ],
  ["a protocol", () => ({ protocol: "chat" }), 101, ["Sec-WebSocket-Protocol: chat"]],
  [
    "extensions",
    () => ({ extensions: "x-custom; a=1" }),
    101,
    ["Sec-WebSocket-Extensions: x-custom; a=1"],
  ],
  ["a protocol that wasn't offered", () => ({ protocol: "other" }), 500, []],
  ["a header that the handshake owns", () => ({ headers: { Upgrade: "h2c" } }), 500, []],
  ["a header that would inject another", () => ({ headers: { "X-A": "1\r\nX-B: 2" } }), 500, []],
  [
    "a throw",
    () => {
      throw new Error("secret");
    },
    500,
    [],
  ],
  ["a rejection", () => Promise.reject(new Error("secret")), 500, []],
];

for (const [name, decision, status, lines, body] of DECISIONS) {
  for (const isAsync of [false, true]) {
    Deno.test(`onHandshake that returns ${isAsync ? "a promise of " : ""}${name} leads to ${status}`, async () => {
      let request: Request | undefined;
      const { ctx, port, refused, connected } = echoListener({
        onHandshake: (received, info) => {
          request = received;
          assertEquals((info.remoteAddr as Deno.NetAddr).hostname, "127.0.0.1");
          return isAsync ? Promise.resolve().then(decision) : decision();
        },
      });
      await using _ctx = ctx;
      using peer = await RawPeer.dial(port);
      await peer.write(SPOKEN);
      await peer.readHead();
      const received = peer.head.split("\r\n");
      assertStringIncludes(received[0], `HTTP/1.1 ${status}`);
      for (const line of lines) assert(received.includes(line), `${line} in ${peer.head}`);
      assertEquals(request?.headers.get("sec-websocket-protocol"), "chat, superchat");
      if (status === 101) {
        if (!lines.some((line) => line.startsWith("Sec-"))) {
          assert(!/sec-websocket-(protocol|extensions)/i.test(peer.head));
        }
        await peer.send(frame(TEXT, "x"));
        assertEquals((await peer.frame())?.opcode, TEXT);
        await connected.next();
      } else {
        const rest = text(await peer.rest());
        if (body !== undefined) assertEquals(rest, body);
        assert(!(peer.head + rest).includes("secret"));
        peer.close();
        const error = await refused.next() as HandshakeError;
        assertEquals([error.name, error.status], ["HandshakeError", status]);
        if (name === "a throw") assertEquals((error.cause as Error).message, "secret");
      }
    });
  }
}

Deno.test("a connection has the data of onHandshake, or of the listener", async () => {
  const { ctx, port, connected } = echoListener({
    data: "listener",
    onHandshake: (request) => request.url.endsWith("/own") ? { data: "own" } : true,
  });
  await using _ctx = ctx;
  using _first = await RawPeer.connect(port, {}, "GET /own HTTP/1.1");
  assertEquals((await connected.next()).data, "own");
  using _second = await RawPeer.connect(port);
  assertEquals((await connected.next()).data, "listener");
});

const ORIGINS: [rule: ListenOptions["origins"], origin: string | null, isAllowed: boolean][] = [
  [["https://a.example"], "https://a.example", true],
  [["https://a.example"], "https://b.example", false],
  [["https://a.example"], "https://a.example.evil", false],
  [["https://a.example"], null, true],
  [["https://a.example"], "null", false],
  [["null"], "null", true],
  [/^https:\/\/[a-z]+\.example$/g, "https://b.example", true],
  [/^https:\/\/[a-z]+\.example$/g, "http://b.example", false],
  [/.*/, "null", false],
  [(origin) => origin.endsWith(".test"), "https://x.test", true],
  [(origin) => origin.endsWith(".test"), "https://x.prod", false],
  [undefined, "https://anything", true],
];

Deno.test("origins are accepted by list, pattern and function, others refused with 403", async () => {
  for (const [origins, origin, isAllowed] of ORIGINS) {
    const { ctx, port } = echoListener({ origins });
    await using _ctx = ctx;
    // Twice, since a pattern with the flag g keeps its position.
    for (let round = 0; round < 2; round++) {
      const answer = isAllowed
        ? { status: (await RawPeer.connect(port, { Origin: origin })).close() ?? 101 }
        : await refusal(port, upgradeRequest({ Origin: origin }));
      assertEquals(answer.status, isAllowed ? 101 : 403, `${origins} ${origin}`);
    }
  }
});

Deno.test("a rule for origins that throws leads to 500 without the error's text", async () => {
  const { ctx, port, refused } = echoListener({
    origins: () => {
      throw new Error("secret");
    },
  });
  await using _ctx = ctx;
  const answer = await refusal(port, upgradeRequest({ Origin: "https://a.example" }));
  assertEquals(answer.status, 500);
  assert(!answer.body.includes("secret"));
  assertEquals(((await refused.next() as HandshakeError).cause as Error).message, "secret");
});

Deno.test("the subprotocol is selected by the listener's order or by selectProtocol, or there is none", async () => {
  const cases: [ListenOptions, string | null, string | null | 500][] = [
    [{ protocols: ["b", "a"] }, "a, b", "b"],
    [{ protocols: ["b"] }, "a, c", null],
    [{ protocols: ["b"] }, null, null],
    [{}, "a", null],
    [{ selectProtocol: (offered) => offered.at(-1) }, "a, b, c", "c"],
    [{ selectProtocol: () => "" }, "a", null],
    [{ selectProtocol: () => undefined }, "a", null],
    [{ selectProtocol: () => "z" }, "a", 500],
    [
      {
        selectProtocol: () => {
          throw new Error("x");
        },
      },
      "a",
      500,
    ],
    [{ selectProtocol: (_, request) => new URL(request.url).pathname.slice(1) }, "a, b", "b"],
    [{ protocols: ["a"], onHandshake: () => ({ protocol: "" }) }, "a", null],
    [{ protocols: ["a"], onHandshake: () => ({ protocol: "b" }) }, "a, b", "b"],
  ];
  for (const [options, offered, expected] of cases) {
    const { ctx, port } = echoListener(options);
    await using _ctx = ctx;
    const changes = { "Sec-WebSocket-Protocol": offered };
    if (expected === 500) {
      assertEquals((await refusal(port, upgradeRequest(changes))).status, 500);
    } else {
      using peer = await RawPeer.connect(port, changes, "GET /b HTTP/1.1");
      const got = /sec-websocket-protocol: (.*)\r/i.exec(peer.head)?.[1] ?? null;
      assertEquals(got, expected, `${offered}`);
    }
  }
});

Deno.test("an onHandshakeError that throws is only reported to the console", async () => {
  using shown = new ConsoleErrors();
  const { ctx, port } = echoListener({
    onHandshakeError: () => {
      throw new Error("in the callback");
    },
  });
  await using _ctx = ctx;
  assertEquals((await refusal(port, head("GET / HTTP/1.1", "Host: h"))).status, 426);
  assertStringIncludes(await shown.next(), "in the callback");
  using _peer = await RawPeer.connect(port);
});
