import { assert, assertEquals, assertThrows } from "@std/assert";
import { once } from "node:events";
import { WebSocket } from "../../websocket.ts";
import { deno } from "../support/child.ts";
import {
  assertFails,
  connectTo,
  finish,
  opened,
  overEach,
  rawPeer,
  record,
  serve,
  throwsDom,
} from "./_serve.ts";

// Details of the WebSockets standard and of Web IDL: conversions of arguments, and the order of events.

Deno.test("constructor: invalid hosts, ports and schemes are refused", () => {
  for (
    const url of [
      "ws://foo bar.com/",
      "wss://foo bar.com/",
      "ws://:80/",
      "ws://@/echo",
      "ws://127.0.0.1:99999/",
      "ws://[::1/",
      "ws://%00/",
      "/relative/without/a/location",
      "",
      "file:///x",
      "blob:http://127.0.0.1/x",
      "javascript:1",
    ]
  ) {
    throwsDom("SyntaxError", () => new WebSocket(url));
  }
});

Deno.test("constructor: relative URLs are resolved if there is a location", async () => {
  await using server = serve();
  const program = `
    import { WebSocket } from ${
    JSON.stringify(new URL("../../websocket.ts", import.meta.url).href)
  };
    const socket = new WebSocket("../echo?q#".slice(0, -1));
    console.log(socket.url);
    socket.onopen = () => socket.close();
    try {
      new WebSocket("#fragment");
    } catch (error) {
      console.log(error.name);
    }
  `;
  const location = server.url.replace("ws:", "http:") + "a/b/c";
  const flags = ["--quiet", "--no-lock", `--location=${location}`];
  const { code, stdout } = await deno(["eval", ...flags, program]);
  assertEquals([code, stdout], [0, `${server.url}a/echo?q\nSyntaxError\n`]);
});

Deno.test("constructor: the default port of a scheme isn't in the URL, other ports are", () => {
  for (
    const [given, url] of [
      ["ws://127.0.0.1:80/x", "ws://127.0.0.1/x"],
      ["wss://127.0.0.1:443", "wss://127.0.0.1/"],
      ["http://127.0.0.1:80", "ws://127.0.0.1/"],
      ["https://127.0.0.1:443/?a#".slice(0, -1), "wss://127.0.0.1/?a"],
      ["https://127.0.0.1:80/", "wss://127.0.0.1:80/"],
    ]
  ) {
    const socket = new WebSocket(given);
    assertEquals(socket.url, url);
    socket.close();
  }
});

Deno.test("constructor: arguments are converted as in Web IDL", async () => {
  await using server = serve("ws", ["null", "7"]);
  const order: string[] = [];
  const url = { toString: () => (order.push("url"), server.url) };
  const protocols = {
    *[Symbol.iterator]() {
      order.push("protocols");
      yield 7;
    },
  };
  const socket = new WebSocket(url as never, protocols as never), log = record(socket);
  assertEquals(order, ["url", "protocols"]);
  assertEquals((await log.next()).type, "open");
  assertEquals(socket.protocol, "7");
  await finish(socket, log);
  for (const [given, agreed] of [[null, "null"], [undefined, ""], [7, "7"]]) {
    const socket = new WebSocket(server.url, given as never), log = record(socket);
    assertEquals((await log.next()).type, "open");
    assertEquals(socket.protocol, agreed);
    await finish(socket, log);
  }
  assertThrows(() => new WebSocket(Symbol() as never), TypeError);
  assertThrows(() => new WebSocket(server.url, [Symbol()] as never), TypeError);
});

Deno.test("constructor: exactly the ports of the Fetch standard are blocked", () => {
  const ports = [0, 1, 22, 25, 69, 110, 137, 139, 161, 427, 548, 554, 636, 989, 990, 1719, 1720];
  for (const port of [...ports, 1723, 2049, 3659, 4190, 5060, 5061, 6000, 6566, 6679, 10080]) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    // The failure is reported later, and only to listeners.
    assertEquals([socket.readyState, socket.extensions, socket.protocol], [0, "", ""]);
  }
});

