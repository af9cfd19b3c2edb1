import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type Connection,
  ConnectionClosedError,
  type ConnectOptions,
  Context,
  InvalidStateError,
  type ListenOptions,
} from "../../mod.ts";
import { failure } from "../support/failure.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

function thrown(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    return error as Error;
  }
  throw new Error("The call should have thrown");
}

/** An argument, the class of the error, and a part of its message. */
type Row<Given> = [given: Given, error: typeof TypeError | typeof RangeError, message: string];

const URLS: Row<Any>[] = [
  ["", TypeError, 'Cannot connect to ""'],
  ["no url", TypeError, 'Cannot connect to "no url": not a valid URL'],
  ["ftp://h/", TypeError, 'Cannot connect to "ftp://h/": the scheme must be ws: or wss:'],
  ["ws://h/#frag", TypeError, "a WebSocket URL has no fragment"],
  ["ws://h/#", TypeError, "a WebSocket URL has no fragment"],
  ["ws://user:secret@h/", TypeError, "headers"],
  ["ws://h:0/", TypeError, "port 0"],
  ["ws://h:65536/", TypeError, "ws://h:65536/"],
  ["ws://h:abc/", TypeError, "ws://h:abc/"],
  [undefined, TypeError, "Cannot connect to undefined"],
  [null, TypeError, "Cannot connect to null"],
  [80, TypeError, "Cannot connect to 80: use a string or a URL"],
  [{}, TypeError, "Cannot connect to {} (an object)"],
];

Deno.test("connect: an invalid URL throws at once", () => {
  const ctx = new Context();
  for (const [url, Kind, message] of URLS) {
    const error = thrown(() => ctx.connect(url));
    assert(error instanceof Kind, String(url));
    assertStringIncludes(error.message, message);
    assert(!error.message.includes("secret"));
  }
  assertEquals(ctx.connections.size, 0);
});

