// Ordinary HTTP on a listener's port (RFC 9110, RFC 9112).
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context, type HandshakeError, type HttpHandler, type ListenOptions } from "../../mod.ts";
import { ConsoleErrors } from "../support/console_errors.ts";
import { EventLog } from "../support/event_log.ts";
import { fieldOf, RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { failure } from "../support/failure.ts";
import { turn, until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { VirtualClock } from "../support/virtual_clock.ts";

const UPGRADE = new TextDecoder().decode(upgradeRequest());

function server(handler: HttpHandler, options: ListenOptions = {}) {
  const ctx = new Context();
  const refused = new EventLog<HandshakeError>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    handler,
    onHandshakeError: (error) => refused.push(error as HandshakeError),
    ...options,
  });
  return {
    ctx,
    listener,
    port: listener.port,
    refused,
    async [Symbol.asyncDispose]() {
      await ctx.shutdown({ timeout: 0 });
    },
  };
}

/** Sends a text, one byte per code unit, and reads until the end of the stream. */
async function talk(port: number, sent: string): Promise<string> {
  using peer = await RawPeer.dial(port);
  await peer.write(Uint8Array.from(sent, (char) => char.charCodeAt(0)));
  return new TextDecoder("latin1").decode(await peer.rest());
}

/** The status codes in a text. No body in these tests looks like a status line. */
function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
}

function request(path: string, ...lines: string[]): string {
  return [`GET ${path} HTTP/1.1`, "Host: h", ...lines, "", ""].join("\r\n");
}

const LAST = "Connection: close";

/** A connection in memory whose client sends requests as fast as they are read. */
class EagerClient {
  readonly remoteAddr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 1 };
  readonly localAddr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.2", port: 2 };
  /** The number of bytes of requests that were read, and of responses that were written. */
  taken = 0;
  answers = 0;
  closed = Promise.withResolvers<null>();

  read(into: Uint8Array): Promise<number | null> {
    const one = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (let at = 0; at < into.length; at++) {
      into[at] = one.charCodeAt((this.taken + at) % one.length);
    }
    this.taken += into.length;
    return new Promise((resolve) => setTimeout(resolve, 0, into.length));
  }

  write(bytes: Uint8Array): Promise<number> {
    this.answers += new TextDecoder().decode(bytes).split("200 OK").length - 1;
    return Promise.resolve(bytes.length);
  }

  closeWrite = () => Promise.resolve();
  close = () => this.closed.resolve(null);
}

Deno.test("fault 4: one buffer is read ahead of a client that doesn't wait for responses", async () => {
  const client = new EagerClient();
  const ended = Promise.withResolvers<never>();
  let accepted = false;
  const gate = Promise.withResolvers<void>();
  let asked = 0;
  await using _on = server(async () => {
    asked++;
    await gate.promise;
    return new Response("ok");
  }, {
    hostname: undefined,
    listener: {
      addr: client.localAddr,
      accept: () => {
        if (accepted) return ended.promise;
        accepted = true;
        return Promise.resolve(client);
      },
      close: () => ended.reject(new Deno.errors.BadResource()),
      ref() {},
      unref() {},
    } as unknown as Deno.Listener,
  });
  // The number of turns of the event loop without another read.
  let before = -1, still = 0;
  await until(() => {
    still = asked === 1 && client.taken === before ? still + 1 : 0;
    before = client.taken;
    return still === 50 || before > 1 << 20;
  });
  assert(client.taken <= 64 * 1024, `${client.taken} bytes were read`);
  gate.resolve();
  await until(() => client.answers > 20_000);
  assert(asked - client.answers <= 1);
});

for (
  const [name, answer] of [
    ["a long poll", () => new Promise<Response>(() => {})],
    [
      "a silent event stream",
      (cancelled: () => void) => new Response(new ReadableStream({ cancel: cancelled })),
    ],
    ["an event stream that has begun", (cancelled: () => void) =>
      new Response(
        new ReadableStream({
          start: (controller) => controller.enqueue(new TextEncoder().encode(": hello\n\n")),
          cancel: cancelled,
        }),
      )],
  ] as const
) {
  for (const more of ["", "GET /next HT"]) {
    Deno.test(`fault 28: a FIN ends ${name} at once${more && ", with more input before it"}`, async () => {
      const asked = Promise.withResolvers<void>();
      const aborted = Promise.withResolvers<void>();
      const cancelled = Promise.withResolvers<void>();
      await using on = server((request) => {
        request.signal.addEventListener("abort", () => aborted.resolve());
        asked.resolve();
        return answer(() => cancelled.resolve());
      }, { maxConnections: 1 });
      using peer = await RawPeer.dial(on.port);
      await peer.write(request("/poll") + more);
      await asked.promise;
      await peer.conn.closeWrite();
      await aborted.promise;
      if (name !== "a long poll") await cancelled.promise;
      await peer.rest();
      // The connection doesn't count any more.
      const next = await RawPeer.connect(on.port);
      next.close();
      on.listener.close();
      await on.listener.finished;
    });
  }
}