overEach("the attributes have their initial values before the socket is open", async (scheme) => {
  await using server = serve(scheme);
  const socket = connectTo(server), log = record(socket);
  assertEquals(
    [socket.readyState, socket.bufferedAmount, socket.extensions, socket.protocol, socket.url],
    [0, 0, "", "", server.url],
  );
  for (const data of ["", new Uint8Array(1), new Blob(["x"])]) {
    throwsDom("InvalidStateError", () => socket.send(data));
  }
  assertEquals(socket.bufferedAmount, 0);
  // The arguments are converted before the state is checked.
  assertThrows(() => socket.send(Symbol() as never), TypeError);
  assertEquals((await log.next()).type, "open");
  assertEquals([socket.protocol, socket.extensions.split(";")[0]], ["", "permessage-deflate"]);
  await finish(socket, log);
});

overEach("close: arguments are converted as in Web IDL", async (scheme) => {
  await using server = serve(scheme);
  for (
    const [args, code, reason] of [
      [["1000"], 1000, ""],
      [[3000.4, "\ud800"], 3000, "\ufffd"],
      [[{ valueOf: () => 4999 }, null], 4999, "null"],
      [[4999.5 - 0.25, 12], 4999, "12"],
      [[1000, ""], 1000, ""],
      [[undefined, ""], 1005, ""],
      [[undefined, undefined], 1005, ""],
      [[1000, "x".repeat(123)], 1000, "x".repeat(123)],
    ] as const
  ) {
    const [socket, log] = await opened(server);
    assertThrows(() => socket.close(1000n as never), TypeError);
    assertThrows(() => socket.close(Symbol() as never), TypeError);
    assertThrows(() => socket.close(1000, Symbol() as never), TypeError);
    for (const bad of [null, "x", {}, true, Infinity, -Infinity, 4999.5, 2999.5 - 1]) {
      throwsDom("InvalidAccessError", () => socket.close(bad as never));
    }
    throwsDom("SyntaxError", () => socket.close(1000, "x".repeat(124)));
    throwsDom("SyntaxError", () => socket.close(undefined, "\ud800".repeat(42)));
    // The code is checked before the reason.
    throwsDom("InvalidAccessError", () => socket.close(1, "x".repeat(124)));
    assertEquals(socket.readyState, 1);
    socket.close(...args as unknown as [number, string]);
    assertEquals(socket.readyState, 2);
    const close = await log.next() as CloseEvent;
    assertEquals([close.type, close.code, close.reason, close.wasClean], [
      "close",
      code,
      reason,
      true,
    ]);
    // The arguments are checked on a closed socket, too.
    throwsDom("InvalidAccessError", () => socket.close(1));
    throwsDom("SyntaxError", () => socket.close(1000, "x".repeat(124)));
    socket.close();
    assertEquals(log.events.length, 0);
  }
});

overEach("send: of every kind of view, exactly its part of the buffer is sent", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.binaryType = "arraybuffer";
  const { buffer } = Uint8Array.from({ length: 64 }, (_, i) => 3 * i);
  const views = [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array].map((View) =>
      new View(buffer, 16, 3)
    ),
    ...[Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array].map((View) =>
      new View(buffer, 16, 3)
    ),
    new DataView(buffer, 16, 5),
    new Uint8Array(buffer, 60),
  ];
  for (const view of views) {
    const before = socket.bufferedAmount;
    socket.send(view);
    assertEquals(socket.bufferedAmount - before, view.byteLength);
  }
  for (const { byteOffset, byteLength } of views) {
    const { data } = await log.next() as MessageEvent;
    assertEquals(new Uint8Array(data), new Uint8Array(buffer, byteOffset, byteLength));
  }
  await finish(socket, log);
});

