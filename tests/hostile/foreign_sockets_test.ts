import { assertEquals } from "@std/assert";
import { compressed } from "../support/deflate.ts";
import { mayFail } from "../support/failure.ts";
import zlib from "node:zlib";
import { type Connection, Context, type Sockets } from "../../mod.ts";
import { frame, TEXT } from "../support/frames.ts";
import { rawListener, RawPeer, urlOf } from "../support/raw_peer.ts";
import { utf8 } from "../support/bytes.ts";
import { bounded, turn, until } from "../support/until.ts";
import { WatchedConn } from "../support/watched_conn.ts";
import { type Boundary, called, type Code, type Stage, testBoundaries } from "./_foreign.ts";

// Foreign code below a connection: the sockets of the option `sockets`, and zlib.

/** Deno's sockets, except for one method or property of one kind of object, which is the foreign code. */
function oddSockets(
  stage: Stage,
  kind: "sockets" | "listener" | "socket",
  member: string,
  code: Code,
): Sockets {
  let used = false;
  // Closes what the library couldn't close.
  const own = <T extends Disposable>(resource: T): T => {
    stage.finally(() => {
      try {
        resource[Symbol.dispose]();
      } catch {
        // It was closed.
      }
    });
    return resource;
  };
  const odd = <T extends object>(name: string, object: T): T => {
    if (name !== kind) return object;
    return new Proxy(object, {
      get(target, key) {
        const value = Reflect.get(target, key, target), isMethod = typeof value === "function";
        if (key !== member || used) return isMethod ? value.bind(target) : value;
        if (isMethod) {
          return (...args: unknown[]) => {
            if (used) return value.apply(target, args);
            used = true;
            return code(...args);
          };
        }
        used = true;
        return code();
      },
    });
  };
  return odd(
    "sockets",
    {
      listenTcp({ hostname, port }) {
        const listener = own(Deno.listen({ hostname, port }));
        return odd("listener", {
          addr: listener.addr,
          accept: async () => odd("socket", own(await listener.accept())),
          close: () => listener.close(),
          ref: () => listener.ref(),
          unref: () => listener.unref(),
        });
      },
      listenUnix: () => {
        throw new Error("not used here");
      },
      connectTcp: async (hostname, port, signal) =>
        odd("socket", own(await Deno.connect({ hostname, port, signal }))),
      connectUnix: async (path) =>
        odd("socket", own(await Deno.connect({ transport: "unix", path }))),
    } satisfies Sockets as Sockets,
  );
}

/** Performs the handshake, exchanges a message, and violates the protocol, as far as that is possible. */
async function visit(port: number): Promise<RawPeer> {
  const peer = await RawPeer.dial(port);
  const use = async () => {
    await peer.request();
    await peer.send(1, "m");
    await peer.next(1);
    await peer.write(VIOLATION);
    await peer.frames();
  };
  mayFail(use(), "the socket misbehaves");
  return peer;
}

const VIOLATION = Uint8Array.of(0xff, 0xff);

/** The sockets that a listener accepts. */
function accepted(method: string): Boundary {
  return {
    name: `${method}() of a socket that sockets has accepted`,
    // A promise isn't a valid value of a socket's properties.
    except: ({ synchronous }) =>
      (method.endsWith("Addr") || method === "setNoDelay") && !synchronous,
    told: ({ tells }) => tells && method !== "closeWrite" && method !== "close",
    async play(stage, code) {
      stage.context({ closeTimeout: 100 });
      const port = stage.listen({ sockets: oddSockets(stage, "socket", method, code) });
      using _peer = await visit(port);
      await called(stage);
      return port;
    },
  };
}

const LISTENING: Boundary[] = [
  {
    name: "listenTcp() of sockets",
    except: ({ synchronous, calls }) => !synchronous || calls === true,
    play(stage, code) {
      stage.context();
      try {
        stage.listen({ sockets: oddSockets(stage, "sockets", "listenTcp", code) });
      } catch (error) {
        stage.told.push(error);
      }
      return Promise.resolve();
    },
  },
  {
    name: "accept() of a listener that sockets has made",
    except: ({ calls }) => calls === true,
    async play(stage, code) {
      stage.context();
      const port = stage.listen({ sockets: oddSockets(stage, "listener", "accept", code) });
      await called(stage);
      // No connection is accepted if `accept` never settles.
      if (stage.way.name !== "never settles") return port;
      await bounded("shutdown", stage.ctx.shutdown());
    },
  },
  {
    name: "close() of a listener that sockets has made",
    // The listener counts as closed all the same.
    told: () => false,
    except: ({ calls }) => calls === true,
    async play(stage, code) {
      stage.context();
      const sockets = oddSockets(stage, "listener", "close", code);
      const listener = stage.ctx.listen({ hostname: "127.0.0.1", sockets });
      listener.close();
      await bounded("finished", listener.finished);
    },
  },
  ...["read", "write", "closeWrite", "close", "setNoDelay", "remoteAddr", "localAddr"].map(
    (method) => accepted(method),
  ),
];

