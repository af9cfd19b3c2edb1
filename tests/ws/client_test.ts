import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { Agent, type ClientRequest, createServer, type IncomingMessage } from "node:http";
import { createServer as createSecure } from "node:https";
import { type AddressInfo, connect, createServer as createNetServer } from "node:net";
import type { TLSSocket } from "node:tls";
import { makeCertificates } from "../transport/certificates.ts";
import { RawPeer, upgradeResponse } from "../support/raw_peer.ts";
import { both, type Subject } from "./_implementation.ts";
import { type ClientOptions, closing, next, record, serve } from "./_serve.ts";
import { mayFail } from "../support/failure.ts";

// The constructor of clients in the npm package ws: each option and each event of its reference.

/** A server that answers each request with a function. */
function answering(answer: (request: string) => string | Uint8Array | null) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const raws: RawPeer[] = [];
  const serving = (async () => {
    for await (const conn of listener) {
      const raw = new RawPeer(conn, "server");
      raws.push(raw);
      const answering = raw.readHead().then((head) => {
        const text = answer(head);
        if (text !== null) return raw.write(text);
      });
      mayFail(answering, "the client may disconnect");
    }
  })();
  return {
    url: `ws://127.0.0.1:${listener.addr.port}`,
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const raw of raws) raw.close();
      await serving;
    },
  };
}

async function failure(subject: Subject, url: string, options?: ClientOptions): Promise<Error> {
  const socket = new subject.WebSocket(url, options), log = record(socket);
  const [error] = await next(log, "error");
  assertEquals(await closing(log), [1006, ""]);
  return error;
}

both("new: valid addresses are accepted, invalid ones refused", async (ws) => {
  for (
    const [address, message] of [
      ["not a URL", "Invalid URL: not a URL"],
      [
        "ftp://127.0.0.1",
        'The URL\'s protocol must be one of "ws:", "wss:", "http:", "https:", or "ws+unix:"',
      ],
      ["ws://127.0.0.1/#fragment", "The URL contains a fragment identifier"],
      ["ws+unix:", "The URL's pathname is empty"],
    ]
  ) {
    const error = assertThrows(() => new ws.WebSocket(address), SyntaxError) as Error;
    assertEquals(error.message, message);
  }
  await using s = await serve(ws);
  for (const address of [s.url, new URL(s.url), s.url.replace("ws:", "http:")]) {
    const socket = new ws.WebSocket(address), log = record(socket);
    assertEquals(socket.url, `${s.url}/`);
    await next(log, "open");
    socket.close();
    await closing(log);
  }
});

both("new: valid subprotocols are offered, invalid ones refused", async (ws) => {
  for (const protocols of [["a", "a"], "no token", ["a,b"], [""], [1 as unknown as string]]) {
    const error = assertThrows(() => new ws.WebSocket("ws://127.0.0.1", protocols), SyntaxError);
    assertEquals((error as Error).message, "An invalid or duplicated subprotocol was specified");
  }
  await using s = await serve(ws);
  for (
    const args of [
      ["one", {}],
      [["one"]],
      [undefined, { protocols: ["one", "two"] }],
      [{ protocols: "one" }],
    ] as never[][]
  ) {
    const socket = new ws.WebSocket(s.url, ...args), log = record(socket);
    await next(log, "open");
    assertEquals(socket.protocol, "one");
    socket.close();
    await closing(log);
  }
});

both("new: protocolVersion is sent, and unsupported versions are refused", (ws) => {
  const error = assertThrows(
    () => new ws.WebSocket("ws://127.0.0.1", { protocolVersion: 12 }),
    RangeError,
  ) as Error;
  assertEquals(error.message, "Unsupported protocol version: 12 (supported versions: 8, 13)");
});