const SHARED: Row<Any>[] = [
  [{ maxMessageSize: -1 }, RangeError, "maxMessageSize -1"],
  [{ maxMessageSize: NaN }, RangeError, "maxMessageSize NaN"],
  [
    { maxMessageSize: "1" },
    TypeError,
    'maxMessageSize "1" (a string): use a whole number, or 0 for no limit',
  ],
  [{ highWaterMark: 10, lowWaterMark: 11 }, RangeError, "lowWaterMark 11 above highWaterMark 10"],
  [{ maxQueueBytes: null }, TypeError, "maxQueueBytes"],
  [
    { whenQueueFull: "wait" },
    TypeError,
    'whenQueueFull "wait" (a string): use "throw", "drop" or "close"',
  ],
  [{ readAhead: -5 }, RangeError, "readAhead -5"],
  [
    { keepAlive: true },
    TypeError,
    "keepAlive true (a boolean): use { interval, timeout } or false",
  ],
  [{ keepAlive: { interval: -1 } }, RangeError, "keepAlive.interval -1"],
  [{ closeTimeout: "x" }, TypeError, "closeTimeout"],
  [{ sendTimeout: -1 }, RangeError, "sendTimeout -1"],
  [{ payload: "lend" }, TypeError, 'payload "lend" (a string): use "copy" or "view"'],
  [{ maskGenerator: 5 }, TypeError, "maskGenerator 5: use a function"],
  [{ onMessage: "x" }, TypeError, 'onMessage "x" (a string): use a function'],
  [{ onClose: {} }, TypeError, "onClose {} (an object): use a function"],
];
const CONNECT: Row<Any>[] = [
  [{ protocols: "a b" }, TypeError, '"a b" as a subprotocol'],
  [{ protocols: ["a", "a"] }, TypeError, '"a" twice'],
  [{ protocols: 5 }, TypeError, "5 as protocols"],
  [{ extensions: ["a;;"] }, TypeError, '"a;;" as an extension'],
  [{ headers: { Host: "x" } }, TypeError, '"Host": it comes from the url'],
  [{ headers: { "Sec-WebSocket-Key": "x" } }, TypeError, "Sec-WebSocket-Key"],
  [{ headers: { "X-A": "1\r\nX-B: 2" } }, TypeError, "U+000D"],
  [{ headers: { "X-A": "a\0" } }, TypeError, "U+0000"],
  [{ headers: { "X A": "1" } }, TypeError, '"X A"'],
  [{ headers: 5 }, TypeError, "5 as headers"],
  [{ connectTimeout: -1 }, RangeError, "connectTimeout -1"],
  [{ connectTimeout: "1" }, TypeError, "connectTimeout"],
  [{ signal: {} }, TypeError, "Cannot connect with signal {} (an object): use an AbortSignal"],
  [{ signal: "now" }, TypeError, 'Cannot connect with signal "now" (a string)'],
];
const LISTEN: Row<Any>[] = [
  [{ port: -1 }, RangeError, "Cannot listen on port -1"],
  [{ port: 65_536 }, RangeError, "Cannot listen on port 65536"],
  [{ port: 80.5 }, RangeError, "Cannot listen on port 80.5"],
  [{ port: "80" }, TypeError, 'Cannot listen on port "80" (a string): use a whole number'],
  [{ hostname: 5 }, TypeError, "Cannot listen on hostname 5: use a name or an address"],
  [{ protocols: ["a b"] }, TypeError, '"a b"'],
  [{ headers: { Upgrade: "x" } }, TypeError, "Upgrade"],
  [{ headers: { "X-A": "a\nb" } }, TypeError, "U+000A"],
  [{ origins: "https://a.example" }, TypeError, "as origins"],
  [{ origins: ["https://a.example/"] }, TypeError, "as an origin"],
  [{ maxConnections: -1 }, RangeError, "maxConnections -1"],
  [{ handshakeTimeout: "x" }, TypeError, "handshakeTimeout"],
  [{ maxHeaderBytes: -1 }, RangeError, "maxHeaderBytes -1"],
  [{ maxHeaderFields: 1.5 }, RangeError, "maxHeaderFields 1.5"],
  [{ httpIdleTimeout: NaN }, RangeError, "httpIdleTimeout NaN"],
  [{ backlog: 0 }, RangeError, "backlog 0"],
  [{ backlog: "1" }, TypeError, 'backlog "1" (a string)'],
  [{ onHandshake: true }, TypeError, "onHandshake true (a boolean): use a function"],
  [{ selectProtocol: "a" }, TypeError, 'selectProtocol "a" (a string): use a function'],
];

Deno.test("options of connections are checked by Context, connect and listen alike", () => {
  const ctx = new Context();
  for (const [options, Kind, message] of SHARED) {
    for (
      const [action, attempt] of [
        ["make a context", () => new Context(options)],
        ["connect", () => ctx.connect("ws://127.0.0.1:9/", options)],
        ["listen", () => ctx.listen(options)],
      ] as const
    ) {
      const error = thrown(attempt);
      assert(error instanceof Kind, `${error.name}: ${error.message}`);
      assertStringIncludes(error.message, `Cannot ${action} with `);
      assertStringIncludes(error.message, message);
    }
  }
});

Deno.test("options of connect are checked at once", () => {
  const ctx = new Context();
  for (const [options, Kind, message] of CONNECT) {
    const error = thrown(() => ctx.connect("ws://127.0.0.1:9/", options as ConnectOptions));
    assert(error instanceof Kind, `${message}: ${error.name} ${error.message}`);
    assertStringIncludes(error.message, message);
    assert(error.message.startsWith("Cannot "), error.message);
  }
});

Deno.test("options of listen are checked at once, before a port is bound", () => {
  const ctx = new Context();
  for (const [options, Kind, message] of LISTEN) {
    const error = thrown(() => ctx.listen(options as ListenOptions));
    assert(error instanceof Kind, `${message}: ${error.name} ${error.message}`);
    assertStringIncludes(error.message, message);
    assert(error.message.startsWith("Cannot "), error.message);
  }
});

