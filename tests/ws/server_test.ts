import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { RawPeer } from "../support/raw_peer.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, record, serve, type ServerOptions } from "./_serve.ts";

// The WebSocketServer of the npm package ws: each option and each event of its reference.

/** Sends a handshake that is refused; returns the response. */
async function refused(port: number, changes: Record<string, string | null> = {}, line?: string) {
  using raw = await RawPeer.dial(port);
  const fields: Record<string, string | null> = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  await raw.write(`${line ?? "GET / HTTP/1.1"}\r\n${lines.join("")}\r\n`);
  return await raw.response();
}

both("exactly one of port, server and noServer is required", (ws) => {
  const server = createServer();
  for (
    const options of [
      {},
      { port: 0, noServer: true },
      { port: 0, server },
      { server, noServer: true },
      { port: undefined },
      { port: null },
    ] as ServerOptions[]
  ) {
    const error = assertThrows(() => new ws.WebSocketServer(options), TypeError) as Error;
    assertEquals(
      error.message,
      'One and only one of the "port", "server", or "noServer" options must be specified',
    );
  }
});

both(
  "port, host, backlog: the server emits listening, calls back, has an address and accepts",
  async (ws) => {
    const called = Promise.withResolvers<void>();
    const wss = new ws.WebSocketServer(
      { port: 0, host: "127.0.0.1", backlog: 10 },
      called.resolve,
    );
    await Promise.all([once(wss, "listening"), called.promise]);
    const { address, port, family } = wss.address() as AddressInfo;
    assertEquals([address, family], ["127.0.0.1", "IPv4"]);
    const socket = new ws.WebSocket(`ws://127.0.0.1:${port}/path?q=1`);
    const [server, request] = await once(wss, "connection");
    assert(server instanceof ws.WebSocket);
    assertEquals([request.url, request.headers.upgrade], ["/path?q=1", "websocket"]);
    assertEquals([...wss.clients!], [server]);
    const log = record(socket);
    server.close(1000);
    await closing(log);
    const closed = Promise.withResolvers<Error | undefined>();
    wss.close(closed.resolve);
    assertEquals(await closed.promise, undefined);
    assertEquals(wss.address(), null);
  },
);

both("an ordinary request to the server's own port is answered with 426", async (ws) => {
  await using s = await serve(ws);
  const response = await fetch(`http://127.0.0.1:${s.port}/`);
  assertEquals([response.status, await response.text()], [426, "Upgrade Required"]);
});

both("error is emitted for a port that is in use", async (ws) => {
  await using s = await serve(ws);
  const wss = new ws.WebSocketServer({ port: s.port, host: "127.0.0.1" });
  const [error] = await once(wss, "error");
  assertEquals(error.code, "EADDRINUSE");
});

both(
  "server: upgrades are handled, and the HTTP server continues with other requests",
  async (ws) => {
    const http = createServer((_, response) => void response.end("page"));
    const wss = new ws.WebSocketServer({ server: http });
    const listening = once(wss, "listening");
    http.listen(0, "127.0.0.1");
    await listening;
    const { port } = wss.address() as AddressInfo;
    assertEquals(await (await fetch(`http://127.0.0.1:${port}`)).text(), "page");
    const socket = new ws.WebSocket(`ws://127.0.0.1:${port}`), log = record(socket);
    const [server] = await once(wss, "connection");
    await next(log, "open");
    const events: string[] = [];
    const closed = Promise.withResolvers<void>();
    wss.on("close", () => events.push("close"));
    wss.close(() => {
      events.push("callback");
      closed.resolve();
    });
    assertEquals(http.listenerCount("upgrade"), 0);
    // The sockets stay open, and the close waits for their end.
    server.send("still there");
    await next(log, "message");
    assertEquals(events, []);
    server.close();
    await closing(log);
    await closed.promise;
    assertEquals(events, ["close", "callback"]);
    const again = Promise.withResolvers<Error | undefined>();
    wss.close(again.resolve);
    assertEquals((await again.promise)!.message, "The server is not running");
    http.close();
  },
);

both(
  "noServer, handleUpgrade, shouldHandle: the application decides about upgrades",
  async (ws) => {
    const http = createServer();
    const one = new ws.WebSocketServer({ noServer: true });
    const two = new ws.WebSocketServer({ noServer: true, path: "/two" });
    assertThrows(() => one.address(), Error, "noServer");
    http.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const wss = two.shouldHandle(request) ? two : one;
      wss.handleUpgrade(request, socket, head, (ws, from) => {
        assertEquals(from, request);
        ws.send(wss === one ? "one" : "two");
      });
    });
    await once(http.listen(0, "127.0.0.1"), "listening");
    const { port } = http.address() as AddressInfo;
    for (const [path, text] of [["/", "one"], ["/two", "two"], ["/two?x=1", "two"]]) {
      const socket = new ws.WebSocket(`ws://127.0.0.1:${port}${path}`), log = record(socket);
      assertEquals(String((await next(log, "message"))[0]), text);
      socket.close();
      await closing(log);
    }
    for (const wss of [one, two]) {
      await new Promise<void>((resolve) => wss.close(() => resolve()));
    }
    http.close();
  },
);

