// Arguments that programs pass by mistake, and how the package handles them.

import { Buffer } from "node:buffer";
import { assertEquals, assertThrows } from "@std/assert";
import { RawPeer } from "../support/raw_peer.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, record, serve } from "./_serve.ts";

both(
  "maxPayload: 0 and invalid values mean no limit, and numeric strings are converted",
  async (ws) => {
    for (
      const [maxPayload, bounded] of [
        [0, false],
        [-1, false],
        [Infinity, false],
        [NaN, false],
        [null, false],
        ["10", true],
        [10.5, true],
      ] as [never, boolean][]
    ) {
      await using p = await pair(ws, { maxPayload });
      p.client.send(Buffer.alloc(30));
      if (bounded) {
        assertEquals(
          (await next(p.serverLog, "error"))[0].code,
          "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
        );
      } else assertEquals((await next(p.serverLog, "message"))[0].length, 30);
    }
  },
);

both("closeTimeout: 0 and invalid values are the shortest time", async (ws) => {
  for (const closeTimeout of [0, -1, null, "10", 1.5] as never[]) {
    await using s = await serve(ws, { closeTimeout });
    using _raw = await RawPeer.connect(s.port);
    const { socket, log } = await s.accepted.next();
    socket.close();
    assertEquals(await closing(log), [1006, ""]);
  }
});

both("threshold: with a negative value every message is compressed", async (ws) => {
  const perMessageDeflate = { threshold: -1 };
  await using p = await pair(ws, { perMessageDeflate });
  p.client.send("");
  p.server.send("x");
  assertEquals(await next(p.serverLog, "message"), [Buffer.from(""), false]);
  assertEquals(await next(p.clientLog, "message"), [Buffer.from("x"), false]);
});

both("new WebSocketServer throws without options", (ws) => {
  const Server = ws.WebSocketServer as unknown as new () => unknown;
  assertThrows(() => new Server(), TypeError, "One and only one of the");
});

both("new WebSocket throws if the subprotocols are null", (ws) => {
  const error = assertThrows(() => new ws.WebSocket("ws://127.0.0.1:1", null as never));
  assertEquals((error as Error).message, "An invalid or duplicated subprotocol was specified");
});

both("close: a reason without a length is ignored", async (ws) => {
  for (const reason of [5, {}, "", true] as never[]) {
    await using p = await pair(ws);
    p.client.close(1000, reason);
    assertEquals(await closing(p.serverLog), [1000, ""]);
  }
  await using p = await pair(ws);
  assertThrows(() => p.client.close(1000, null as never), TypeError);
  // Without a code there is no reason, whatever it is.
  p.client.close(undefined, null as never);
  assertEquals(await closing(p.serverLog), [1005, ""]);
});

both("close: a reason that is neither a string nor bytes throws", async (ws) => {
  await using p = await pair(ws);
  for (const reason of [[1, 2], new Uint16Array(2), new String("ab"), { length: 2 }] as never[]) {
    assertThrows(() => p.client.close(1000, reason), TypeError);
  }
  assertEquals(p.client.readyState, 1);
  p.client.close(1000, Uint8Array.of(0x61, 0x62));
  assertEquals(await closing(p.serverLog), [1000, "ab"]);
});

function bytesIn<Memory extends ArrayBufferLike>(memory: Memory): Memory {
  new Uint8Array(memory).set(Buffer.from("ABC"));
  return memory;
}
const shared = () => bytesIn(new SharedArrayBuffer(3));
const resizable = () => bytesIn(new ArrayBuffer(3, { maxByteLength: 10 }));

/** Functions that make values to send, since npm:ws masks some of them in place, and the text that arrives. */
const SENDABLE: readonly (readonly [string, () => unknown, string])[] = [
  ["a SharedArrayBuffer", shared, "ABC"],
  ["a view of one", () => new Uint8Array(shared(), 1), "BC"],
  ["a resizable ArrayBuffer", resizable, "ABC"],
  ["a view of one that is resizable", () => new Uint8Array(resizable(), 1), "BC"],
  ["a DataView", () => new DataView(resizable(), 1, 1), "B"],
  ["a subclass of Blob", () => new class extends Blob {}(["bl"]), "bl"],
  ["a String object", () => new String("so"), "so"],
  ["a number", () => -5.5, "-5.5"],
  ["0", () => 0, "0"],
  ["NaN", () => NaN, "NaN"],
  ["an array", () => [65, 66, 323], "ABC"],
  ["null", () => null, ""],
  ["undefined", () => undefined, ""],
  ["false", () => false, ""],
  ["an object with valueOf", () => ({ valueOf: () => "vo" }), "vo"],
  ["a Buffer as JSON", () => ({ type: "Buffer", data: [65] }), "A"],
];

for (const [what, make, text] of SENDABLE) {
  both(`send, ping and pong accept ${what}`, async (ws) => {
    await using p = await pair(ws);
    p.client.send(make() as never);
    const [message] = await next(p.serverLog, "message");
    assertEquals(String(message), text);
    for (const kind of ["ping", "pong"] as const) {
      p.client[kind](make() as never);
      const [payload] = await next(p.serverLog, kind);
      assertEquals(String(payload), text);
    }
  });
}

both("send, ping and pong throw for invalid data, after the close too", async (ws) => {
  const buffer = new ArrayBuffer(4), view = new Uint8Array(4);
  structuredClone(null, { transfer: [buffer, view.buffer] });
  const bad = [buffer, view, 5n, Symbol("x"), true, {}];
  await using p = await pair(ws);
  const refused = () => {
    for (const data of bad) {
      for (const method of ["send", "ping", "pong"] as const) {
        assertThrows(() => p.client[method](data as never), TypeError);
      }
    }
  };
  refused();
  p.client.close();
  await closing(p.clientLog);
  refused();
  assertEquals(p.client.bufferedAmount, 0);
});

both("the attributes are enumerable, like those of an interface", (ws) => {
  const names: string[] = [];
  for (const name in ws.WebSocket.prototype) names.push(name);
  for (
    const name of [
      ...["binaryType", "bufferedAmount", "extensions", "isPaused", "protocol", "readyState"],
      ...["url", "onopen", "onmessage", "onclose", "onerror"],
    ]
  ) assertEquals([name, names.includes(name)], [name, true]);
  assertEquals(names.includes("send"), false);
});

both("stream: an error while it is destroyed is emitted before its close", async (ws) => {
  const refused = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = refused.addr;
  refused.close();
  for (
    const [destroy, message] of [
      [true, "WebSocket was closed before the connection was established"],
      [false, "ECONNREFUSED"],
    ] as const
  ) {
    const socket = new ws.WebSocket(`ws://127.0.0.1:${port}`);
    const log = record(socket, ["close"]);
    const stream = ws.createWebSocketStream(socket);
    const seen: string[] = [];
    stream.on("error", (error) => seen.push((error as { code?: string }).code ?? error.message));
    const closed = new Promise<void>((resolve) => {
      stream.on("close", () => {
        seen.push("close");
        resolve();
      });
    });
    if (destroy) stream.destroy();
    await closed;
    await closing(log);
    assertEquals(seen, [message, "close"]);
  }
});