both("headers, origin and auth are sent, and upgrade is emitted", async (ws) => {
  await using s = await serve(ws);
  const url = s.url.replace("//", "//us%20er:pass@");
  const socket = new ws.WebSocket(`${url}/p?q`, { headers: { "X-Mine": "1" }, origin: "http://o" });
  const log = record(socket);
  const { request } = await s.accepted.next();
  assertEquals([request.url, request.headers["x-mine"], request.headers.origin], [
    "/p?q",
    "1",
    "http://o",
  ]);
  assertEquals(request.headers.authorization, `Basic ${btoa("us er:pass")}`);
  const [response] = await next(log, "upgrade") as [IncomingMessage];
  assertEquals([response.statusCode, response.headers.upgrade?.toLowerCase()], [101, "websocket"]);
  assertEquals((await log.next()).type, "open");
});

both(
  "unexpected-response: a listener handles the response; without one it is an error",
  async (ws) => {
    await using server = answering(() =>
      "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nX-Why: tests\r\n\r\nno"
    );
    assertEquals((await failure(ws, server.url)).message, "Unexpected server response: 401");
    const socket = new ws.WebSocket(server.url), log = record(socket);
    const [request, response] = await once(socket, "unexpected-response") as [
      ClientRequest,
      IncomingMessage,
    ];
    assertEquals([response.statusCode, response.headers["x-why"]], [401, "tests"]);
    let body = "";
    for await (const chunk of response) body += chunk;
    assertEquals(body, "no");
    request.destroy();
    socket.close();
    await closing(log);
  },
);

both("a response that doesn't match the request is an error", async (ws) => {
  const accept = (request: string) => new TextDecoder().decode(upgradeResponse(request));
  for (
    const [answer, message, options] of [
      [(r) => accept(r).replace("Upgrade: websocket", "Upgrade: other"), "Invalid Upgrade header"],
      [
        (r) => accept(r).replace(/Accept: .*/, "Accept: xxxx"),
        "Invalid Sec-WebSocket-Accept header",
      ],
      [
        (r) => accept(r).replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
        "Server sent a subprotocol but none was requested",
      ],
      [
        (r) => accept(r).replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
        "Server sent an invalid subprotocol",
        { protocols: "y" },
      ],
      [(r) => accept(r), "Server sent no subprotocol", { protocols: "y" }],
      [
        (r) =>
          accept(r).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        "Server sent a Sec-WebSocket-Extensions header but no extension was requested",
        { perMessageDeflate: false },
      ],
      [
        (r) => accept(r).replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: other\r\n\r\n"),
        "Server indicated an extension that was not requested",
      ],
      [
        (r) =>
          accept(r).replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate; nonsense\r\n\r\n",
          ),
        "Invalid Sec-WebSocket-Extensions header",
      ],
      [
        (r) =>
          accept(r).replace(
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n\r\n",
          ),
        "Invalid Sec-WebSocket-Extensions header",
        { perMessageDeflate: { clientMaxWindowBits: 10 } },
      ],
    ] as [(request: string) => string, string, ClientOptions?][]
  ) {
    await using server = answering(answer);
    assertEquals((await failure(ws, server.url, options)).message, message);
  }
});

both("handshakeTimeout ends a handshake that takes too long", async (ws) => {
  await using server = answering(() => null);
  const error = await failure(ws, server.url, { handshakeTimeout: 50 });
  assertEquals(error.message, "Opening handshake has timed out");
});

both("a port without a server leads to ECONNREFUSED", async (ws) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const error = await failure(ws, `ws://127.0.0.1:${port}`) as Error & { code: string };
  assertEquals(error.code, "ECONNREFUSED");
});