both("path: requests for other paths are refused with 400", async (ws) => {
  await using s = await serve(ws, { path: "/here" });
  assertEquals((await refused(s.port)).status, 400);
  const socket = new ws.WebSocket(`${s.url}/here?x`), log = record(socket);
  await next(log, "open");
});

both("close: later handshakes are refused with 503", async (ws) => {
  const http = createServer();
  const wss = new ws.WebSocketServer({ noServer: true });
  http.on("upgrade", (request, socket, head) => wss.handleUpgrade(request, socket, head, () => {}));
  await once(http.listen(0, "127.0.0.1"), "listening");
  wss.close();
  assertEquals((await refused((http.address() as AddressInfo).port)).status, 503);
  http.close();
});

both("handleUpgrade: a second call with the same socket throws", async (ws) => {
  const http = createServer();
  const wss = new ws.WebSocketServer({ noServer: true });
  const thrown = Promise.withResolvers<string>();
  http.on("upgrade", (request, socket, head) => {
    wss.handleUpgrade(request, socket, head, () => {});
    try {
      wss.handleUpgrade(request, socket, head, () => {});
    } catch (error) {
      thrown.resolve((error as Error).message);
    }
  });
  await once(http.listen(0, "127.0.0.1"), "listening");
  const raw = await RawPeer.connect((http.address() as AddressInfo).port);
  assertMatch(await thrown.promise, /called more than once with the same socket/);
  raw.close();
  http.close();
});

both("invalid handshakes are refused with a status and a body", async (ws) => {
  await using s = await serve(ws);
  for (
    const [changes, status, message, line] of [
      [{}, 405, "Invalid HTTP method", "POST / HTTP/1.1"],
      [{ "Upgrade": "h2c" }, 400, "Invalid Upgrade header"],
      [{ "Sec-WebSocket-Key": null }, 400, "Missing or invalid Sec-WebSocket-Key header"],
      [{ "Sec-WebSocket-Key": "short" }, 400, "Missing or invalid Sec-WebSocket-Key header"],
      [{ "Sec-WebSocket-Version": "12" }, 400, "Missing or invalid Sec-WebSocket-Version header"],
      [{ "Sec-WebSocket-Protocol": "a b" }, 400, "Invalid Sec-WebSocket-Protocol header"],
    ] as [Record<string, string | null>, number, string, string?][]
  ) {
    const answer = await refused(s.port, changes, line);
    assertEquals([answer.status, answer.body], [status, message]);
    if (message.includes("Version")) assertMatch(answer.head, /Sec-WebSocket-Version: 13, 8/);
  }
  await using c = await serve(ws, { perMessageDeflate: { serverNoContextTakeover: false } });
  for (
    const offer of [
      "permessage-deflate; nonsense",
      "permessage-deflate; server_no_context_takeover",
      "permessage-deflate;;",
    ]
  ) {
    const answer = await refused(c.port, { "Sec-WebSocket-Extensions": offer });
    assertEquals([answer.status, answer.body], [
      400,
      "Invalid or unacceptable Sec-WebSocket-Extensions header",
    ]);
  }
});

both("wsClientError: a listener answers an invalid handshake", async (ws) => {
  await using s = await serve(ws);
  s.wss.on("wsClientError", (error: Error, socket: Duplex, request: IncomingMessage) => {
    socket.end(`HTTP/1.1 418 Teapot\r\n\r\n${error.message} ${request.method}`);
  });
  const answer = await refused(s.port, { "Sec-WebSocket-Key": null });
  assertEquals([answer.status, answer.body], [
    418,
    "Missing or invalid Sec-WebSocket-Key header GET",
  ]);
});

both("version 8: the origin is in another header", async (ws) => {
  const origins: unknown[] = [];
  await using s = await serve(ws, {
    verifyClient: ({ origin }: { origin?: string }) => {
      origins.push(origin);
      return true;
    },
  });
  for (const protocolVersion of [8, 13]) {
    const socket = new ws.WebSocket(s.url, { protocolVersion, origin: "http://a.example" });
    const log = record(socket);
    await next(log, "open");
    socket.close();
    await closing(log);
  }
  assertEquals(origins, ["http://a.example", "http://a.example"]);
});

both("the result of verifyClient decides", async (ws) => {
  const infos: unknown[] = [];
  await using s = await serve(ws, {
    verifyClient: (info: { origin?: string; secure: boolean; req: IncomingMessage }) => {
      infos.push([info.origin, info.secure, info.req.url]);
      return info.req.url === "/yes";
    },
  });
  assertEquals((await refused(s.port, { "Origin": "http://a.example" })).status, 401);
  const socket = new ws.WebSocket(`${s.url}/yes`), log = record(socket);
  await next(log, "open");
  assertEquals(infos, [["http://a.example", false, "/"], [undefined, false, "/yes"]]);
});