Deno.test("fault 28: a client that disconnects in the middle of its body ends the request", async () => {
  const failed = new EventLog<Error>();
  await using on = server(async (request) => {
    await request.text().catch((error) => failed.push(error));
    return new Response("late");
  });
  using peer = await RawPeer.dial(on.port);
  await peer.write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  await peer.conn.closeWrite();
  // Either the end of the connection aborts the request first, or a read of the body fails first.
  assertMatch((await failed.next()).message, /ended|disconnected in the middle/);
  assertEquals(await peer.rest(), new Uint8Array(0));
});

for (const isTls of [false, true]) {
  Deno.test(`fault 42: TRACE and unregistered methods reach the handler${isTls ? " over TLS" : ""}`, async () => {
    using certificates = isTls ? makeCertificates() : null;
    await using on = server(
      (request) => new Response(`${request.method} ${request.clone().method}`),
      certificates === null ? {} : { tls: certificates.server },
    );
    for (const method of ["TRACE", "TRACK", "PURGE", "patch", "get"]) {
      const conn = certificates === null
        ? await Deno.connect({ hostname: "127.0.0.1", port: on.port })
        : await Deno.connectTls({
          hostname: "localhost",
          port: on.port,
          caCerts: [certificates.ca],
        });
      using peer = new RawPeer(conn, "client");
      await peer.write(`${method} / HTTP/1.1\r\nHost: h\r\n${LAST}\r\n\r\n`);
      assertEquals((await peer.response()).body, `${method} ${method}`);
    }
  });
}

Deno.test("fault 43: request.url has the host that the client has sent, and never an internal one", async () => {
  await using on = server((request) => new Response(request.url));
  const own = `http://127.0.0.1:${on.port}`;
  for (
    const [sent, url] of [
      [`GET /a HTTP/1.0\r\n\r\n`, `${own}/a`],
      [`GET /a HTTP/1.0\r\nHost: example.com\r\n\r\n`, "http://example.com/a"],
      [request("/a?b", LAST), "http://h/a?b"],
      [`GET / HTTP/1.1\r\nHost:\r\n${LAST}\r\n\r\n`, `${own}/`],
      [`GET http://x:81/y HTTP/1.1\r\nHost: h\r\n${LAST}\r\n\r\n`, "http://x:81/y"],
    ]
  ) {
    const text = await talk(on.port, sent);
    assertMatch(text, /^HTTP\/1\.1 200 /, sent);
    assertEquals(text.split("\r\n\r\n")[1], url, sent);
  }
  for (const host of ["", "Host: a%zz\r\n", "Host: h:99999\r\n", "Host: h\r\nHost: h\r\n"]) {
    const text = await talk(on.port, `GET / HTTP/1.1\r\n${host}\r\n`);
    assertMatch(text, /^HTTP\/1\.1 400 /, host);
  }
  assertMatch(await talk(on.port, "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n"), /^HTTP\/1\.1 400 /);
});

Deno.test("fault 44: nothing is processed after the last request of a connection", async () => {
  const asked: string[] = [];
  await using on = server(({ url }) => {
    asked.push(new URL(url).pathname);
    return new Response("ok", url.endsWith("/closing") ? { headers: { Connection: "close" } } : {});
  });
  for (
    const first of [
      request("/last", LAST),
      request("/closing"),
      "GET /old HTTP/1.0\r\n\r\n",
      "GET /old HTTP/1.0\r\nConnection: close\r\n\r\n",
    ]
  ) {
    for (const second of [UPGRADE, request("/second")]) {
      const text = await talk(on.port, first + second);
      assertEquals(statuses(text), [200], first);
      assertMatch(text, /\r\nconnection: close\r\n/i);
    }
  }
  assert(!asked.includes("/second"));
});

Deno.test("a connection of an HTTP/1.0 client can be kept, and has no chunks", async () => {
  await using on = server(({ url }) =>
    new Response(url.endsWith("/stream") ? ReadableStream.from(pieces("abc")) : "ok")
  );
  const text = await talk(
    on.port,
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  );
  const [first, second, third] = text.split("\r\n\r\n");
  assertMatch(first, /\r\nconnection: keep-alive/i);
  assertMatch(second, /^okHTTP\/1\.1 200 /);
  assert(!/transfer-encoding|content-length/i.test(second.slice(2)));
  assertEquals(third, "abc");
});

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  for (const char of text) {
    await turn();
    yield new TextEncoder().encode(char);
  }
}

