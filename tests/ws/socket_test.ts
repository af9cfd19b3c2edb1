import { assert, assertEquals, assertInstanceOf, assertMatch, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { EventEmitter, once } from "node:events";
import { RawPeer } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { uncaught } from "../support/uncaught.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, record, serve } from "./_serve.ts";

// The WebSocket class of the npm package ws, member by member of its reference: on that package first, then on this library.

both(
  "messages: listeners get a Buffer and its type, for every type that can be sent",
  async (ws) => {
    await using p = await pair(ws);
    const view = new Uint16Array([0x0201, 0x0403]);
    for (
      const [sent, bytes, binary] of [
        ["héllo 🎈", [...Buffer.from("héllo 🎈")], false],
        ["", [], false],
        [1234, [...Buffer.from("1234")], false],
        [0, [...Buffer.from("0")], false],
        [Buffer.from([1, 2, 3]), [1, 2, 3], true],
        [view, [1, 2, 3, 4], true],
        [new DataView(view.buffer, 1, 2), [2, 3], true],
        [view.buffer, [1, 2, 3, 4], true],
        [[7, 8, 9], [7, 8, 9], true],
        [undefined, [], true],
        [null, [], true],
        [new Blob([new Uint8Array([5, 6])]), [5, 6], true],
      ] as const
    ) {
      p.client.send(sent);
      const [data, isBinary] = await next(p.serverLog, "message");
      assert(Buffer.isBuffer(data));
      assertEquals([[...data], isBinary], [bytes as unknown as number[], binary]);
    }
  },
);

both("send: values that can't be converted to bytes throw", async (ws) => {
  await using p = await pair(ws);
  assertThrows(() => p.client.send({}), TypeError);
  assertThrows(() => p.client.send(true), TypeError);
});

both("send: the options binary, compress, mask and fin work", async (ws) => {
  await using p = await pair(ws, { perMessageDeflate: { threshold: 0 } });
  p.client.send("text", { binary: true });
  assertEquals(await next(p.serverLog, "message"), [Buffer.from("text"), true]);
  p.client.send(Buffer.from("bytes"), { binary: false });
  assertEquals(await next(p.serverLog, "message"), [Buffer.from("bytes"), false]);
  p.client.send("plain", { compress: false, mask: true });
  assertEquals(await next(p.serverLog, "message"), [Buffer.from("plain"), false]);
  p.client.send("a", { fin: false });
  p.client.send("b", { fin: false });
  p.client.send("c", { fin: true });
  p.client.send("d");
  assertEquals(await next(p.serverLog, "message"), [Buffer.from("abc"), false]);
  assertEquals(await next(p.serverLog, "message"), [Buffer.from("d"), false]);
});

both("send: callbacks are called in order, as second and as third argument", async (ws) => {
  await using p = await pair(ws);
  const log: string[] = [];
  const all = Promise.withResolvers<void>();
  p.client.send("a", (error) => log.push(`a ${error ?? "taken"}`));
  p.client.send("b", {}, (error) => log.push(`b ${error ?? "taken"}`));
  p.client.send(new Blob(["c"]), (error) => log.push(`c ${error ?? "taken"}`));
  p.client.send("d", undefined, (error) => {
    log.push(`d ${error ?? "taken"}`);
    all.resolve();
  });
  assertEquals(log, []);
  await all.promise;
  assertEquals(log, ["a taken", "b taken", "c taken", "d taken"]);
});

both("send: the callback is called when the message was passed to the kernel", async (ws) => {
  await using s = await serve(ws);
  using raw = await RawPeer.connect(s.port);
  const { socket } = await s.accepted.next();
  let taken = 0;
  for (let i = 0; i < 12; i++) socket.send(Buffer.alloc(1024 * 1024), () => taken++);
  await until(() => taken > 0);
  assert(taken < 12, "all messages were passed on although the peer doesn't read");
  for (let i = 0; i < 12; i++) await raw.frame();
  await until(() => taken === 12);
  assertEquals(socket.bufferedAmount, 0);
});

both("send: the callback gets the error of a lost connection", async (ws) => {
  await using s = await serve(ws);
  using _raw = await RawPeer.connect(s.port);
  const { socket } = await s.accepted.next();
  const outcome = Promise.withResolvers<Error | undefined>();
  for (let i = 0; i < 12; i++) socket.send(Buffer.alloc(1024 * 1024));
  socket.send(Buffer.alloc(1024 * 1024), outcome.resolve);
  socket.terminate();
  assertInstanceOf(await outcome.promise, Error);
});

both(
  "send throws while connecting, and its callback gets the error when closed",
  async (ws) => {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), log = record(socket);
    for (const call of ["send", "ping", "pong"] as const) {
      const error = assertThrows(() => socket[call]("x"), Error) as Error;
      assertEquals(error.message, "WebSocket is not open: readyState 0 (CONNECTING)");
    }
    await next(log, "open");
    socket.close();
    const said: string[] = [];
    const third = Promise.withResolvers<void>();
    socket.send("four", (error) => said.push(error!.message));
    socket.ping("x", undefined, (error) => said.push(error!.message));
    socket.pong("x", (error: Error | undefined) => {
      said.push(error!.message);
      third.resolve();
    });
    assertEquals(said, []);
    await third.promise;
    assertEquals(said, Array(3).fill("WebSocket is not open: readyState 2 (CLOSING)"));
    await closing(log);
    socket.send("no callback");
    const closed = Promise.withResolvers<Error | undefined>();
    socket.send("x", closed.resolve);
    assertEquals((await closed.promise)!.message, "WebSocket is not open: readyState 3 (CLOSED)");
  },
);