both("the callback of verifyClient decides, with code, message and headers", async (ws) => {
  await using s = await serve(ws, {
    verifyClient: (
      { req }: { req: IncomingMessage },
      answer: (ok: boolean, code?: number, message?: string, headers?: object) => void,
    ) => {
      setTimeout(() => {
        if (req.url === "/yes") answer(true);
        else if (req.url === "/bare") answer(false);
        else answer(false, 403, "no entry", { "X-Why": "tests" });
      }, 0);
    },
  } as ServerOptions);
  const answer = await refused(s.port);
  assertEquals([answer.status, answer.body], [403, "no entry"]);
  assertMatch(answer.head, /X-Why: tests/);
  const bare = await refused(s.port, {}, "GET /bare HTTP/1.1");
  assertEquals([bare.status, bare.body], [401, "Unauthorized"]);
  const socket = new ws.WebSocket(`${s.url}/yes`), log = record(socket);
  await next(log, "open");
});

both(
  "handleProtocols selects or refuses, and may be set later; the default is the first subprotocol",
  async (ws) => {
    await using s = await serve(ws);
    const protocolOf = async (...offered: string[]) => {
      using raw = await RawPeer.connect(s.port, { "Sec-WebSocket-Protocol": offered.join(", ") });
      const { socket } = await s.accepted.next();
      assertEquals(
        raw.head.includes("Sec-WebSocket-Protocol"),
        socket.protocol !== "",
      );
      return socket.protocol;
    };
    assertEquals(await protocolOf("a", "b"), "a");
    s.wss.options.handleProtocols = (protocols: Set<string>, request: IncomingMessage) => {
      assert(protocols instanceof Set && request.url === "/");
      return protocols.has("b") ? "b" : false;
    };
    assertEquals(await protocolOf("a", "b"), "b");
    assertEquals(await protocolOf("a"), "");
  },
);

both("headers: listeners see the lines, and may add some", async (ws) => {
  await using s = await serve(ws);
  const seen: string[][] = [];
  s.wss.on("headers", (headers: string[], request: IncomingMessage) => {
    seen.push([...headers]);
    headers.push(`X-Url: ${request.url}`);
  });
  using raw = await RawPeer.connect(s.port);
  assertEquals(seen.length, 1);
  assertEquals(seen[0][0], "HTTP/1.1 101 Switching Protocols");
  assertMatch(raw.head, /X-Url: \//);
});

both("clients: the set has the open sockets, and is missing without clientTracking", async (ws) => {
  {
    await using p = await pair(ws);
    assertEquals([...p.wss.clients!], [p.server]);
    p.client.close();
    await closing(p.serverLog);
    assertEquals(p.wss.clients!.size, 0);
  }
  const wss = new ws.WebSocketServer({ noServer: true, clientTracking: false });
  assertEquals(wss.clients, undefined);
  await new Promise<void>((resolve) => wss.close(() => resolve()));
});

both("WebSocket: sockets are made from the given class", async (ws) => {
  class Mine extends ws.WebSocket {
    shout(text: string) {
      this.send(text.toUpperCase());
    }
  }
  await using s = await serve(ws, { WebSocket: Mine });
  const socket = new ws.WebSocket(s.url), log = record(socket);
  const { socket: server } = await s.accepted.next();
  assert(server instanceof Mine);
  (server as Mine).shout("hello");
  assertEquals(String((await next(log, "message"))[0]), "HELLO");
});

both("frames in the segment of the request are received", async (ws) => {
  await using s = await serve(ws);
  using _raw = await RawPeer.connect(
    s.port,
    {},
    undefined,
    new Uint8Array([0x81, 0x81, 0, 0, 0, 0, 120]),
  );
  const { log } = await s.accepted.next();
  assertEquals(String((await next(log, "message"))[0]), "x");
});

both(
  "Server, WebSocketServer, createWebSocketStream and WebSocket are members of the class",
  (ws) => {
    if (ws.name === "npm:ws") return; // the same is true only for `require` of the package
    // deno-lint-ignore no-explicit-any
    const all = ws.WebSocket as any;
    assertEquals(all.Server, ws.WebSocketServer);
    assertEquals(all.WebSocketServer, ws.WebSocketServer);
    assertEquals(all.createWebSocketStream, ws.createWebSocketStream);
    assertEquals(all.WebSocket, ws.WebSocket);
  },
);

const OPTIONS = "WebSocket,allowSynchronousEvents,autoPong,backlog,clientTracking,closeTimeout," +
  "handleProtocols,host,maxBufferedChunks,maxFragments,maxPayload,maxPendingAutoPongs,noServer," +
  "path,perMessageDeflate,port,server,skipUTF8Validation,verifyClient";

both("options: the defaults are set", async (ws) => {
  await using s = await serve(ws, { perMessageDeflate: true });
  assertEquals(Object.keys(s.wss.options).sort().join(), OPTIONS);
  const { maxPayload, clientTracking, path, perMessageDeflate, closeTimeout } = s.wss.options;
  assertEquals(
    [maxPayload, clientTracking, path, perMessageDeflate, closeTimeout],
    [104857600, true, null, {}, 30000],
  );
});