const redirection = (location: string) =>
  `HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;

both("a redirect is an error without followRedirects", async (ws) => {
  await using server = answering(() => redirection("/"));
  assertEquals((await failure(ws, server.url)).message, "Unexpected server response: 302");
});

both("followRedirects: redirects are followed, also relative ones, and emitted", async (ws) => {
  await using s = await serve(ws);
  await using server = answering((request) =>
    redirection(request.startsWith("GET /first ") ? "/second" : `${s.url}/third`)
  );
  const socket = new ws.WebSocket(`${server.url}/first`, { followRedirects: true });
  const log = record(socket);
  const [second, request] = await next(log, "redirect");
  assertEquals([second, request.path], [`${server.url}/second`, "/second"]);
  assertEquals((await next(log, "redirect"))[0], `${s.url}/third`);
  await next(log, "open");
  assertEquals(socket.url, `${s.url}/third`);
});

both("maxRedirects limits the number of redirects", async (ws) => {
  await using server = answering(() => redirection("/again"));
  const error = await failure(ws, server.url, { followRedirects: true, maxRedirects: 2 });
  assertEquals(error.message, "Maximum redirects exceeded");
});

both("redirects: an invalid URL and another scheme are errors", async (ws) => {
  for (const location of ["http://", "ftp://127.0.0.1/"]) {
    await using server = answering(() => redirection(location));
    const error = await failure(ws, server.url, { followRedirects: true });
    assert(error instanceof SyntaxError);
  }
});

both("redirects: the same host gets the credentials, another one doesn't", async (ws) => {
  const heads: string[] = [];
  await using other = answering((head) => {
    heads.push(head);
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  });
  await using server = answering((head) => {
    heads.push(head);
    return redirection(
      head.startsWith("GET / ") ? "/same" : `ws://localhost:${other.port}/other`,
    );
  });
  // Without a listener for "redirect", which would decide about the credentials.
  const socket = new ws.WebSocket(server.url, {
    followRedirects: true,
    headers: { authorization: "Basic secret", cookie: "secret", "x-open": "1" },
  });
  const log = record(socket, ["error", "close"]);
  await next(log, "error");
  await closing(log);
  assertEquals(heads.map((head) => head.includes("secret")), [true, true, false]);
  assertMatch(heads[2], /x-open: 1/i);
});

/** Connects to a server that redirects as given and then refuses; resolves with the heads of the requests. */
async function requests(
  ws: Subject,
  options: ClientOptions,
  { userInfo = "", path = "/", redirects = [] as string[], asked = false } = {},
): Promise<string[]> {
  const heads: string[] = [];
  await using server = answering((head) => {
    heads.push(head);
    const location = redirects[heads.length - 1];
    return location === undefined
      ? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
      : redirection(location.replace("PORT", String(server.port)));
  });
  const url = `ws://${userInfo}127.0.0.1:${server.port}${path}`;
  const socket = new ws.WebSocket(url, options), log = record(socket, ["error", "close"]);
  if (asked) socket.on("redirect", () => {});
  await next(log, "error");
  await closing(log);
  return heads;
}

const authorization = (head: string) => /^authorization: Basic (.*)$/im.exec(head)?.[1];

both("auth is sent, the user info of the URL comes before it", async (ws) => {
  for (
    const [options, userInfo, expected] of [
      [{}, "", undefined],
      [{ auth: "u:p" }, "", btoa("u:p")],
      [{ auth: "u:p" }, "a%20b:c@", btoa("a b:c")],
      [{}, "a@", btoa("a:")],
      // An invalid percent-encoding is left as it is.
      [{}, "a%zz:b%@", btoa("a%zz:b%")],
    ] as const
  ) {
    const [head] = await requests(ws, options, { userInfo });
    assertEquals(authorization(head), expected);
  }
});