both("a Blob keeps its place among messages and before the close", async (ws) => {
  await using p = await pair(ws);
  p.client.send("1");
  p.client.send(new Blob(["2"]));
  p.client.send("3");
  p.client.send(new Blob(["4"]));
  p.client.close(1000, "done");
  for (const text of ["1", "2", "3", "4"]) {
    assertEquals(String((await next(p.serverLog, "message"))[0]), text);
  }
  assertEquals(await closing(p.serverLog), [1000, "done"]);
});

both("binaryType selects the type of binary messages", async (ws) => {
  await using p = await pair(ws);
  assertEquals(p.client.binaryType, "nodebuffer");
  const echo = async () => {
    p.server.send(Buffer.from([1, 2, 3]));
    return (await next(p.clientLog, "message"))[0];
  };
  assert(Buffer.isBuffer(await echo()));
  p.client.binaryType = "arraybuffer";
  const buffer = await echo();
  assertInstanceOf(buffer, ArrayBuffer);
  assertEquals(buffer.byteLength, 3);
  p.client.binaryType = "fragments";
  const fragments = await echo();
  assert(Array.isArray(fragments) && fragments.every(Buffer.isBuffer));
  assertEquals(Buffer.concat(fragments), Buffer.from([1, 2, 3]));
  p.server.send(Buffer.from([1]), { fin: false });
  p.server.send(Buffer.from([2, 3]));
  const [parts] = await next(p.clientLog, "message");
  assertEquals(parts.length, ws.is.splitsFragments ? 2 : 1);
  assertEquals(Buffer.concat(parts), Buffer.from([1, 2, 3]));
  p.client.binaryType = "blob";
  const blob = await echo();
  assertInstanceOf(blob, Blob);
  assertEquals(new Uint8Array(await blob.arrayBuffer()), new Uint8Array([1, 2, 3]));
  p.client.binaryType = "nonsense" as never;
  assertEquals(p.client.binaryType, "blob");
  // Text is always a Buffer.
  p.server.send("text");
  assertEquals(await next(p.clientLog, "message"), [Buffer.from("text"), false]);
});

