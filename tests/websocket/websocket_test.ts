import { assert, assertEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import { Context } from "../../mod.ts";
import { WebSocket } from "../../websocket.ts";
import { EventLog } from "../support/event_log.ts";
import { until } from "../support/until.ts";
import {
  assertFails,
  connectTo,
  finish,
  opened,
  overEach,
  record,
  serve,
  throwsDom,
} from "./_serve.ts";

// The algorithms of the WebSockets standard (websockets.spec.whatwg.org, 3).

Deno.test("constructor: valid URLs are accepted, invalid ones refused", async () => {
  for (
    const url of [
      "ws://",
      "ftp://127.0.0.1/",
      "ws://127.0.0.1/#f",
      "ws://127.0.0.1/#",
      "mailto:a@b",
      "about:blank",
    ]
  ) {
    throwsDom("SyntaxError", () => new WebSocket(url));
  }
  // @ts-expect-error: the URL is required.
  assertThrows(() => new WebSocket(), TypeError);
  await using server = serve();
  for (
    const [given, url] of [
      [server.url.replace("ws:", "http:") + "a b?c", server.url + "a%20b?c"],
      [new URL("x", server.url), server.url + "x"],
      [server.url.toUpperCase().replace("WS:", "wS:"), server.url],
    ] as const
  ) {
    const socket = new WebSocket(given), log = record(socket);
    assertEquals(socket.url, url);
    assertEquals((await log.next()).type, "open");
    assertEquals((await server.connections.next()).url, url);
    await finish(socket, log);
  }
});

overEach("constructor: valid subprotocols are offered, invalid ones refused", async (scheme) => {
  await using server = serve(scheme, ["chat", "echo"]);
  for (
    const protocols of ["", " ", "a b", ["a", "a"], ["a", "A"], ["ok", "\u00e9"], ["a,b"], [
      "a\r\n",
    ], "\u212a"]
  ) {
    throwsDom("SyntaxError", () => new WebSocket(server.url, protocols));
  }
  for (
    const [protocols, agreed] of [["echo", "echo"], [["x", "chat"], "chat"], [
      [],
      "",
    ]] as const
  ) {
    const [socket, log] = await opened(server, protocols);
    assertEquals(socket.protocol, agreed);
    await finish(socket, log);
  }
});

Deno.test("constructor: the options of connect work, and user info is sent as Basic credentials", async () => {
  await using ctx = new Context();
  const requests = new EventLog<Headers>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    protocols: ["p"],
    onHandshake: (request) => requests.push(request.headers),
    onMessage: () => {},
  });
  const url = listener.url.replace("ws://", "ws://us%2Fer:p%C3%A4ss@");
  const socket = new WebSocket(url, { headers: { "x-a": "1" }, protocols: ["p"], context: ctx });
  const log = record(socket);
  assertEquals(socket.url, url);
  await log.next();
  const headers = await requests.next();
  assertEquals([headers.get("x-a"), headers.get("sec-websocket-protocol")], ["1", "p"]);
  const basic = new TextDecoder().decode(
    Uint8Array.from(atob(headers.get("authorization")!.slice(6)), (c) => c.charCodeAt(0)),
  );
  assertEquals(basic, "us/er:päss");
  assertEquals(headers.get("sec-websocket-extensions")?.split(";")[0], "permessage-deflate");
  assertEquals(ctx.connections.size, 2);
  await finish(socket, log);
  assertThrows(() => new WebSocket(url, { connectTimeout: -1 }), RangeError);
});

Deno.test("constructor: a blocked port fails later, with an error event", async () => {
  for (const url of ["ws://127.0.0.1:6667/", "ws://127.0.0.1:0/", "wss://127.0.0.1:22/"]) {
    const socket = new WebSocket(url), log = record(socket);
    assertEquals(socket.readyState, WebSocket.CONNECTING);
    await assertFails(log);
  }
});

Deno.test("an unreachable server and a refusal lead to error, then close with 1006", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1", onHandshake: () => false });
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  for (const url of [listener.url, `ws://127.0.0.1:${gone.addr.port}/`]) {
    const socket = new WebSocket(url), log = record(socket);
    await assertFails(log);
  }
});