Deno.test("fault 45: the framing of a response without content follows its status", async () => {
  await using on = server(({ url }) => {
    const status = Number(new URL(url).pathname.slice(1));
    return new Response(null, { status, headers: status === 304 ? { "Content-Length": "7" } : {} });
  });
  using peer = await RawPeer.dial(on.port);
  for (const [status, length] of [[204, null], [205, "0"], [304, "7"], [200, "0"]] as const) {
    await peer.write(request(`/${status}`));
    const head = await peer.readHead();
    assertEquals([statuses(head)[0], fieldOf(head, "Content-Length")], [status, length]);
    assertEquals(fieldOf(head, "Transfer-Encoding"), null);
  }
  await peer.request();
});

const CONTENT: [name: string, make: () => BodyInit, framing: "length" | "chunked", text: string][] =
  [
    ["a string", () => "hello", "length", "hello"],
    ["nothing", () => "", "length", ""],
    ["a stream of one piece", () => new Blob(["x"]).stream(), "length", "x"],
    ["a stream that takes its time", () => ReadableStream.from(pieces("abc")), "chunked", "abc"],
    [
      "two large pieces",
      () => ReadableStream.from([new Uint8Array(200_000).fill(97), new Uint8Array(1)]),
      "chunked",
      "a".repeat(200_000) + "\0",
    ],
    ["a large string", () => "b".repeat(300_000), "length", "b".repeat(300_000)],
    [
      "empty pieces",
      () => ReadableStream.from([new Uint8Array(0), new Uint8Array(0)]),
      "chunked",
      "",
    ],
  ];

for (const [name, make, framing, text] of CONTENT) {
  Deno.test(`a response with ${name} is framed by ${framing}`, async () => {
    await using on = server(() => new Response(make()));
    const url = `http://127.0.0.1:${on.port}/`;
    const response = await fetch(url);
    const isChunked = response.headers.get("transfer-encoding") === "chunked";
    assertEquals(isChunked ? "chunked" : "length", framing);
    assertEquals(await response.text(), text);
    if (framing === "length") {
      assertEquals(response.headers.get("content-length"), `${text.length}`);
    }
    assertMatch(response.headers.get("date")!, /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/);
    // The response to HEAD has the same fields as far as they are known, and no content.
    using peer = await RawPeer.dial(on.port);
    await peer.write(`HEAD / HTTP/1.1\r\nHost: h\r\n${LAST}\r\n\r\n`);
    const answer = await peer.response();
    assertEquals(answer.body, "");
    const length = fieldOf(answer.head, "Content-Length");
    assertEquals(length, framing === "length" ? `${text.length}` : null);
  });
}

Deno.test("the handler gets a whole body, and an unread one doesn't disturb the next request", async () => {
  await using on = server(async (request) => {
    const path = new URL(request.url).pathname;
    if (path === "/read") return new Response(await request.text());
    if (path === "/some") {
      const reader = request.body!.getReader();
      await reader.read();
      await reader.cancel();
    }
    return new Response(path);
  });
  const body = "x".repeat(100_000);
  const post = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const chunks = "POST /read HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
    "3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
  const text = await talk(
    on.port,
    post("/none") + post("/read") + post("/some") + chunks + request("/end", LAST),
  );
  assertEquals(statuses(text), [200, 200, 200, 200, 200]);
  assertEquals(text.split("\r\n\r\n").map((part) => part.split("HTTP/1.1")[0]), [
    "",
    "/none",
    body,
    "/some",
    "abcde",
    "/end",
  ]);
});

Deno.test("the body of a GET is skipped", async () => {
  await using on = server((request) => new Response(String(request.body)));
  const text = await talk(on.port, request("/", "Content-Length: 3") + "abc" + request("/", LAST));
  assertEquals(statuses(text), [200, 200]);
});

Deno.test("after a final response instead of a 100, nothing more is read from the client", async () => {
  await using on = server(() => new Response("no"));
  const text = await talk(
    on.port,
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
  );
  assertEquals(statuses(text), [200]);
  assertMatch(text, /connection: close/i);
});