both(
  "bufferedAmount counts bytes that weren't passed to the kernel, and those sent too late",
  async (ws) => {
    await using p = await pair(ws);
    assertEquals(p.client.bufferedAmount, 0);
    for (let i = 0; i < 12; i++) p.client.send(Buffer.alloc(1024 * 1024));
    assert(p.client.bufferedAmount > 0);
    await next(p.serverLog, "message");
    p.client.close();
    await closing(p.clientLog);
    const before = p.client.bufferedAmount;
    p.client.send("12345");
    p.client.send(Buffer.alloc(10));
    p.client.ping("123");
    assertEquals(p.client.bufferedAmount - before, 18);
  },
);

both(
  "ping, pong: payloads of every type, callbacks and the limit of 125 bytes work",
  async (ws) => {
    await using p = await pair(ws);
    const done: string[] = [];
    p.client.ping("text", undefined, () => done.push("ping"));
    assertEquals(await next(p.serverLog, "ping"), [Buffer.from("text")]);
    assertEquals(await next(p.clientLog, "pong"), [Buffer.from("text")]);
    p.client.ping(Buffer.from([1, 2]), true);
    assertEquals(await next(p.serverLog, "ping"), [Buffer.from([1, 2])]);
    p.client.ping(7);
    assertEquals(await next(p.serverLog, "ping"), [Buffer.from("7")]);
    p.client.ping();
    assertEquals(await next(p.serverLog, "ping"), [Buffer.alloc(0)]);
    p.client.ping(() => done.push("bare"));
    assertEquals(await next(p.serverLog, "ping"), [Buffer.alloc(0)]);
    p.server.pong("unasked", false, () => done.push("pong"));
    for (;;) if (String((await next(p.clientLog, "pong"))[0]) === "unasked") break;
    assertEquals(done.sort(), ["bare", "ping", "pong"]);
    for (const call of ["ping", "pong"] as const) {
      const error = assertThrows(() => p.client[call](Buffer.alloc(126)), RangeError) as Error;
      assertEquals(error.message, "The data size must not be greater than 125 bytes");
      p.client[call](Buffer.alloc(125));
    }
  },
);

both("close: both ends get codes and reasons", async (ws) => {
  for (
    const [args, told, code, reason] of [
      [[], [1005, ""], 1005, ""],
      [[1000], [1000, ""], 1000, ""],
      [[4321, "why"], [4321, "why"], 4321, "why"],
      [[1013, Buffer.from("later")], [1013, "later"], 1013, "later"],
    ] as [[number?, (string | Buffer)?], [number, string], number, string][]
  ) {
    await using p = await pair(ws);
    p.client.close(...args);
    assertEquals(p.client.readyState, 2);
    p.client.close(4000, "again");
    assertEquals(await closing(p.serverLog), told);
    assertEquals(await closing(p.clientLog), [code, reason]);
    assertEquals([p.client.readyState, p.server.readyState], [3, 3]);
    p.client.close();
    p.client.terminate();
  }
});

both("close: an invalid code and a reason that is too long throw", async (ws) => {
  await using p = await pair(ws);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000", null]) {
    const error = assertThrows(() => p.client.close(code as never), TypeError) as Error;
    assertEquals(error.message, "First argument must be a valid error code number");
  }
  const error = assertThrows(() => p.client.close(1000, "é".repeat(62)), RangeError) as Error;
  assertEquals(error.message, "The message must not be greater than 123 bytes");
  assertEquals(p.client.readyState, 1);
  p.client.close(1000, "e" + "é".repeat(61));
  assertEquals((await closing(p.serverLog))[0], 1000);
});

both("close while connecting leads to an error, then 1006", async (ws) => {
  for (const call of ["close", "terminate"] as const) {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), log = record(socket);
    socket[call]();
    assertEquals(socket.readyState, 2);
    const [error] = await next(log, "error");
    assertEquals(error.message, "WebSocket was closed before the connection was established");
    assertEquals(await closing(log), [1006, ""]);
    assertEquals(socket.readyState, 3);
  }
});

