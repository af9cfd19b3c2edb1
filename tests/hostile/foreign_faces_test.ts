import { assertEquals, assertInstanceOf } from "@std/assert";
import { mayFail } from "../support/failure.ts";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket } from "../../websocket.ts";
import { WebSocket as EmittingSocket, WebSocketServer } from "../../ws.ts";
import { rawListener, RawPeer, upgradeRequest, urlOf } from "../support/raw_peer.ts";
import { bounded, until } from "../support/until.ts";
import { type Boundary, called, type Code, type Stage, testBoundaries } from "./_foreign.ts";

// The listeners of `./websocket` and `./ws`. By the WHATWG standard and in Node's emitters, their errors are uncaught, and don't
// affect the connection.

const VIOLATION = Uint8Array.of(0xff, 0xff);
const BROKEN = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";

/** Errors that are thrown, or that a promise rejects with, are uncaught. Other results of listeners are ignored. */
const told: Boundary["told"] = ({ name }) => name === "throws" || name === "rejects";

/** Makes the peer do what leads to an event of the socket. */
async function provoke(peer: RawPeer, type: string): Promise<void> {
  if (type === "error") return await peer.write(VIOLATION);
  await peer.send(9, "p");
  await peer.send(10, "q");
  await peer.send(1, "m");
  if (type !== "close") return;
  await peer.sendClose(1000);
  await peer.closeCode();
  peer.close();
}

/** Uses a socket again after the code was called, unless that has ended it. Then waits for its end, which comes once. */
async function goOn(
  stage: Stage,
  peer: RawPeer,
  socket: { readonly readyState: number; send(data: string): void; close(): void },
  closes: () => number,
): Promise<void> {
  await called(stage);
  const reading = peer.next(1).catch(() => null);
  if (socket.readyState === 1) {
    socket.send("still here");
    await bounded("a message after that", reading);
  }
  socket.close();
  mayFail(peer.sendClose(1000), "the other side may have closed");
  peer.close();
  await until(() => closes() > 0, "close is emitted");
  await called(stage);
  if (closes() !== 1) throw new Error(`close was emitted ${closes()} times`);
}

const STANDARD: Boundary[] = ["open", "message", "error", "close"].flatMap((type) =>
  ["addEventListener", "attribute", "handleEvent"].map((how): Boundary => ({
    name: `a listener of WebSocket's ${type}, by ${how}`,
    told,
    async play(stage, code) {
      stage.context();
      stage.uncaught = true;
      using listener = rawListener();
      const socket = new WebSocket(urlOf(listener), { context: stage.ctx });
      if (how === "attribute") socket[`on${type}` as "onopen"] = () => code();
      else socket.addEventListener(type, how === "handleEvent" ? { handleEvent: code } : code);
      let closes = 0;
      socket.addEventListener("close", () => closes++);
      using peer = await RawPeer.accept(listener);
      for (const conn of stage.ctx.connections) stage.follow(conn);
      await mayFail(provoke(peer, type), "the listener may end the connection");
      await goOn(stage, peer, socket, () => closes);
    },
  }))
);

// The context of `./ws` connections isn't accessible, so code that calls into it uses the socket.
const withSocket = (stage: Stage, code: Code, socket: EmittingSocket): Code => (...args) => {
  const { name } = stage.way;
  if (stage.calls > 0 || stage.way.calls === undefined) return code(...args);
  code(...args);
  if (name === "closes") socket.close();
  else if (name === "terminates" || name === "shuts the context down") socket.terminate();
  else if (name === "sends" && socket.readyState === 1) socket.send("from inside");
  else if (name === "pauses and resumes") {
    socket.pause();
    queueMicrotask(() => socket.resume());
  }
};

/** Callbacks that decide about a handshake. A promise counts as true, like any object. */
const DECIDING: Record<string, (code: Code) => Code> = {
  // After the first client, all are accepted.
  verifyClient: (code) => (info) => code(info) ?? true,
  handleProtocols: (code) => (protocols) => code(protocols) ?? [...protocols][0],
};