both("redirects: the first credentials are sent to the first host only", async (ws) => {
  const followed = { followRedirects: true };
  const sent = async (...args: Parameters<typeof requests>) =>
    (await requests(...args)).map(authorization);
  const own = btoa("u:p"), userInfo = "u:p@";
  assertEquals(await sent(ws, followed, { userInfo, redirects: ["/two"] }), [own, own]);
  assertEquals(await sent(ws, { ...followed, auth: "u:p" }, { redirects: ["/two"] }), [own, own]);
  // The first credentials win over those of a redirect.
  const other = "ws://v:w@127.0.0.1:PORT/two";
  assertEquals(await sent(ws, followed, { userInfo, redirects: [other] }), [own, own]);
  assertEquals(await sent(ws, followed, { redirects: [other] }), [undefined, btoa("v:w")]);
  // Another host gets none, unless a listener looks at the request.
  const foreign = "ws://v:w@localhost:PORT/two";
  assertEquals(await sent(ws, followed, { userInfo, redirects: [foreign] }), [own, undefined]);
  assertEquals(
    await sent(ws, followed, { userInfo, redirects: [foreign], asked: true }),
    [own, own],
  );
});

both("origin: an empty one isn't sent", async (ws) => {
  for (const origin of ["", null, undefined, 0] as never[]) {
    const [head] = await requests(ws, { origin });
    assert(!/^origin/im.test(head));
  }
});

both("options that the URL contains have no effect", async (ws) => {
  const options = {
    host: "nowhere.invalid",
    hostname: "nowhere.invalid",
    port: 1,
    path: "/z",
    method: "POST",
    protocol: "foo:",
    socketPath: "/none",
    timeout: 1,
  };
  const [head] = await requests(ws, options as ClientOptions, { path: "/a?b" });
  assert(head.startsWith("GET /a?b HTTP/1.1\r\n"));
  assertMatch(head, /^host: 127\.0\.0\.1:\d+\r$/im);
});