overEach("readyState and events follow the order of the standard", async (scheme) => {
  await using server = serve(scheme);
  const socket = connectTo(server);
  assertEquals([socket.readyState, socket.bufferedAmount, socket.binaryType], [0, 0, "blob"]);
  throwsDom("InvalidStateError", () => socket.send("early"));
  const log = record(socket);
  const open = await log.next();
  assertEquals([open.type, socket.readyState, open.cancelable, open.bubbles], [
    "open",
    1,
    false,
    false,
  ]);
  socket.send("one");
  const message = await log.next() as MessageEvent;
  assertEquals([message.type, message.data, message.origin], [
    "message",
    "one",
    server.url.slice(0, -1),
  ]);
  socket.close(3000, "done");
  assertEquals(socket.readyState, 2);
  const close = await log.next() as CloseEvent;
  assertEquals([close.code, close.reason, close.wasClean], [3000, "done", true]);
  assertEquals(socket.readyState, 3);
  assertEquals(log.events.length, 0);
});

overEach("close: valid codes and reasons are sent, others refused", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  for (const code of [0, 500, 999, 1001, 1005, 2999, 5000, 65536 + 1000, -1, NaN]) {
    throwsDom("InvalidAccessError", () => socket.close(code));
  }
  throwsDom("SyntaxError", () => socket.close(1000, "ä".repeat(62)));
  assertEquals(socket.readyState, 1);
  // The code is rounded, ties to even (Web IDL, [Clamp]).
  socket.close(3000.5, "ä".repeat(61));
  const close = await log.next() as CloseEvent;
  assertEquals([close.code, close.reason], [3000, "ä".repeat(61)]);
  socket.close();
  socket.close(3999);
});

overEach(
  "close without a code sends an empty close frame, or 1000 if there is a reason",
  async (scheme) => {
    await using server = serve(scheme);
    for (
      const [args, code, reason] of [[[], 1005, ""], [[undefined, "why"], 1000, "why"]] as const
    ) {
      const [socket, log] = await opened(server);
      const conn = await server.connections.next();
      socket.close(...args as []);
      const close = await log.next() as CloseEvent;
      assertEquals([close.code, close.reason, close.wasClean], [code, reason, true]);
      assertEquals((await conn.closed).received, { code, reason });
    }
  },
);

overEach(
  "close while connecting leads to error and close events in a later task",
  async (scheme) => {
    await using server = serve(scheme);
    const socket = connectTo(server), log = record(socket);
    socket.close();
    assertEquals([socket.readyState, log.events.length], [2, 0]);
    assertEquals((await log.next()).type, "error");
    assertEquals((await log.next() as CloseEvent).code, 1006);
  },
);

overEach("after the peer's close frame the socket is CLOSING, then CLOSED", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  (await server.connections.next()).close(4001, "bye");
  const close = await log.next() as CloseEvent;
  assertEquals([close.type, close.code, close.reason, close.wasClean], [
    "close",
    4001,
    "bye",
    true,
  ]);
  assertEquals(socket.readyState, 3);
});