both("close in the turn that made the socket leaves no connection open", async (ws) => {
  for (const call of ["close", "terminate"] as const) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const socket = new ws.WebSocket(`ws://127.0.0.1:${port}`), log = record(socket);
    socket[call]();
    await next(log, "error");
    await closing(log);
    // It would have been accepted before this one.
    using probe = await Deno.connect({ hostname: "127.0.0.1", port });
    using accepted = await listener.accept();
    assertEquals(
      (accepted.remoteAddr as Deno.NetAddr).port,
      (probe.localAddr as Deno.NetAddr).port,
    );
  }
});

both("close: a peer that doesn't answer is disconnected at closeTimeout", async (ws) => {
  await using s = await serve(ws, { closeTimeout: 50 });
  using _raw = await RawPeer.connect(s.port);
  const { socket, log } = await s.accepted.next();
  socket.close(1000);
  assertEquals(await closing(log), [1006, ""]);
});

both("terminate: both ends get 1006 at once, without an error", async (ws) => {
  await using p = await pair(ws);
  p.client.terminate();
  assertEquals(p.client.readyState, 2);
  for (const log of [p.clientLog, p.serverLog]) {
    const event = await log.next();
    assertEquals([event.type, event.args[0], String(event.args[1])], ["close", 1006, ""]);
  }
});

both("a peer that disconnects without a close frame leads to 1006 without an error", async (ws) => {
  await using s = await serve(ws);
  const raw = await RawPeer.connect(s.port);
  const { log } = await s.accepted.next();
  raw.close();
  const event = await log.next();
  assertEquals([event.type, event.args[0]], ["close", 1006]);
});

both(
  "messages that arrive after close() are emitted by npm:ws only",
  async (ws) => {
    await using s = await serve(ws);
    using raw = await RawPeer.connect(s.port);
    const { socket, log } = await s.accepted.next();
    socket.close(1000);
    await raw.next(8);
    await raw.send(1, "late");
    await raw.sendClose(1000);
    await raw.conn.closeWrite();
    const types: string[] = [];
    do types.push((await log.next()).type); while (types.at(-1) !== "close");
    assertEquals(types.includes("message"), ws.is.messagesAfterClose);
  },
);

both("pause, resume, isPaused: messages wait, and so does the peer", async (ws) => {
  await using p = await pair(ws);
  assertEquals(p.server.isPaused, false);
  p.server.pause();
  assertEquals(p.server.isPaused, true);
  let taken = 0;
  for (let i = 0; i < 24; i++) p.client.send(Buffer.alloc(1024 * 1024), () => taken++);
  await until(() => taken > 0);
  assert(taken < 24);
  p.server.resume();
  assertEquals(p.server.isPaused, false);
  for (let i = 0; i < 24; i++) await next(p.serverLog, "message");
});

both("pause has no effect before and after the connection", async (ws) => {
  await using s = await serve(ws);
  const socket = new ws.WebSocket(s.url), log = record(socket);
  socket.pause();
  socket.resume();
  assertEquals(socket.isPaused, false);
  await next(log, "open");
  socket.close();
  await closing(log);
  socket.pause();
  assertEquals(socket.isPaused, false);
});

both("close: a paused socket is closed", async (ws) => {
  await using p = await pair(ws);
  p.server.pause();
  p.client.send("held");
  p.server.close(1000);
  let closed = false;
  p.server.on("close", () => closed = true);
  await until(() => p.client.readyState >= p.client.CLOSING);
  if (!ws.is.closeWhilePaused) {
    assertEquals(closed, false);
    p.server.resume();
  }
  await until(() => closed);
});

both(
  "readyState: class and instance have the constants, and the states follow each other",
  async (ws) => {
    const states = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 };
    for (const [name, value] of Object.entries(states)) {
      for (const object of [ws.WebSocket, ws.WebSocket.prototype]) {
        const { writable, ...descriptor } = Object.getOwnPropertyDescriptor(object, name)!;
        assertEquals(descriptor, { value, enumerable: true, configurable: false });
        assertEquals(writable, false);
      }
    }
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url), log = record(socket);
    assertEquals(socket.readyState, socket.CONNECTING);
    await next(log, "open");
    assertEquals(socket.readyState, socket.OPEN);
    const { socket: server } = await s.accepted.next();
    server.close(4000);
    await closing(log);
    assertEquals(socket.readyState, socket.CLOSED);
  },
);