Deno.test("a port that is in use throws at once", () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const error = thrown(() =>
    new Context().listen({ hostname: "127.0.0.1", port: taken.addr.port })
  );
  assert(error instanceof Deno.errors.AddrInUse);
});

Deno.test("connect and listen throw after shutdown", async () => {
  const ctx = new Context();
  await ctx.shutdown();
  assertStringIncludes(thrown(() => ctx.connect("ws://h/")).message, "Cannot connect on a context");
  assertStringIncludes(thrown(() => ctx.listen()).message, "Cannot listen on a context");
});

const PAYLOADS: [given: Any, shown: string][] = [
  [5, "a value of type number"],
  [undefined, "a value of type undefined"],
  [null, "null"],
  [true, "a value of type boolean"],
  [{}, "a value of class Object"],
  [[1], "a value of class Array"],
  [new Blob(["x"]), "a value of class Blob"],
  [() => {}, "a value of type function"],
];
const CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1000.5, NaN, "1000"];

Deno.test("arguments of a connection's methods are checked at once, and the connection stays usable", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage: (conn, data) => conn.send(data),
  });
  const conn = ctx.connect(listener.url);
  await conn.opened;
  for (const [payload, shown] of PAYLOADS) {
    for (const send of ["send", "sendBinary", "sendText", "sendFragment"] as const) {
      const error = thrown(() => conn[send](payload));
      assert(error instanceof TypeError, `${send} ${shown}`);
      assertStringIncludes(error.message, `Cannot send ${shown}`);
    }
  }
  for (const code of CODES) {
    const error = thrown(() => conn.close(code as number));
    assert(error instanceof RangeError);
    assertStringIncludes(error.message, `Cannot close with code ${code}`);
  }
  assertStringIncludes(
    thrown(() => conn.close(1000, "€".repeat(42))).message,
    "reason of 126 bytes",
  );
  assert(thrown(() => conn.close(1000, 5 as Any)) instanceof TypeError);
  for (const action of ["ping", "pong"] as const) {
    const error = thrown(() => conn[action](new Uint8Array(126)));
    assert(error instanceof RangeError);
    assertStringIncludes(error.message, `Cannot ${action} with a payload of 126 bytes`);
    assert(thrown(() => conn[action](5 as Any)) instanceof TypeError);
  }
  assert(thrown(() => conn.sendText(Uint8Array.of(0xff))) instanceof TypeError);
  assert(thrown(() => conn.on({ onMessage: 5 } as Any)) instanceof TypeError);
  conn.send("as ever");
  assertEquals(await conn.receive(), "as ever");
  assertEquals([conn.stats().messagesSent, conn.queuedMessages], [1, 0]);
});

Deno.test("send on a connection that isn't open throws an error that contains the message", async () => {
  await using ctx = new Context();
  const listener = ctx.listen({ hostname: "127.0.0.1" });
  const check = async (conn: Connection, state: string) => {
    const Kind = state === "connecting" ? InvalidStateError : ConnectionClosedError;
    const data = Uint8Array.of(1);
    for (const send of ["send", "sendBinary", "sendFragment"] as const) {
      const error = thrown(() => conn[send](data)) as InvalidStateError | ConnectionClosedError;
      assert(error instanceof Kind);
      assertStringIncludes(error.message, `on a ${state} connection`);
      assert(error.data === data);
    }
    assert(await failure(conn.ping()) instanceof Kind);
  };
  const conn = ctx.connect(listener.url);
  await check(conn, "connecting");
  await conn.opened;
  conn.close();
  await check(conn, "closing");
  conn.close(3000, "again");
  await conn.closed;
  await check(conn, "closed");
  conn.close(3000, "and again");
  conn.terminate();
  assertEquals((await conn.closed).sent, { code: 1000, reason: "" });
});