Deno.test("an endless body that isn't read ends the connection after the response", async () => {
  await using on = server(() => new Response("no", { status: 413 }));
  using peer = await RawPeer.dial(on.port);
  await peer.write("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  const chunk = new TextEncoder().encode("1000\r\n" + "x".repeat(4096) + "\r\n");
  const flood = failure((async () => {
    for (;;) await peer.conn.write(chunk);
  })());
  assertEquals(statuses(await peer.readHead()), [413]);
  await flood;
});

for (
  const [name, handler] of [
    ["throws", () => {
      throw new Error("secret");
    }],
    ["rejects", () => Promise.reject(new Error("secret"))],
    ["returns something else", () => "secret" as unknown as Response],
    ["returns a Response whose body was used", async () => {
      const response = new Response("x");
      await response.text();
      return response;
    }],
    ["returns an error response", () => Response.error()],
    [
      "returns a body that fails at once",
      () =>
        new Response(
          new ReadableStream({ start: (controller) => controller.error(new Error("secret")) }),
        ),
    ],
    [
      "returns a body of strings",
      () =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue("secret" as unknown as Uint8Array),
          }),
        ),
    ],
  ] as [string, HttpHandler][]
) {
  Deno.test(`a handler that ${name} leads to 500, and the connection continues`, async () => {
    using said = new ConsoleErrors();
    await using on = server(handler);
    const text = await talk(on.port, request("/") + request("/", LAST));
    assertEquals(statuses(text), [500, 500]);
    assert(!text.includes("secret"));
    assertEquals(said.calls.length, 2);
  });
}

for (
  const [name, length, body] of [
    ["fails in the middle of it", null, ["abc", null]],
    ["is longer than announced", "2", ["abc"]],
    ["is shorter than announced", "4", ["abc"]],
  ] as [string, string | null, (string | null)[]][]
) {
  Deno.test(`a response whose content ${name} is cut, so that clients notice`, async () => {
    using said = new ConsoleErrors();
    await using on = server(() =>
      new Response(
        ReadableStream.from((async function* () {
          for (const part of body) {
            if (part === null) throw new Error("in the middle of it");
            yield* pieces(part);
          }
        })()),
        { headers: length === null ? {} : { "Content-Length": length } },
      )
    );
    const text = await talk(on.port, request("/") + request("/"));
    assertEquals(statuses(text), [200]);
    assert(!text.endsWith("0\r\n\r\n"));
    assertEquals(said.calls.length, 1);
  });
}

for (
  const [name, make] of [
    ["no content", () => null],
    ["empty content", () => ""],
    ["shorter content", () => "abc"],
    ["longer content", () => "abcdefgh"],
  ] as [string, () => string | null][]
) {
  Deno.test(`a response with ${name} and a wrong Content-Length is sent with the right one`, async () => {
    await using on = server(() =>
      new Response(make(), { headers: { "Content-Length": "5", "Content-Type": "text/plain" } })
    );
    // A wrong length would make a client take the next response for content.
    const text = await talk(on.port, request("/") + request("/", LAST));
    const content = make() ?? "";
    assertEquals(statuses(text), [200, 200]);
    assertEquals([...text.matchAll(/content-length: (\d+)/g)].map((match) => Number(match[1])), [
      content.length,
      content.length,
    ]);
    assert(text.endsWith(`\r\n\r\n${content}`));
  });
}

Deno.test("an empty first piece doesn't delay the head", async () => {
  await using on = server(() =>
    new Response(
      new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(0)) }),
    )
  );
  using peer = await RawPeer.dial(on.port);
  await peer.write(request("/"));
  const into = new Uint8Array(1000);
  const count = await peer.conn.read(into);
  assertMatch(new TextDecoder().decode(into.subarray(0, count!)), /chunked[^]*\r\n\r\n$/);
});

for (const [name, size] of [["small", 10], ["large", 1 << 20]] as const) {
  Deno.test(`a client that ends its direction after its requests gets ${name} responses that are ready`, async () => {
    await using on = server(async (request) => {
      const { length } = await request.text();
      return new Response(new Uint8Array(size + length));
    });
    using peer = await RawPeer.dial(on.port);
    await peer.write(
      request("/") + "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + request("/"),
    );
    await peer.conn.closeWrite();
    const text = new TextDecoder("latin1").decode(await peer.rest());
    assertEquals(statuses(text), [200, 200, 200]);
    assertEquals(text.split("\0").length - 1, 3 * size + 3);
  });
}