overEach(
  "messages before the peer's close frame are dispatched while the socket is OPEN",
  async (scheme) => {
    await using server = serve(scheme);
    const [socket, log] = await opened(server);
    const conn = await server.connections.next();
    const states: number[] = [];
    socket.addEventListener("message", () => {
      states.push(socket.readyState);
      socket.send("too late");
    });
    for (let i = 0; i < 5; i++) conn.send(String(i));
    conn.close(4000);
    for (let i = 0; i < 5; i++) {
      assertEquals((await log.next() as MessageEvent).data, String(i));
      // A macrotask later, everything has been received.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const close = await log.next() as CloseEvent;
    assertEquals([close.type, close.code, close.wasClean], ["close", 4000, true]);
    assertEquals(states, [1, 1, 1, 1, 1]);
    assertEquals(server.received.events.length, 0);
    // The close frame may have come after the first calls of `send`.
    assert(socket.bufferedAmount > 0 && socket.bufferedAmount % "too late".length === 0);
  },
);

overEach(
  "a lost connection gives 1006, and no message is dispatched after close",
  async (scheme) => {
    await using server = serve(scheme);
    const [socket, log] = await opened(server);
    (await server.connections.next()).terminate();
    const events: string[] = [];
    for (;;) {
      const event = await log.next();
      events.push(event.type);
      if (event.type === "close") {
        assertEquals([(event as CloseEvent).code, (event as CloseEvent).wasClean], [1006, false]);
        break;
      }
    }
    assertEquals(events, ["error", "close"]);
    assertEquals(socket.readyState, 3);
  },
);

overEach(
  "send: values of every type arrive in order, as blob and as arraybuffer",
  async (scheme) => {
    await using server = serve(scheme);
    const [socket, log] = await opened(server);
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const backing = Uint8Array.of(9, 1, 2, 3, 4, 9);
    const sent: [Parameters<WebSocket["send"]>[0], string | Uint8Array][] = [
      ["", ""],
      ["a\ud800b", "a\ufffdb"],
      [bytes.buffer, bytes],
      [backing.subarray(1, 5), bytes],
      [new DataView(backing.buffer, 1, 4), bytes],
      [new Uint8Array(0), new Uint8Array(0)],
      [new Blob([bytes]), bytes],
      [new Blob([]), new Uint8Array(0)],
      ["after the blobs", "after the blobs"],
      // @ts-expect-error: any other value is converted to text.
      [12, "12"],
      // @ts-expect-error: likewise.
      [null, "null"],
      ["ä".repeat(70_000), "ä".repeat(70_000)],
    ];
    for (const type of ["blob", "arraybuffer"] as const) {
      socket.binaryType = type;
      for (const [data] of sent) socket.send(data);
      for (const [, expected] of sent) {
        const { data } = await log.next() as MessageEvent;
        if (typeof expected === "string") {
          assertEquals(data, expected);
        } else if (type === "blob") {
          assert(data instanceof Blob);
          assertEquals(await data.bytes(), expected);
        } else {
          assert(data instanceof ArrayBuffer);
          assertEquals(new Uint8Array(data), expected);
        }
      }
    }
    assertThrows(() => socket.send(Symbol() as unknown as string), TypeError);
    assertThrows(() => socket.send(new Uint8Array(new SharedArrayBuffer(1))), TypeError);
    // @ts-expect-error: data is required.
    assertThrows(() => socket.send(), TypeError);
    await finish(socket, log);
  },
);

overEach("send takes a snapshot of bytes, also if they wait for a Blob", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.binaryType = "arraybuffer";
  const view = Uint8Array.of(1);
  socket.send(view);
  view[0] = 2;
  socket.send(new Blob(["x"]));
  socket.send(view);
  view[0] = 3;
  const got = [];
  for (let i = 0; i < 3; i++) {
    got.push([...new Uint8Array((await log.next() as MessageEvent).data)]);
  }
  assertEquals(got, [[1], [120], [2]]);
  await finish(socket, log);
});

overEach("close waits for a Blob that was sent before", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.send(new Blob(["x".repeat(100_000)]));
  socket.send("behind");
  socket.close(3001);
  assertEquals(socket.readyState, 2);
  assertEquals((await server.received.next() as Uint8Array).length, 100_000);
  assertEquals(await server.received.next(), "behind");
  const close = await log.next() as CloseEvent;
  assertEquals([close.type, close.code, close.wasClean], ["close", 3001, true]);
});

overEach("bufferedAmount is exact, and grows after close", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.send("aä€😀");
  assertEquals(socket.bufferedAmount, 1 + 2 + 3 + 4);
  socket.send(new Uint8Array(1000));
  assertEquals(socket.bufferedAmount, 1010);
  socket.send(new Blob(["12345"]));
  assertEquals(socket.bufferedAmount, 1015);
  await until(() => socket.bufferedAmount === 0);
  socket.close();
  socket.send("lost");
  socket.send(new Blob(["too"]));
  assertEquals(socket.bufferedAmount, 7);
  for (let event = await log.next(); event.type !== "close";) event = await log.next();
  assertEquals(socket.bufferedAmount, 7);
  socket.send(new Uint8Array(3));
  assertEquals(socket.bufferedAmount, 10);
});

overEach(
  "bufferedAmount keeps the bytes that were queued when the connection was lost",
  async (scheme) => {
    await using server = serve(scheme);
    const [socket, log] = await opened(server);
    const conn = await server.connections.next();
    conn.pause();
    for (let i = 0; i < 16; i++) socket.send(new Uint8Array(1024 * 1024));
    assert(socket.bufferedAmount > 0);
    conn.terminate();
    for (let event = await log.next(); event.type !== "close";) event = await log.next();
    assert(socket.bufferedAmount > 0);
  },
);