const DIALLING: Boundary[] = [
  {
    name: "connectTcp() of sockets",
    async play(stage, code) {
      stage.context();
      const conn = stage.follow(stage.ctx.connect("ws://127.0.0.1:1/", {
        sockets: oddSockets(stage, "sockets", "connectTcp", code),
        connectTimeout: 100,
      }));
      await bounded("closed", conn.closed);
      await called(stage);
    },
  },
  {
    name: "connectUnix() of sockets",
    async play(stage, code) {
      stage.context();
      const conn = stage.follow(stage.ctx.connect("ws://localhost/", {
        unix: "/nowhere",
        sockets: oddSockets(stage, "sockets", "connectUnix", code),
        connectTimeout: 100,
      }));
      await bounded("closed", conn.closed);
      await called(stage);
    },
  },
  ...["read", "write", "closeWrite", "close", "setNoDelay"].map((method): Boundary => ({
    name: `${method}() of a socket that sockets has connected`,
    except: ({ synchronous }) => method === "setNoDelay" && !synchronous,
    told: ({ tells }) => tells && method !== "closeWrite" && method !== "close",
    async play(stage, code) {
      stage.context({ closeTimeout: 100 });
      using listener = rawListener();
      const conn = stage.follow(stage.ctx.connect(urlOf(listener), {
        sockets: oddSockets(stage, "socket", method, code),
        connectTimeout: 200,
        onMessage() {},
      }));
      const peer = new RawPeer(await listener.accept(), "server");
      stage.finally(() => peer.close());
      try {
        await Promise.race([peer.answer(), conn.closed]);
        await peer.write(VIOLATION);
        await called(stage);
      } catch {
        // It is closed already.
      }
      peer.close();
      await bounded("closed", conn.closed);
      await called(stage);
    },
  })),
];

// ---- Streams during their opening handshake ----------------------------------------------------------------------------

const OPENING: Boundary[] = (["server", "client"] as const).flatMap((role) => {
  const adopt = async (
    stage: Stage,
    stream: Parameters<Stage["ctx"]["adopt"]>[0],
    peer: RawPeer<WatchedConn> | null,
  ) => {
    const conn = stage.follow(stage.ctx.adopt(stream, {
      role,
      handshakeTimeout: 300,
      connectTimeout: 300,
      ...(role === "client" ? { url: "ws://a.example/" } : {}),
      onMessage() {},
    }));
    const speak = role === "client" ? peer?.answer() : peer?.request();
    if (speak) mayFail(speak.then(() => peer!.write(VIOLATION)), "the stream may have ended");
    await called(stage);
    if (peer) mayFail(peer.conn.closeWrite(), "the stream may have ended");
    await bounded("closed", conn.closed);
  };
  return [
    ...(["read", "write", "closeWrite", "close"] as const).map((method): Boundary => ({
      name: `${method}() of a Deno.Conn, during the handshake of a ${role}`,
      told: ({ tells }) => tells && (method === "read" || method === "write"),
      async play(stage, code) {
        stage.context();
        const [near, far] = WatchedConn.pair(64 * 1024, WatchedConn);
        const proper = near[method] as Code;
        near[method] = (...args: unknown[]) =>
          stage.calls === 0 ? code() : proper.apply(near, args);
        using peer = new RawPeer(far, role === "client" ? "server" : "client");
        await adopt(stage, near, peer);
      },
    })),
    ...(["pull", "cancel", "write", "close"] as const).map((method): Boundary => ({
      name: `${method}() of a stream pair, during the handshake of a ${role}`,
      // These methods are called only after a delay.
      except: ({ calls }) => calls === true && (method === "cancel" || method === "close"),
      told: ({ tells }) =>
        tells && (method === "pull" || (method === "write" && role === "client")),
      async play(stage, code) {
        stage.context();
        const source: UnderlyingSource<Uint8Array> = {
          pull: (to) => method === "close" ? to.enqueue(utf8("GET / HTTP/9\r\n\r\n")) : undefined,
        };
        const sink: UnderlyingSink<Uint8Array> = {};
        if (method === "pull" || method === "cancel") source[method] = code;
        else sink[method] = code;
        await adopt(stage, {
          readable: new ReadableStream(source, { highWaterMark: 0 }),
          writable: new WritableStream(sink),
        }, null);
      },
    })),
  ];
});