both("url, protocol and extensions are set when the connection is open", async (ws) => {
  await using s = await serve(ws, { perMessageDeflate: true });
  const socket = new ws.WebSocket(`${s.url}?x=1`, ["one", "two"]), log = record(socket);
  assertEquals([socket.url, socket.protocol, socket.extensions], [`${s.url}/?x=1`, "", ""]);
  await next(log, "open");
  assertEquals([socket.protocol, socket.extensions], ["one", "permessage-deflate"]);
  const { socket: server } = await s.accepted.next();
  assertEquals([server.url, server.protocol, server.extensions], [
    undefined,
    "one",
    "permessage-deflate",
  ]);
});

both("_socket is the stream of the connection, with its addresses and unref", async (ws) => {
  await using p = await pair(ws);
  const below = p.server as unknown as {
    _socket: { remoteAddress: string; remotePort: number; ref(): void; unref(): void };
  };
  assertMatch(below._socket.remoteAddress, /127\.0\.0\.1$/);
  assert(below._socket.remotePort > 0);
  below._socket.unref();
  below._socket.ref();
});

both("_sender exists in npm:ws only", async (ws) => {
  await using p = await pair(ws);
  assertEquals("_sender" in p.client, ws.is.sender);
});

both("on, once, off and listenerCount work as in EventEmitter", async (ws) => {
  await using p = await pair(ws);
  assertInstanceOf(p.client, EventEmitter);
  const waiting = once(p.server, "message");
  const never = () => assert(false);
  p.server.on("message", never);
  assertEquals(p.server.listenerCount("message"), 3);
  p.server.off("message", never);
  p.client.send("x");
  assertEquals(await waiting, [Buffer.from("x"), false]);
});

both(
  "addEventListener: DOM events, handler objects and once work, and no listener is added twice",
  async (ws) => {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url);
    // deno-lint-ignore no-explicit-any
    const events: any[] = [];
    // deno-lint-ignore no-explicit-any
    const keep = (event: any) => void events.push(event);
    for (const type of ["open", "message", "close"]) {
      socket.addEventListener(type, keep);
      socket.addEventListener(type, keep);
    }
    // deno-lint-ignore no-explicit-any
    const objects: any[] = [];
    socket.addEventListener("message", {
      handleEvent(event: unknown) {
        objects.push(this, event);
      },
    } as never);
    let heardOnce = 0;
    socket.addEventListener("message", () => heardOnce++, { once: true });
    const removed = () => assert(false);
    socket.addEventListener("message", removed);
    socket.removeEventListener("message", removed);
    socket.addEventListener("unknown" as never, removed);
    const { socket: server } = await s.accepted.next();
    server.send("text");
    server.send(Buffer.from("bytes"));
    await until(() => events.length === 3);
    socket.close(1000, "bye");
    await until(() => events.length === 4);
    const [open, text, bytes, close] = events;
    assertEquals(events.map(({ type, target }) => [type, target === socket]), [
      ["open", true],
      ["message", true],
      ["message", true],
      ["close", true],
    ]);
    assertEquals([open.type, text.data, bytes.data], ["open", "text", Buffer.from("bytes")]);
    assertEquals([close.code, close.reason, close.wasClean], [1000, "bye", true]);
    assertEquals([objects.length, heardOnce], [4, 1]);
  },
);