overEach("send: a detached buffer is sent as no bytes, shared memory as text", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.binaryType = "arraybuffer";
  const gone = new ArrayBuffer(4), view = new Uint8Array(gone);
  gone.transfer();
  socket.send(gone);
  socket.send(view);
  socket.send(new SharedArrayBuffer(4));
  for (let i = 0; i < 2; i++) {
    assertEquals(((await log.next() as MessageEvent).data as ArrayBuffer).byteLength, 0);
  }
  assertEquals((await log.next() as MessageEvent).data, "[object SharedArrayBuffer]");
  await finish(socket, log);
});

overEach("send: text, lone surrogates and objects are converted to USVString", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  for (
    const [sent, text] of [
      ["\ud83d\ude00", "😀"],
      ["\ud800", "\ufffd"],
      ["\udc00\ud800", "\ufffd\ufffd"],
      ["a\0b", "a\0b"],
      ["\ufeffx", "\ufeffx"],
      [undefined, "undefined"],
      [[1, 2], "1,2"],
      [{ toString: () => "own" }, "own"],
      [1n, "1"],
    ] as const
  ) {
    const before = socket.bufferedAmount;
    socket.send(sent as never);
    assertEquals(socket.bufferedAmount - before, new TextEncoder().encode(text).length);
    assertEquals((await log.next() as MessageEvent).data, text);
  }
  await finish(socket, log);
});

overEach("binaryType: the type of a message is decided when it is dispatched", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  const conn = await server.connections.next();
  const kinds: string[] = [];
  socket.addEventListener("message", ({ data }) => {
    kinds.push(data.constructor.name);
    socket.binaryType = socket.binaryType === "blob" ? "arraybuffer" : "blob";
  });
  for (let i = 0; i < 4; i++) conn.send(Uint8Array.of(i));
  for (let i = 0; i < 4; i++) await log.next();
  assertEquals(kinds, ["Blob", "ArrayBuffer", "Blob", "ArrayBuffer"]);
  await finish(socket, log);
});

overEach("events: interfaces and attributes are those of the standard", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.send("x");
  const message = await log.next() as MessageEvent;
  assert(message instanceof MessageEvent);
  assertEquals(
    [message.origin, message.lastEventId, message.source, message.ports],
    [new URL(server.url).protocol + "//" + new URL(server.url).host, "", null, []],
  );
  for (const event of [message, await finish(socket, log)]) {
    assertEquals(
      [event.bubbles, event.cancelable, event.composed, event.target, event.currentTarget],
      [false, false, false, socket, null],
    );
  }
});

overEach("events: no event comes after close, and the handlers stay set", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  let closes = 0;
  socket.onclose = function (event) {
    assertEquals([this, event.type, this.readyState], [socket, "close", 3]);
    closes++;
  };
  await finish(socket, log);
  socket.close();
  socket.send("x");
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals([closes, log.events.length], [1, 0]);
  // The socket is still an event target.
  socket.dispatchEvent(new CloseEvent("close"));
  assertEquals(closes, 2);
});

overEach("no message is dispatched after close()", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  const conn = await server.connections.next();
  for (let i = 0; i < 3; i++) conn.send(String(i));
  assertEquals((await log.next() as MessageEvent).data, "0");
  socket.close(1000);
  assertEquals((await log.next()).type, "close");
});

overEach(
  "the connection fails if the server selects none of the offered subprotocols",
  async (scheme) => {
    await using server = serve(scheme, ["other"]);
    const socket = connectTo(server, ["echo"]), log = record(socket);
    await assertFails(log);
  },
);

Deno.test("a violation of the protocol leads to error, then close with 1006, unclean", async () => {
  for (
    const bytes of [
      [0x81, 0x01, 0xff], // text that isn't UTF-8
      [0x83, 0x00], // a reserved opcode
      [0xc1, 0x00], // a reserved bit
      [0x81, 0x80, 0, 0, 0, 0], // a masked frame
      [0x80, 0x00], // a continuation of nothing
      [0x88, 0x01, 0x03], // half a close code
      [0x88, 0x02, 0x03, 0xed], // 1005 in a frame
    ]
  ) {
    await using peer = rawPeer(async (conn) => {
      await conn.write(Uint8Array.from(bytes));
      while (await conn.read(new Uint8Array(64)) !== null);
    });
    const socket = new WebSocket(peer.url), log = record(socket);
    assertEquals((await log.next()).type, "open");
    await assertFails(log);
  }
});