// ---- zlib -------------------------------------------------------------------------------------------------------------

type Handle = Record<string, Code>;

// Each handle keeps the methods of its prototype from the time when it is made, so they are replaced before that.
// deno-lint-ignore no-explicit-any -- not documented
const prototype = Object.getPrototypeOf((zlib.createInflateRaw() as any)._handle) as Handle;
let odd: { method: string; code: Code } | null = null;

for (const method of ["writeSync", "init", "reset", "close"]) {
  const original = prototype[method];
  prototype[method] = function (this: Handle, ...args: unknown[]) {
    if (odd === null || odd.method !== method) return original.apply(this, args);
    const { code } = odd;
    odd = null;
    return code();
  };
}

/** The text "xyzxyzxyz…", compressed. */
const PACKED = compressed("xyz".repeat(100));

const ZLIB: Boundary[] = (["compressing", "inflating"] as const).flatMap((direction) =>
  ["writeSync", "init", "close"].map((method): Boundary => ({
    name: `${method}() of zlib, ${direction}`,
    // zlib only computes: it returns no promises, and has no objects of the library.
    except: ({ synchronous, calls }) => !synchronous || calls === true,
    told: ({ tells }) => tells && method !== "close",
    async play(stage, code) {
      stage.context();
      const opened = Promise.withResolvers<Connection>();
      const port = stage.listen({
        compression: { threshold: 0 },
        onConnect: (conn) => opened.resolve(stage.follow(conn)),
        onMessage: (conn, data) => void (conn.state === "open" && conn.send(data)),
      });
      const deflate = "permessage-deflate";
      using peer = await RawPeer.connect(port, { "Sec-WebSocket-Extensions": deflate });
      assertEquals(peer.extensions, deflate);
      const conn = await opened.promise;
      await misbehave(stage, method, code, async () => {
        if (direction === "compressing") {
          try {
            conn.send("x".repeat(300));
          } catch (error) {
            stage.told.push(error);
          }
        } else {
          await peer.write(peer.encode(frame(TEXT, PACKED, { rsv: 4 })));
        }
        if (method === "close") {
          await until(() => conn.stats().messagesReceived + conn.stats().messagesSent > 0);
          conn.close();
        }
      });
      peer.close();
      await bounded("closed", conn.closed);
      return port;
    },
  }))
);

async function misbehave(
  stage: Stage,
  method: string,
  code: Code,
  act: () => Promise<void>,
): Promise<void> {
  odd = { method, code };
  try {
    await act();
    await until(() => stage.calls > 0);
    for (let i = 0; i < 5; i++) await turn();
  } finally {
    odd = null;
  }
}

testBoundaries([...LISTENING, ...DIALLING, ...OPENING, ...ZLIB]);

Deno.test("whatever setNoDelay() of a socket returns, the handshake continues", async () => {
  const unused = () => {
    throw new Error("not used here");
  };
  for (const result of [false, null, new Promise(() => {})]) {
    await using ctx = new Context();
    const sockets: Sockets = {
      listenTcp({ hostname, port }) {
        const listener = Deno.listen({ hostname, port });
        return {
          addr: listener.addr,
          accept: async () =>
            Object.assign(await listener.accept(), {
              setNoDelay: () => result as unknown as void,
            }),
          close: () => listener.close(),
          ref() {},
          unref() {},
        };
      },
      listenUnix: unused,
      connectTcp: unused,
      connectUnix: unused,
    };
    const { port } = ctx.listen({ hostname: "127.0.0.1", sockets, handshakeTimeout: 2000 });
    using peer = await RawPeer.dial(port);
    await bounded("answered", peer.request());
    assertEquals(peer.head.slice(9, 12), "101");
  }
});