const EMITTER: Boundary[] = [
  ...["open", "upgrade", "message", "ping", "pong", "error", "close"].flatMap((type) =>
    ["on", "addEventListener"].map((how): Boundary => ({
      name: `a listener of ws's ${type}, by ${how}`,
      // Browsers don't have the other events.
      except: () => how === "addEventListener" && ["upgrade", "ping", "pong"].includes(type),
      told,
      async play(stage, code) {
        stage.context();
        stage.uncaught = true;
        using listener = rawListener();
        const socket = new EmittingSocket(urlOf(listener));
        let closes = 0;
        if (type !== "error") socket.on("error", () => {});
        // Added first, since an emitter doesn't call the listeners after one that throws.
        socket.on("close", () => closes++);
        socket[how as "on"](type, withSocket(stage, code, socket));
        using peer = await RawPeer.accept(listener);
        await mayFail(provoke(peer, type), "the listener may end the connection");
        await goOn(stage, peer, socket, () => closes);
      },
    }))
  ),
  ...["send", "ping"].map((method): Boundary => ({
    name: `the callback of ws's ${method}()`,
    told,
    async play(stage, code) {
      stage.context();
      stage.uncaught = true;
      using listener = rawListener();
      const socket = new EmittingSocket(urlOf(listener));
      let closes = 0;
      socket.on("close", () => closes++);
      using peer = await RawPeer.accept(listener);
      await once(socket, "open");
      if (method === "send") socket.send("x", withSocket(stage, code, socket));
      else socket.ping("x", undefined, withSocket(stage, code, socket));
      await goOn(stage, peer, socket, () => closes);
    },
  })),
  {
    name: "a listener of ws's error, of a handshake that is refused",
    told,
    async play(stage, code) {
      stage.context();
      stage.uncaught = true;
      using listener = rawListener();
      const socket = new EmittingSocket(urlOf(listener));
      let closes = 0;
      socket.on("error", withSocket(stage, code, socket));
      socket.on("close", () => closes++);
      using peer = new RawPeer(await listener.accept(), "server");
      await peer.readHead();
      await peer.write(BROKEN);
      await goOn(stage, peer, socket, () => closes);
    },
  },
  ...["connection", "headers", "listening", "close", ...Object.keys(DECIDING)].map((
    type,
  ): Boundary => ({
    name: `${type in DECIDING ? "" : "a listener of "}WebSocketServer's ${type}`,
    // A result that isn't a string isn't a subprotocol: see below.
    except: ({ synchronous }) => type === "handleProtocols" && !synchronous,
    told,
    async play(stage, code) {
      stage.context();
      stage.uncaught = true;
      const server = new WebSocketServer({
        host: "127.0.0.1",
        port: 0,
        ...(type in DECIDING ? { [type]: DECIDING[type](code) } : {}),
      });
      const closed = once(server, "close");
      server.on(type, code);
      server.on("connection", (socket: EmittingSocket) => {
        socket.on("message", (data: unknown) => socket.send(String(data)));
      });
      if (!server.address()) await until(() => server.address() !== null);
      const { port } = server.address() as AddressInfo;
      try {
        if (type === "close") return;
        using first = await RawPeer.dial(port);
        const subprotocols = { "Sec-WebSocket-Protocol": "a" };
        await bounded("an answer", mayFail(first.request(subprotocols), "it may be refused"));
        await called(stage);
        // Other clients are served as before.
        using other = await RawPeer.connect(port, subprotocols);
        await other.send(1, "honest");
        await bounded("an echo", other.next(1));
      } finally {
        for (const socket of server.clients!) socket.terminate();
        server.close();
        await bounded("the server's end", closed);
        await called(stage);
      }
    },
  })),
];

Deno.test("a handleProtocols that doesn't return a string refuses with 500, and the error is uncaught", async () => {
  const uncaught = Promise.withResolvers<unknown>();
  const listener = (event: ErrorEvent) => {
    event.preventDefault();
    uncaught.resolve(event.error);
  };
  addEventListener("error", listener);
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    handleProtocols: () => Promise.resolve("a") as unknown as string,
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  using peer = await RawPeer.dial(port);
  await peer.write(upgradeRequest({ "Sec-WebSocket-Protocol": "a" }));
  assertEquals((await peer.response()).status, 500);
  assertInstanceOf(await uncaught.promise, TypeError);
  removeEventListener("error", listener);
  server.close();
  await once(server, "close");
});

testBoundaries([...STANDARD, ...EMITTER]);
