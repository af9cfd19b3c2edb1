import { Duplex } from "node:stream";
import { assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import {
  type Broker,
  type Connection,
  ConnectionClosedError,
  type ConnectionOptions,
  Context,
  type ListenOptions,
} from "../../mod.ts";
import { utf8 } from "../support/bytes.ts";
import { closeFrame } from "../support/frames.ts";
import {
  type ByteStream,
  rawListener,
  RawPeer,
  upgradeRequest,
  urlOf,
} from "../support/raw_peer.ts";
import { bounded, turn } from "../support/until.ts";
import { WatchedConn } from "../support/watched_conn.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { type Boundary, called, type Code, type Stage, testBoundaries } from "./_foreign.ts";
import { mayFail } from "../support/failure.ts";

// Every place at which foreign code is called × every way to misbehave: the connection, its context and its listener continue
// or end as they should, no rejection is unhandled, and the error is reported.

// ---- Callbacks of a connection ----------------------------------------------------------------------------------------

const CALLBACKS = [
  "onConnect",
  "onMessage",
  "onPing",
  "onPong",
  "onDrain",
  "onClose",
  "onError",
  "onFrameStart",
  "onFrameChunk",
  "onFrameEnd",
] as const;

/** Makes the peer do what leads to the call of each callback. */
async function provoke(peer: RawPeer, conn: Connection, name: string): Promise<void> {
  await peer.send(1, "m");
  await peer.send(9, "p");
  await peer.send(10, "q");
  if (conn.state === "open") conn.send("x");
  if (name === "onClose") await peer.sendClose(1000);
  if (name === "onError") await peer.write(Uint8Array.of(0xff, 0xff));
}

function callback(name: typeof CALLBACKS[number], role: "server" | "client"): Boundary {
  return {
    name: `${name} of a ${role}`,
    async play(stage, code) {
      stage.context();
      const opened = Promise.withResolvers<Connection>();
      const { onClose } = stage.notes();
      const options: ConnectionOptions = {
        onMessage: () => {},
        onConnect: (conn) => opened.resolve(stage.follow(conn)),
      };
      const own = options[name as "onConnect"];
      options[name] = (...args: never[]) => {
        (own as Code | undefined)?.(...args);
        if (name === "onClose") (onClose as Code)(...args);
        return code(...args);
      };
      let peer: RawPeer, port: number | undefined;
      if (role === "server") {
        port = stage.listen({
          ...options,
          // Later connections are served by an echo.
          onMessage: (conn, data) => {
            if (name === "onMessage" && stage.calls === 0) return code(conn, data);
            if (conn.state === "open") conn.send(data);
          },
        });
        peer = await RawPeer.connect(port);
      } else {
        using listener = rawListener();
        stage.follow(stage.ctx.connect(urlOf(listener), options));
        peer = await RawPeer.accept(listener);
      }
      stage.finally(() => peer.close());
      const conn = await opened.promise;
      await mayFail(provoke(peer, conn, name), "the callback may end the connection");
      await called(stage);
      return port;
    },
  };
}

// ---- Callbacks of a listener ------------------------------------------------------------------------------------------

const certificates = makeCertificates();
globalThis.addEventListener("unload", () => certificates[Symbol.dispose]());

const REQUEST = upgradeRequest({
  "Origin": "https://a.example",
  "Sec-WebSocket-Protocol": "a, b",
});

const GET = utf8("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

/** A handshake during which the code is called. */
function handshake(
  name: string,
  options: (code: Code) => ListenOptions,
  bytes: Uint8Array = REQUEST,
): Boundary {
  return {
    name,
    async play(stage, code) {
      stage.context();
      const port = stage.listen(options(code));
      using peer = await RawPeer.dial(port);
      await peer.write(bytes);
      // There is always a response or an end, but a handler may take any time.
      const answered = bounded("an answer", peer.readHead()).catch((error) => {
        if (/still waiting/.test(`${error}`)) throw error;
      });
      await (name === "handler" ? Promise.race([answered, called(stage)]) : answered);
      // A refusal waits until its client has disconnected.
      peer.close();
      await called(stage);
      return port;
    },
  };
}

const LISTENER: Boundary[] = [
  handshake("onHandshake", (onHandshake) => ({ onHandshake })),
  handshake(
    "onHandshakeError",
    (onHandshakeError) => ({ onHandshakeError }),
    upgradeRequest({
      "Sec-WebSocket-Key": null,
    }),
  ),
  handshake("selectProtocol", (selectProtocol) => ({ selectProtocol })),
  // A client that was refused may be accepted later.
  handshake("an origins predicate", (code) => {
    let calls = 0;
    return { origins: (origin) => ++calls === 1 ? code(origin) : true };
  }),
  {
    ...handshake(
      "handler",
      (code) => ({ handler: async (request) => (await code(request)) ?? new Response("ok") }),
      GET,
    ),
    // `Deno.serve` itself reports to the console.
    told: () => false,
  },
  {
    name: "tls.resolve",
    async play(stage, code) {
      stage.context();
      const { port } = stage.ctx.listen({
        hostname: "127.0.0.1",
        handshakeTimeout: 300,
        tls: { ...certificates.server, resolve: code },
        onMessage: (conn, data) => void conn.send(data),
        onHandshakeError: (error) => void stage.told.push(error),
      });
      const dial = () =>
        Deno.connectTls({ hostname: "localhost", port, caCerts: [certificates.ca] })
          .then(async (conn) => {
            await conn.handshake();
            return conn;
          });
      // The first client may be refused; a later one is served with the default certificate.
      await bounded("a TLS handshake", dial().then((conn) => conn.close(), () => {}));
      await called(stage);
      if (stage.way.name === "shuts the context down") return;
      using peer = new RawPeer<ByteStream>(await bounded("another", dial()), "client");
      await peer.request();
      await peer.send(1, "secret");
      await bounded("an echo over TLS", peer.next(1));
    },
  },
  {
    name: "onSubscription",
    async play(stage, code) {
      stage.context();
      const opened = Promise.withResolvers<Connection>();
      const port = stage.listen({
        onSubscription: code,
        onConnect: (conn) => opened.resolve(stage.follow(conn)),
      });
      using peer = await RawPeer.connect(port);
      const conn = await opened.promise;
      conn.subscribe("t");
      await called(stage);
      if (conn.state === "open") conn.unsubscribe("t");
      peer.close();
      return port;
    },
  },
  {
    name: "onTick",
    async play(stage, code) {
      stage.context();
      const port = stage.listen({ tickInterval: 5, onTick: code });
      await called(stage);
      return port;
    },
  },
  {
    name: "onShutdown",
    async play(stage, code) {
      stage.context();
      const port = stage.listen({ onShutdown: code });
      using _peer = await RawPeer.connect(port);
      await bounded("shutdown", stage.ctx.shutdown({ timeout: 200 }));
    },
  },
];

// ---- Bodies and other sources -----------------------------------------------------------------------------------------

/** A stream whose source misbehaves after its first chunk. */
function badBody(code: Code): ReadableStream<Uint8Array> {
  let chunks = 0;
  return new ReadableStream({
    pull: (controller) => {
      if (chunks++ > 0) return code();
      controller.enqueue(utf8("first"));
    },
  }, { highWaterMark: 0 });
}

/** Sends a message from a source that contains the code. */
function source(name: string, make: (code: Code) => unknown): Boundary {
  return {
    name,
    async play(stage, code) {
      stage.context();
      const opened = Promise.withResolvers<Connection>();
      const port = stage.listen({ onConnect: (conn) => opened.resolve(stage.follow(conn)) });
      using peer = await RawPeer.connect(port);
      const conn = await opened.promise;
      const reading = peer.frames();
      const sent = conn.sendStream(make(code) as Iterable<string>).then(() => {}, (error) => {
        stage.told.push(error);
      });
      await called(stage);
      conn.terminate();
      peer.close();
      await bounded("sendStream", sent);
      await reading;
      return port;
    },
  };
}

const SOURCES: Boundary[] = [
  source("next() of an iterator", (code) => ({ [Symbol.iterator]: () => ({ next: code }) })),
  {
    ...source("Symbol.iterator", (code) => ({ [Symbol.iterator]: code })),
    // Its result isn't awaited.
    except: ({ synchronous }) => !synchronous,
  },
  source("next() of an asynchronous iterator", (code) => ({
    [Symbol.asyncIterator]: () => ({ next: async () => await code() }),
  })),
  {
    ...source("the value of an asynchronous iterator", (code) => ({
      [Symbol.asyncIterator]: () => ({ next: async () => ({ value: await code() }) }),
    })),
  },
  source("pull() of a stream", (code) => badBody(code)),
  {
    ...source("return() of an iterator", (code) => ({
      [Symbol.iterator]: () => ({
        next: () => ({ value: 7, done: false }),
        return: code,
      }),
    })),
    // An error while a source is cancelled isn't reported.
    told: () => false,
  },
  {
    ...handshake("the body of a refusal", (code) => ({
      onHandshake: (request) =>
        new URL(request.url).pathname === "/bad"
          ? new Response(badBody(code), { status: 403 })
          : undefined,
    }), upgradeRequest({}, "GET /bad HTTP/1.1")),
    told: () => false,
  },
  {
    ...handshake(
      "the body of an answer",
      (code) => ({ handler: () => new Response(badBody(code)) }),
      GET,
    ),
    // `Deno.serve` has to report it.
    told: () => false,
  },
];

// ---- Options that are functions ---------------------------------------------------------------------------------------

const FUNCTIONS: Boundary[] = [
  {
    name: "maskGenerator",
    // It is called in the middle of a frame, and must not use the connection by its documentation.
    except: ({ synchronous, calls }) => !synchronous || calls === true,
    async play(stage, code) {
      stage.context();
      using listener = rawListener();
      const conn = stage.follow(
        stage.ctx.connect(urlOf(listener), { maskGenerator: code, onMessage: () => {} }),
      );
      using peer = await RawPeer.accept(listener);
      await conn.opened;
      conn.send("a");
      await called(stage);
      if (conn.state === "open") {
        conn.send("b");
        for (let got = ""; got !== "b";) {
          got = new TextDecoder().decode((await bounded("what was sent", peer.next(1))).payload);
        }
      }
    },
  },
  {
    name: "debug",
    // Its errors can only be reported to the console.
    except: ({ synchronous }) => !synchronous,
    async play(stage, code) {
      stage.context();
      const port = stage.listen({ debug: code });
      using peer = await RawPeer.connect(port);
      await peer.send(1, "traced");
      await called(stage);
      return port;
    },
  },
  ...(["retryable", "onRetry"] as const).map((name): Boundary => ({
    name: `${name} of reconnect`,
    async play(stage, code) {
      stage.context();
      const abort = new AbortController();
      const backoff = { initial: 5, max: 5 };
      const all = stage.ctx.reconnect("ws://127.0.0.1:1/", {
        backoff,
        signal: abort.signal,
        [name]: code,
        ...(name === "onRetry" ? { retryable: () => true } : {}),
      });
      const next = all[Symbol.asyncIterator]().next().then(() => {}, (error) => {
        stage.told.push(error);
      });
      await called(stage);
      abort.abort();
      await bounded("reconnect", next);
    },
  })),
  {
    name: "the callback of watchReadable",
    async play(stage, code) {
      stage.context();
      const watch = stage.ctx.watchReadable(ReadableStream.from(["a", "b"]), code);
      stage.finally(() => watch.unwatch());
      await called(stage);
    },
  },
  {
    name: "the callback of watchWritable",
    async play(stage, code) {
      stage.context();
      const watch = stage.ctx.watchWritable(new WritableStream(), code);
      stage.finally(() => watch.unwatch());
      await called(stage);
    },
  },
  {
    name: "a callback that on() has set",
    async play(stage, code) {
      stage.context();
      const opened = Promise.withResolvers<Connection>();
      const port = stage.listen({ onConnect: (conn) => opened.resolve(stage.follow(conn)) });
      using peer = await RawPeer.connect(port);
      (await opened.promise).on({ onMessage: code });
      await peer.send(1, "m");
      await called(stage);
      return port;
    },
  },
];

// ---- Brokers ----------------------------------------------------------------------------------------------------------

const BROKER: Boundary[] = (["start", "subscribe", "unsubscribe", "publish", "close"] as const).map(
  (method): Boundary => ({
    name: `${method}() of a broker`,
    async play(stage, code) {
      const broker: Broker = {
        start: () => Promise.resolve(),
        subscribe: () => Promise.resolve(),
        unsubscribe: () => {},
        publish: () => Promise.resolve(),
        close: () => Promise.resolve(),
        [method]: code,
      };
      stage.context({ broker, onBrokerError: (error) => void stage.told.push(error) });
      const opened = Promise.withResolvers<Connection>();
      const port = stage.listen({ onConnect: (conn) => opened.resolve(stage.follow(conn)) });
      using peer = await RawPeer.connect(port);
      const conn = await opened.promise;
      const tell = (act: () => unknown) => {
        try {
          return act();
        } catch (error) {
          stage.told.push(error);
        }
      };
      if (conn.state === "open") tell(() => conn.subscribe("t"));
      for (let i = 0; i < 3; i++) await turn();
      const result = tell(() => stage.ctx.publish("t", "to all")) as
        | { relayed?: Promise<void> }
        | undefined;
      result?.relayed?.catch((error) => stage.told.push(error));
      if (conn.state === "open") tell(() => conn.unsubscribe("t"));
      if (method === "close") await bounded("shutdown", stage.ctx.shutdown({ timeout: 200 }));
      await called(stage);
      peer.close();
      return method === "close" ? undefined : port;
    },
  }),
);

// ---- Transports -------------------------------------------------------------------------------------------------------

/** A connection over a misbehaving stream of the application, with traffic in both directions. */
async function overStream(
  stage: Stage,
  stream: Parameters<Stage["ctx"]["adopt"]>[0],
  peer: RawPeer<WatchedConn> | null,
): Promise<void> {
  const conn = stage.follow(stage.ctx.adopt(stream, {
    handshake: false,
    onMessage: (conn, data) => void (conn.state === "open" && conn.send(data)),
    keepAlive: false,
  }));
  peer?.send(1, "m");
  await turn();
  if (conn.state === "open") conn.send(new Uint8Array(10));
  await turn();
  conn.unref();
  conn.ref();
  // If the error ends the connection, that comes before our close.
  if (!stage.way.tells) conn.close();
  await turn();
  if (!stage.way.tells) peer?.write(peer.encode(closeFrame(1000)));
  await turn();
  if (peer) mayFail(peer.conn.closeWrite(), "the stream may have ended");
  await turn();
  conn.close();
  // The connection ends at `closeTimeout` at the latest.
  await bounded("closed", conn.closed);
}

/** Makes the connection fail, so that its direction is ended. */
const VIOLATION = Uint8Array.of(0xff, 0xff);

const TRANSPORTS: Boundary[] = [
  ...(["read", "write", "closeWrite", "close"] as const).map((method): Boundary => ({
    name: `${method}() of a Deno.Conn`,
    // An error while a stream is closed isn't reported.
    told: ({ tells }) => tells && (method === "read" || method === "write"),
    async play(stage, code) {
      stage.context();
      const [near, far] = WatchedConn.pair(64 * 1024, WatchedConn);
      near[method] = code;
      using peer = new RawPeer(far, "client");
      if (method === "closeWrite") peer.write(VIOLATION);
      await overStream(stage, near, peer);
    },
  })),
  ...(["pull", "cancel", "write", "close", "abort"] as const).map((method): Boundary => ({
    name: `${method}() of a stream pair`,
    told: ({ tells }) => tells && (method === "pull" || method === "write"),
    async play(stage, code) {
      stage.context();
      const source: UnderlyingSource<Uint8Array> = { pull: () => new Promise(() => {}) };
      const sink: UnderlyingSink<Uint8Array> = {};
      if (method === "pull" || method === "cancel") source[method] = code;
      else sink[method] = code;
      if (method === "abort") {
        // It is called after the pending write has settled.
        sink.write = (_, { signal }) =>
          new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
      }
      await overStream(stage, {
        readable: new ReadableStream(source, { highWaterMark: 0 }),
        writable: new WritableStream(sink),
      }, null);
    },
  })),
  ...(["read", "write", "final", "destroy"] as const).map((method): Boundary => ({
    name: `${method}() of a Node stream`,
    // Node's streams ignore its result.
    except: ({ synchronous }) => !synchronous,
    told: ({ tells }) => tells && (method === "read" || method === "write"),
    async play(stage, code) {
      stage.context();
      let read = false;
      const stream = new Duplex({
        read() {
          if (!read && method === "final") this.push(VIOLATION);
          read = true;
        },
        write: (_chunk, _encoding, done) => done(),
        [method]: code,
      });
      await overStream(stage, stream, null);
    },
  })),
];

// ---- Empty sources ----------------------------------------------------------------------------------------------------

/** A stream of empty chunks without end. */
const nothing = () =>
  new ReadableStream<Uint8Array>({ pull: (to) => to.enqueue(new Uint8Array(0)) });

Deno.test("foreign code: an endless source of empty chunks doesn't block the event loop", async () => {
  await using ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  const told: unknown[] = [];
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    handshakeTimeout: 100,
    handler: () => new Response(nothing()),
    onHandshake: ({ url }) => url.endsWith("/refused") ? new Response(nothing()) : true,
    onHandshakeError: (error) => void told.push(error),
    onConnect: accepted.resolve,
  });
  using peer = await RawPeer.connect(port);
  const conn = await accepted.promise;
  const sources = [
    nothing(),
    (async function* () {
      for (;;) yield "";
    })(),
    (function* () {
      for (;;) yield new Uint8Array(0);
    })(),
  ];
  const sent = sources.map((source) => conn.sendStream(source).catch((error) => error));
  using refused = await RawPeer.dial(port);
  await refused.write(upgradeRequest({}, "GET /refused HTTP/1.1"));
  using asking = await RawPeer.dial(port);
  await asking.write(GET);
  assertMatch(await asking.readHead(), / 200 /);
  assertMatch(await refused.readHead(), / 408 /);
  assertEquals(told.length, 1);
  for (const other of [refused, asking]) other.close();
  // Each waits for turns, until the end.
  await turn();
  conn.terminate();
  for (const error of await Promise.all(sent)) assertInstanceOf(error, ConnectionClosedError);
  peer.close();
});

testBoundaries([
  ...CALLBACKS.flatMap((name) =>
    (["server", "client"] as const).map((role) => callback(name, role))
  ),
  ...LISTENER,
  ...SOURCES,
  ...FUNCTIONS,
  ...BROKER,
  ...TRANSPORTS,
]);