both("handshakeTimeout: the time restarts with every redirect", async (ws) => {
  const agent = new Agent();
  const server = createServer();
  server.on("upgrade", (request, stream) => {
    // Each answer is in time, the three of them together aren't.
    const step = Number(request.url!.slice(1));
    setTimeout(() =>
      stream.end(
        step === 3
          ? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
          : redirection(`/${step + 1}`),
      ), 300);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const error = await failure(ws, `ws://127.0.0.1:${port}/1`, {
    agent,
    followRedirects: true,
    handshakeTimeout: 800,
  });
  assertEquals(error.message, "Unexpected server response: 404");
  agent.destroy();
  server.close();
  await once(server, "close");
});

both("finishRequest: the function may change the request, and ends it", async (ws) => {
  await using s = await serve(ws);
  const socket = new ws.WebSocket(s.url, {
    finishRequest: (request, given) => {
      assert(given instanceof ws.WebSocket);
      request.setHeader("X-Late", "1");
      request.end();
    },
  });
  const log = record(socket);
  assertEquals((await s.accepted.next()).request.headers["x-late"], "1");
  await next(log, "open");
});

both("agent and createConnection are used for the request", async (ws) => {
  await using s = await serve(ws);
  let made = 0;
  const socket = new ws.WebSocket(s.url, {
    createConnection: () => {
      made++;
      return connect({ host: "127.0.0.1", port: s.port });
    },
  } as ClientOptions);
  const log = record(socket);
  await next(log, "open");
  assertEquals(made, 1);
  const agent = new Agent({ keepAlive: false });
  const second = new ws.WebSocket(s.url, { agent }), secondLog = record(second);
  await next(secondLog, "open");
});

both("ws+unix: the client connects to a Unix socket and requests a path", async (ws) => {
  const path = await Deno.makeTempDir();
  const http = createServer();
  const wss = new ws.WebSocketServer({ server: http });
  await once(http.listen(`${path}/s`), "listening");
  for (
    const [address, asked] of [
      [`ws+unix:${path}/s:/here?x`, "/here?x"],
      [`ws+unix:${path}/s:/here:there`, "/here:there"],
      [`ws+unix:${path}/s`, "/"],
    ]
  ) {
    const socket = new ws.WebSocket(address), log = record(socket);
    const [, request] = await once(wss, "connection");
    assertEquals(request.url, asked);
    await next(log, "open");
    socket.close();
    await closing(log);
  }
  await new Promise<void>((resolve) => wss.close(() => resolve()));
  http.close();
  await Deno.remove(path, { recursive: true });
});

both("redirects: another Unix socket counts as another host", async (ws) => {
  const path = await Deno.makeTempDir();
  const seen: (string | undefined)[] = [];
  const servers = ["a", "b"].map((name) => {
    const server = createServer();
    server.on("upgrade", (request, stream) => {
      seen.push(request.headers.authorization);
      const next = [`ws+unix:${path}/a:/again`, `ws+unix:${path}/b:/`][seen.length - 1];
      stream.end(
        next === undefined
          ? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
          : redirection(next),
      );
    });
    return server.listen(`${path}/${name}`);
  });
  await Promise.all(servers.map((server) => once(server, "listening")));
  const socket = new ws.WebSocket(`ws+unix:${path}/a`, {
    followRedirects: true,
    headers: { authorization: "Basic secret" },
  });
  // No listener for "redirect": with one, the application is asked.
  const log = record(socket, ["error", "close"]);
  await next(log, "error");
  await closing(log);
  assertEquals(seen, ["Basic secret", "Basic secret", undefined]);
  for (const server of servers) server.close();
  await Deno.remove(path, { recursive: true });
});

both(
  "TLS: ca, rejectUnauthorized and servername work, and verifyClient gets secure",
  async (ws) => {
    using certificates = makeCertificates();
    const { ca, server: { cert, key } } = certificates;
    const http = createSecure({ cert, key });
    const secure: unknown[] = [];
    const wss = new ws.WebSocketServer({
      server: http,
      verifyClient: (info: { secure: boolean }) => {
        secure.push(info.secure);
        return true;
      },
    });
    wss.on("connection", (socket) => socket.on("message", (data: Buffer) => socket.send(data)));
    await once(http.listen(0, "127.0.0.1"), "listening");
    const { port } = http.address() as AddressInfo;
    for (
      const options of [
        { rejectUnauthorized: false },
        { ca, servername: "localhost" },
      ] as ClientOptions[]
    ) {
      const socket = new ws.WebSocket(`wss://127.0.0.1:${port}`, options), log = record(socket);
      await next(log, "open");
      socket.send("over TLS");
      assertEquals(String((await next(log, "message"))[0]), "over TLS");
      socket.close();
      await closing(log);
    }
    assertEquals(secure, [true, true]);
    await failure(ws, `wss://127.0.0.1:${port}`);
    await new Promise<void>((resolve) => wss.close(() => resolve()));
    http.close();
  },
);

both("cert, key: the client sends its certificate", async (ws) => {
  using certificates = makeCertificates();
  const { ca, server: { cert, key }, client } = certificates;
  const http = createSecure({ cert, key, ca, requestCert: true, rejectUnauthorized: true });
  const wss = new ws.WebSocketServer({ server: http });
  const names: unknown[] = [];
  wss.on("connection", (socket, request) => {
    names.push((request.socket as TLSSocket).getPeerCertificate().subject.CN);
    socket.on("message", (data: Buffer) => socket.send(data));
  });
  await once(http.listen(0, "127.0.0.1"), "listening");
  const url = `wss://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const options = { ca, cert: client.cert, key: client.key } as ClientOptions;
  const socket = new ws.WebSocket(url, options), log = record(socket);
  await next(log, "open");
  socket.send("known");
  assertEquals(String((await next(log, "message"))[0]), "known");
  socket.close();
  await closing(log);
  assertEquals(names, ["alice"]);
  assert(await failure(ws, url, { ca } as ClientOptions) instanceof Error);
  await new Promise<void>((resolve) => wss.close(() => resolve()));
  http.close();
});

both("a server that ends the stream without a response leads to an error", async (ws) => {
  const server = createNetServer((socket) => void socket.end());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const error = await failure(ws, `ws://127.0.0.1:${port}`);
  assert(error instanceof Error);
  server.close();
});