both(
  "on… attributes: each has one handler, which keeps its place, and null clears it",
  async (ws) => {
    await using s = await serve(ws);
    const socket = new ws.WebSocket(s.url);
    const calls: string[] = [];
    for (const name of ["onopen", "onmessage", "onerror", "onclose"] as const) {
      assertEquals(socket[name], null);
      const handler = () => {};
      socket[name] = handler;
      assertEquals(socket[name], handler);
      socket[name] = null;
      assertEquals(socket[name], null);
    }
    socket.onopen = () => calls.push("first");
    socket.onopen = function (this: unknown, event: { target: unknown }) {
      calls.push(`open ${this === socket} ${event.target === socket}`);
    };
    socket.onmessage = ({ data }: { data: unknown }) => calls.push(`message ${data}`);
    socket.onclose = ({ code }: { code: number }) => calls.push(`close ${code}`);
    const { socket: server } = await s.accepted.next();
    server.send("x");
    server.close(4001);
    await once(socket, "close");
    assertEquals(calls, ["open true true", "message x", "close 4001"]);
  },
);

both("onerror: the event has the attributes error and message", async (ws) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const socket = new ws.WebSocket(`ws://127.0.0.1:${port}`);
  const log = record(socket);
  // deno-lint-ignore no-explicit-any
  const event: any = await new Promise((resolve) => socket.onerror = resolve);
  assertEquals([event.type, event.error.message], ["error", event.message]);
  assertEquals(event.error.code, "ECONNREFUSED");
  assertEquals(await closing(log), [1006, ""]);
});

both("messages of one segment are emitted with or without microtasks in between", async (ws) => {
  for (const allowSynchronousEvents of [true, false]) {
    await using s = await serve(ws, { allowSynchronousEvents });
    using raw = await RawPeer.connect(s.port);
    const { socket } = await s.accepted.next();
    const texts: string[] = [], turns: string[] = [];
    socket.on("message", (data: Buffer) => {
      texts.push(String(data));
      turns.push(`message ${data}`);
      queueMicrotask(() => turns.push(`microtask ${data}`));
    });
    await raw.send(
      ...["a", "b", "c"].map((text) => new Uint8Array([0x81, 1, text.charCodeAt(0)])),
    );
    await until(() => turns.length === 6);
    assertEquals(texts, ["a", "b", "c"]);
    const apart = turns.indexOf("microtask a") < turns.indexOf("message b");
    if (!allowSynchronousEvents) assert(apart, turns.join());
  }
});

both("code that awaits open misses no message of the same segment", async (ws) => {
  await using s = await serve(ws);
  s.wss.on("connection", (socket) => socket.send("greeting"));
  const socket = new ws.WebSocket(s.url);
  const [data] = await new Promise<[Buffer, boolean]>((resolve) => {
    socket.on(
      "open",
      () => socket.on("message", (data, binary) => resolve([data as Buffer, binary])),
    );
  });
  assertEquals(String(data), "greeting");
});

both("send takes a snapshot of bytes, except in npm:ws", async (ws) => {
  await using p = await pair(ws);
  // More bytes than can be sent at once.
  p.server.pause();
  for (let i = 0; i < 16; i++) p.client.send(Buffer.alloc(1024 * 1024));
  const bytes = new Uint8Array(100_000).fill(1);
  p.client.send(bytes, { mask: true });
  bytes.fill(2);
  p.server.resume();
  for (let i = 0; i < 16; i++) await next(p.serverLog, "message");
  const [data] = await next(p.serverLog, "message");
  // In both implementations a client copies the bytes when it masks them.
  assertEquals(data[0], 1);
});

both("bytes that are sent as text are validated, except in npm:ws", async (ws) => {
  await using p = await pair(ws, { skipUTF8Validation: true });
  const send = () => p.client.send(Buffer.from([0xff]), { binary: false });
  if (ws.is.checksText) assertThrows(send, TypeError);
  else send();
});

both("the error of a listener is uncaught, and the connection continues", async (ws) => {
  using errors = uncaught();
  await using p = await pair(ws);
  p.server.once("message", () => {
    throw new Error("mine");
  });
  p.client.send("x");
  assertEquals((await errors.log.next() as Error).message, "mine");
  assertEquals((await p.serverLog.next()).type, "message");
  p.server.send("still here");
  assertEquals(String((await next(p.clientLog, "message"))[0]), "still here");
});