Deno.test("all microtasks run between error and close", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  // A port where nobody listens, and one that is blocked.
  for (const url of [`ws://127.0.0.1:${port}`, "ws://127.0.0.1:9"]) {
    const socket = new WebSocket(url);
    await once(socket, "error");
    assertEquals(socket.readyState, WebSocket.CLOSED);
    const [{ code, wasClean }] = await once(socket, "close");
    assertEquals([code, wasClean], [1006, false]);
  }
});

overEach("send: a resizable buffer is refused, a detached one counts as empty", async (scheme) => {
  await using server = serve(scheme);
  const [socket, log] = await opened(server);
  socket.binaryType = "arraybuffer";
  const resizable = new ArrayBuffer(3, { maxByteLength: 9 });
  for (const data of [resizable, new Uint8Array(resizable), new DataView(resizable, 1)]) {
    assertThrows(() => socket.send(data), TypeError);
  }
  const moved = [new ArrayBuffer(3), new Uint8Array(3), new DataView(new ArrayBuffer(3))];
  for (const data of moved) {
    const buffer = data instanceof ArrayBuffer ? data : data.buffer;
    structuredClone(buffer, { transfer: [buffer] });
    socket.send(data);
    assertEquals((await log.next() as MessageEvent<ArrayBuffer>).data.byteLength, 0);
  }
  await finish(socket, log);
});

Deno.test("a close frame without a code gives 1005 and a clean close", async () => {
  await using peer = rawPeer(async (conn) => {
    await conn.write(Uint8Array.of(0x88, 0x00));
    // An empty close frame with a mask.
    assertEquals(await conn.read(new Uint8Array(64)), 6);
  });
  const socket = new WebSocket(peer.url), log = record(socket);
  assertEquals((await log.next()).type, "open");
  const close = await log.next() as CloseEvent;
  assertEquals([close.type, close.code, close.reason, close.wasClean], ["close", 1005, "", true]);
});

Deno.test("the interface has no members besides those of its IDL", () => {
  const own = Object.getOwnPropertyNames(WebSocket.prototype).sort();
  assertEquals(own, [
    ...["CLOSED", "CLOSING", "CONNECTING", "OPEN", "binaryType", "bufferedAmount", "close"],
    ...["constructor", "extensions", "onclose", "onerror", "onmessage", "onopen", "protocol"],
    ...["readyState", "send", "url"],
  ]);
  assertEquals(Object.getOwnPropertyNames(WebSocket).sort(), [
    ...["CLOSED", "CLOSING", "CONNECTING", "OPEN", "length", "name", "prototype"],
  ]);
  assertEquals(Object.getOwnPropertySymbols(WebSocket.prototype), [Symbol.toStringTag]);
  const socket = new WebSocket("ws://127.0.0.1:1/");
  assertEquals(Reflect.ownKeys(socket).filter((key) => typeof key === "string"), []);
  assertEquals(Object.prototype.toString.call(socket), "[object WebSocket]");
  for (const name of ["url", "readyState", "OPEN"]) {
    assertThrows(() => Reflect.set(socket, name, 1) || fail(), TypeError);
  }
  for (const [name, args] of [["send", ["x"]], ["close", []]] as const) {
    assertThrows(() => Reflect.apply(Reflect.get(WebSocket.prototype, name), {}, args), TypeError);
  }
  for (const name of ["onopen", "binaryType"]) {
    const { set } = Object.getOwnPropertyDescriptor(WebSocket.prototype, name)!;
    assertThrows(() => set!.call({}, null), TypeError);
  }
});

function fail(): never {
  throw new TypeError("read-only");
}