for (
  const [name, body] of [
    ["a size that is split by whitespace", "3 4\r\nabc\r\n0\r\n\r\n"],
    ["whitespace between the size and the data", "3 \tx\r\nabc\r\n0\r\n\r\n"],
    ["an extension with a control character", "3;a\x01\r\nabc\r\n0\r\n\r\n"],
    ["a request line in place of a trailer", "0\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n"],
    ["a trailer without a colon", "0\r\nfield\r\n\r\n"],
    ["a trailer with a control character", "0\r\na: \x00\r\n\r\n"],
  ]
) {
  Deno.test(`a chunked body with ${name} is refused`, async () => {
    await using on = server(async (request) => new Response(await request.text()));
    const text = await talk(
      on.port,
      `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${body}${
        request("/", LAST)
      }`,
    );
    assertEquals(statuses(text), [400]);
  });
}

Deno.test("a chunked body may have whitespace, extensions and trailers, split at any byte", async () => {
  await using on = server(async (request) => new Response(await request.text()));
  using peer = await RawPeer.dial(on.port);
  peer.conn.setNoDelay(true);
  const body = '3 \t\r\nabc\r\n2 ; x="y z"\r\nde\r\n0\r\nA: b\r\nC:\r\n\r\n';
  for (
    const char
      of `POST / HTTP/1.1\r\nHost: h\r\n${LAST}\r\nTransfer-Encoding: chunked\r\n\r\n${body}`
  ) {
    await peer.write(char);
  }
  assertEquals((await peer.response()).body, "abcde");
});

Deno.test("handlers that fail because of the client aren't reported to the console", async () => {
  using said = new ConsoleErrors();
  const done = new EventLog<void>();
  await using on = server(async (request) => {
    try {
      return new Response(await request.text());
    } finally {
      done.push();
    }
  });
  const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  assertMatch(await talk(on.port, head + "x\r\n"), /^HTTP\/1\.1 400 /);
  await done.next();
  const peer = await RawPeer.dial(on.port);
  await peer.write(head);
  peer.close();
  await done.next();
  assertEquals(said.calls, []);
});

Deno.test("an invalid head after ordinary requests is refused and reported", async () => {
  await using on = server(() => new Response("ok"), { maxHeaderFields: 4 });
  for (
    const [bad, status] of [
      ["GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", 400],
      [request("/", "A: 1", "B: 2", "C: 3", "D: 4"), 431],
    ] as const
  ) {
    assertEquals(statuses(await talk(on.port, request("/") + bad)), [200, status]);
    assertEquals((await on.refused.next()).status, status);
  }
});

Deno.test("httpIdleTimeout ends only connections that wait for the client", async () => {
  using clock = new VirtualClock();
  await using on = server(async ({ url, body }) => {
    if (url.endsWith("/slow")) await new Promise((resolve) => setTimeout(resolve, 150));
    if (body !== null) await failure(new Response(body).text());
    return new Response("ok");
  }, { httpIdleTimeout: 50 });
  // A handler may take longer.
  assertEquals(statuses(await clock.during(talk(on.port, request("/slow")))), [200]);
  const next = talk(on.port, request("/") + "GET / HTTP");
  assertEquals(statuses(await clock.during(next)), [200]);
  const rest = talk(on.port, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  assertEquals(await clock.during(rest), "");
});

Deno.test("an upgrade works after ordinary requests on the same connection", async () => {
  const gate = Promise.withResolvers<void>();
  await using on = server(async () => {
    await gate.promise;
    return new Response("ok");
  }, { onMessage: (conn, data) => void conn.send(data) });
  using peer = await RawPeer.dial(on.port);
  // The upgrade is read ahead while the request before it is answered. Reading continues after the response.
  await peer.write(request("/"));
  await peer.write(UPGRADE);
  await turn();
  gate.resolve();
  let text = "";
  const buffer = new Uint8Array(4096);
  while (!/ 101 [^]*\r\n\r\n/.test(text)) {
    const count = await peer.conn.read(buffer);
    text += new TextDecoder("latin1").decode(buffer.subarray(0, count!));
  }
  assertEquals(statuses(text), [200, 101]);
  for (const message of ["one", "two"]) {
    await peer.send(1, message);
    const count = await peer.conn.read(buffer);
    assertEquals(new TextDecoder().decode(buffer.subarray(2, count!)), message);
  }
});

Deno.test("the backlog is passed to the kernel; its default is 4,096", () => {
  // With Deno's sockets in any case, since only the arguments of the call can be checked.
  const ctx = new Context({ sockets: undefined });
  const { listen } = Deno;
  const asked: unknown[] = [];
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    asked.push(options.tcpBacklog);
    return listen(options);
  }) as typeof Deno.listen;
  try {
    ctx.listen({ hostname: "127.0.0.1" }).close();
    ctx.listen({ hostname: "127.0.0.1", backlog: 7 }).close();
  } finally {
    Deno.listen = listen;
  }
  assertEquals(asked, [4096, 7]);
});