overEach("all microtasks run between two message events, even of one segment", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  const conn = await server.connections.next();
  for (let i = 0; i < 100; i++) conn.send(String(i));
  for (let i = 0; i < 100; i++) {
    const [event] = await once(socket, "message") as [MessageEvent];
    for (let hops = 0; hops < 20; hops++) await null;
    assertEquals(event.data, String(i));
  }
  await finish(socket, log);
});

overEach(
  "on… attributes keep their place when replaced, and ignore values that aren't functions",
  async (scheme) => {
    await using server = serve(scheme);
    const socket = connectTo(server);
    const calls: string[] = [];
    assertEquals([socket.onopen, socket.onmessage, socket.onerror, socket.onclose], [
      null,
      null,
      null,
      null,
    ]);
    socket.onopen = () => calls.push("replaced");
    socket.addEventListener("open", () => calls.push("listener"));
    socket.onopen = function (event) {
      assertEquals([this === socket, event.type], [true, "open"]);
      calls.push("attribute");
    };
    socket.onmessage = () => calls.push("never");
    socket.onmessage = null;
    assertEquals(socket.onmessage, null);
    const object = {};
    socket.onerror = object as never;
    assertEquals(socket.onerror as unknown, object);
    socket.onerror = 1 as never;
    assertEquals(socket.onerror, null);
    const log = record(socket);
    await log.next();
    assertEquals(calls, ["attribute", "listener"]);
    await finish(socket, log);
  },
);

Deno.test("the interface is that of its IDL", () => {
  assertEquals([WebSocket.name, WebSocket.length], ["WebSocket", 1]);
  assertEquals(Object.prototype.toString.call(WebSocket.prototype), "[object WebSocket]");
  assert(WebSocket.prototype instanceof EventTarget);
  for (const [name, value] of Object.entries({ CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 })) {
    for (const object of [WebSocket, WebSocket.prototype]) {
      assertEquals(Object.getOwnPropertyDescriptor(object, name), {
        value,
        enumerable: true,
        writable: false,
        configurable: false,
      });
    }
  }
  for (const name of ["url", "readyState", "bufferedAmount", "extensions", "protocol"]) {
    const { get, set, enumerable, configurable } = Object.getOwnPropertyDescriptor(
      WebSocket.prototype,
      name,
    )!;
    assertEquals([typeof get, set, enumerable, configurable], ["function", undefined, true, true]);
    assertThrows(() => get!.call({}), TypeError);
  }
  for (const name of ["onopen", "onmessage", "onerror", "onclose", "binaryType"]) {
    const { get, set, enumerable, configurable } = Object.getOwnPropertyDescriptor(
      WebSocket.prototype,
      name,
    )!;
    assertEquals([typeof get, typeof set, enumerable, configurable], [
      "function",
      "function",
      true,
      true,
    ]);
  }
  for (const [name, length] of [["close", 0], ["send", 1]] as const) {
    const { value, enumerable, writable } = Object.getOwnPropertyDescriptor(
      WebSocket.prototype,
      name,
    )!;
    assertEquals([typeof value, enumerable, writable, value.length], [
      "function",
      true,
      true,
      length,
    ]);
  }
  assertThrows(() => (WebSocket as unknown as (url: string) => void)("ws://127.0.0.1"), TypeError);
});

overEach("binaryType accepts its two values and ignores others", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.binaryType = "arraybuffer";
  for (const other of ["Blob", "", "fragments", undefined]) {
    socket.binaryType = other as BinaryType;
    assertEquals(socket.binaryType, "arraybuffer");
  }
  await finish(socket, log);
});

overEach("the socket isn't read faster than events are dispatched", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  const conn = await server.connections.next();
  // The listener of each message blocks the event loop. Meanwhile the number of messages that are read ahead is bounded.
  const block = new Uint8Array(1024 * 1024);
  for (let i = 0; i < 32; i++) conn.send(block);
  for (let i = 0; i < 32; i++) {
    assertEquals((await log.next()).type, "message");
    if (i === 0) assert(conn.queuedBytes > 8 * block.length, String(conn.queuedBytes));
  }
  await finish(socket, log);
});
