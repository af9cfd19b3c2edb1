import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { frame } from "../support/frames.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { uncaught } from "../support/uncaught.ts";
import { both } from "./_implementation.ts";
import { closing, next, pair, record, serve, type ServerOptions } from "./_serve.ts";

// Violations by a peer with their codes in ws, and the options of ws that limit what a peer may send.

interface Violation {
  readonly what: string;
  readonly frames: Uint8Array[];
  readonly code: string;
  readonly closeCode: number;
  readonly options?: ServerOptions;
}

const DEFLATE = { "Sec-WebSocket-Extensions": "permessage-deflate" };

const VIOLATIONS: Violation[] = [
  {
    what: "a control frame without FIN",
    frames: [frame(9, "", { fin: false })],
    code: "WS_ERR_EXPECTED_FIN",
    closeCode: 1002,
  },
  {
    what: "RSV1",
    frames: [frame(1, "x", { rsv: 4 })],
    code: "WS_ERR_UNEXPECTED_RSV_1",
    closeCode: 1002,
  },
  {
    what: "RSV2",
    frames: [frame(1, "x", { rsv: 2 })],
    code: "WS_ERR_UNEXPECTED_RSV_2_3",
    closeCode: 1002,
  },
  {
    what: "RSV3",
    frames: [frame(1, "x", { rsv: 1 })],
    code: "WS_ERR_UNEXPECTED_RSV_2_3",
    closeCode: 1002,
  },
  {
    what: "an unknown opcode",
    frames: [frame(3, "x")],
    code: "WS_ERR_INVALID_OPCODE",
    closeCode: 1002,
  },
  {
    what: "a continuation without a message",
    frames: [frame(0, "x")],
    code: "WS_ERR_INVALID_OPCODE",
    closeCode: 1002,
  },
  {
    what: "a message in the middle of another",
    frames: [frame(1, "x", { fin: false }), frame(1, "y")],
    code: "WS_ERR_INVALID_OPCODE",
    closeCode: 1002,
  },
  {
    what: "a close code that must not be sent",
    frames: [frame(8, Buffer.from([0x03, 0xed]))],
    code: "WS_ERR_INVALID_CLOSE_CODE",
    closeCode: 1002,
  },
  {
    what: "a close frame of one byte",
    frames: [frame(8, Buffer.from([3]))],
    code: "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
    closeCode: 1002,
  },
  {
    what: "a ping of 126 bytes",
    frames: [frame(9, Buffer.alloc(126))],
    code: "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
    closeCode: 1002,
  },
  {
    what: "text that isn't UTF-8",
    frames: [frame(1, Buffer.from([0xff]))],
    code: "WS_ERR_INVALID_UTF8",
    closeCode: 1007,
  },
  {
    what: "a message above maxPayload",
    frames: [frame(2, Buffer.alloc(101))],
    code: "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
    closeCode: 1009,
    options: { maxPayload: 100 },
  },
  {
    what: "fragments above maxPayload",
    frames: [frame(2, Buffer.alloc(60), { fin: false }), frame(0, Buffer.alloc(60))],
    code: "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
    closeCode: 1009,
    options: { maxPayload: 100 },
  },
];

for (const { what, frames, code, closeCode, options } of VIOLATIONS) {
  both(
    `${what} leads to an error with code ${code}, a close frame with ${closeCode}, and 1006`,
    async (ws) => {
      await using s = await serve(ws, options);
      using raw = await RawPeer.connect(s.port);
      const { log } = await s.accepted.next();
      await raw.send(...frames);
      const [error] = await next(log, "error");
      assertEquals(error.code, code);
      assertInstanceOf(error, code === "WS_ERR_INVALID_UTF8" ? Error : RangeError);
      assertEquals(await raw.closeCode(), closeCode);
      await raw.conn.closeWrite();
      assertEquals(await closing(log), [1006, ""]);
    },
  );
}

both("unmasked frames of a client lead to WS_ERR_EXPECTED_MASK", async (ws) => {
  await using s = await serve(ws);
  using raw = await RawPeer.connect(s.port);
  const { log } = await s.accepted.next();
  await raw.write(frame(1, "x"));
  assertEquals((await next(log, "error"))[0].code, "WS_ERR_EXPECTED_MASK");
});

both("masked frames of a server lead to WS_ERR_UNEXPECTED_MASK", async (ws) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = new ws.WebSocket(`ws://127.0.0.1:${listener.addr.port}`), log = record(socket);
  using raw = await RawPeer.accept(listener);
  await next(log, "open");
  await raw.write(new Uint8Array([0x81, 0x81, 0, 0, 0, 0, 120]));
  assertEquals((await next(log, "error"))[0].code, "WS_ERR_UNEXPECTED_MASK");
  raw.close();
  assertEquals((await closing(log))[0], 1006);
});

both("invalid compressed data lead to Z_DATA_ERROR and 1007", async (ws) => {
  await using s = await serve(ws, { perMessageDeflate: true });
  using raw = await RawPeer.connect(s.port, DEFLATE);
  const { log } = await s.accepted.next();
  await raw.send(frame(1, Buffer.from([0xff, 0xff, 0xff, 0xff]), { rsv: 4 }));
  const [error] = await next(log, "error");
  // With Deno's node:zlib, npm:ws gets another error, and closes with another code.
  if (ws.name !== "ours") return;
  assertEquals(error.code, "Z_DATA_ERROR");
  assertEquals(await raw.closeCode(), 1007);
});

both(
  "a message that inflates to more than maxPayload leads to WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
  async (ws) => {
    await using p = await pair(ws, { perMessageDeflate: { threshold: 0 }, maxPayload: 1000 }, {
      perMessageDeflate: { threshold: 0 },
    });
    p.client.send("x".repeat(2000));
    assertEquals((await next(p.serverLog, "error"))[0].code, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH");
    assertEquals((await closing(p.clientLog))[0], 1009);
  },
);

both("maxPayload: clients have the option, too, and 0 means no limit", async (ws) => {
  {
    await using p = await pair(ws, {}, { maxPayload: 10 });
    p.server.send("01234567890");
    assertEquals((await next(p.clientLog, "error"))[0].code, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH");
    assertEquals((await closing(p.serverLog))[0], 1009);
  }
  await using p = await pair(ws, { maxPayload: 0 });
  p.client.send(Buffer.alloc(2 * 1024 * 1024));
  assertEquals((await next(p.serverLog, "message"))[0].length, 2 * 1024 * 1024);
});

both("skipUTF8Validation is accepted", async (ws) => {
  await using s = await serve(ws, { skipUTF8Validation: true });
  using raw = await RawPeer.connect(s.port);
  const { log } = await s.accepted.next();
  await raw.send(1, Buffer.from([0xff]));
  const event = await log.next();
  assertEquals(event.type, ws.is.skipsValidation ? "message" : "error");
});

both("maxFragments and maxBufferedChunks are accepted", async (ws) => {
  await using s = await serve(ws, { maxFragments: 2, maxBufferedChunks: 1000 });
  using raw = await RawPeer.connect(s.port);
  const { log } = await s.accepted.next();
  await raw.send(
    frame(1, "a", { fin: false }),
    frame(0, "b", { fin: false }),
    frame(0, "c", { fin: true }),
  );
  const event = await log.next();
  assertEquals(event.type, ws.is.countsParts ? "error" : "message");
});

both("autoPong: pings are answered unless the option is false", async (ws) => {
  await using s = await serve(ws, { autoPong: false });
  using raw = await RawPeer.connect(s.port);
  const { socket, log } = await s.accepted.next();
  await raw.send(9, "unanswered");
  assertEquals(await next(log, "ping"), [Buffer.from("unanswered")]);
  socket.pong("mine");
  assertEquals(String(Buffer.from((await raw.next(10)).payload)), "mine");
  await using p = await pair(ws);
  p.client.ping("x");
  assertEquals(await next(p.clientLog, "pong"), [Buffer.from("x")]);
});

both("autoPong: clients have the option, too", async (ws) => {
  await using p = await pair(ws, {}, { autoPong: false });
  p.server.ping("x");
  assertEquals(await next(p.clientLog, "ping"), [Buffer.from("x")]);
  p.client.send("no pong before it");
  assertEquals((await p.serverLog.next()).type, "message");
});

both("maxPendingAutoPongs: pongs to a peer that doesn't read are bounded", async (ws) => {
  await using s = await serve(ws, { maxPendingAutoPongs: 2 } as ServerOptions);
  using raw = await RawPeer.connect(s.port);
  const { socket, log } = await s.accepted.next();
  // The kernel's buffers are full: it accepts no more bytes.
  for (let i = 0; i < 16; i++) socket.send(Buffer.alloc(1024 * 1024));
  for (let i = 0; i < 8; i++) await raw.send(9, String(i));
  await raw.send(1, "behind");
  await next(log, "message");
  assertEquals(socket.readyState === socket.OPEN, !ws.is.endsUnreadPongs);
});

both("generateMask: the function fills the masking keys of a client's frames", async (ws) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = new ws.WebSocket(`ws://127.0.0.1:${listener.addr.port}`, {
    // It is a Buffer, whose type is that of bytes.
    generateMask: (mask) => void (mask as Buffer).writeUInt32BE(0x01020304),
    perMessageDeflate: false,
  });
  const log = record(socket);
  using raw = await RawPeer.accept(listener);
  await next(log, "open");
  socket.send("x");
  const bytes = new Uint8Array(7);
  await raw.conn.read(bytes);
  assertEquals([...bytes], [0x81, 0x81, 1, 2, 3, 4, 120 ^ 1]);
  raw.close();
  await closing(log);
});

both("generateMask: an error of the function is reported", async (ws) => {
  using errors = uncaught();
  await using p = await pair(ws, {}, {
    generateMask: () => {
      throw new Error("no key");
    },
  });
  try {
    p.client.send("x");
    await next(p.serverLog, "message");
  } catch (error) {
    errors.log.push(error);
  }
  assertEquals((await errors.log.next() as Error).message, "no key");
});

both("compression: invalid sizes of windows are refused", (ws) => {
  for (const name of ["serverMaxWindowBits", "clientMaxWindowBits"]) {
    for (const bits of [7, 16, 8.5, NaN, "x"]) {
      const options = { perMessageDeflate: { [name]: bits } };
      const server = () => new ws.WebSocketServer({ noServer: true, ...options });
      if (ws.is.checksWindows) {
        assertThrows(server, TypeError);
        assertThrows(() => new ws.WebSocket("ws://127.0.0.1:1", options), TypeError);
      } else {
        server();
      }
    }
  }
});

both("compression: truthy options and null are accepted", async (ws) => {
  await using p = await pair(ws, {
    perMessageDeflate: {
      serverNoContextTakeover: 1,
      clientNoContextTakeover: "yes",
      serverMaxWindowBits: null,
      zlibDeflateOptions: null,
    },
  } as never, { perMessageDeflate: { clientMaxWindowBits: null } as never });
  const text = "again and ".repeat(500);
  for (const log of [p.serverLog, p.clientLog]) {
    (log === p.serverLog ? p.client : p.server).send(text);
    assertEquals(String((await next(log, "message"))[0]), text);
  }
});

both("compression: thresholds and a server's parameters apply", async (ws) => {
  await using s = await serve(ws, {
    perMessageDeflate: {
      threshold: 10,
      serverNoContextTakeover: true,
      serverMaxWindowBits: 10,
      clientNoContextTakeover: true,
      clientMaxWindowBits: 12,
      concurrencyLimit: 5,
      zlibDeflateOptions: { level: 9, memLevel: 4, chunkSize: 1024 },
      zlibInflateOptions: { chunkSize: 1024 },
    },
  });
  using raw = await RawPeer.connect(s.port, {
    "Sec-WebSocket-Extensions":
      "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
  });
  const agreed = new Set(raw.extensions!.split(";").map((part) => part.trim()));
  assertEquals(
    agreed,
    new Set([
      "permessage-deflate",
      "server_no_context_takeover",
      "client_no_context_takeover",
      "server_max_window_bits=10",
      "client_max_window_bits=12",
    ]),
  );
  const { socket } = await s.accepted.next();
  socket.send("short");
  assertEquals((await raw.frame())!.rsv, 0);
  socket.send("long enough to be compressed");
  assertEquals((await raw.frame())!.rsv, 4);
  socket.send("not wished to be compressed", { compress: false });
  assertEquals((await raw.frame())!.rsv, 0);
});

both("compression: a threshold applies only without context takeover", async (ws) => {
  const short = "short", long = "long enough to be compressed";
  for (
    const [serverNoContextTakeover, expected] of [
      // Whole messages, then the first fragments of others.
      [false, [4, 4, 4, 4]],
      [true, [0, 4, 0, 4]],
    ] as const
  ) {
    await using s = await serve(ws, {
      perMessageDeflate: { threshold: 10, serverNoContextTakeover },
    });
    using raw = await RawPeer.connect(s.port, { "Sec-WebSocket-Extensions": "permessage-deflate" });
    const { socket } = await s.accepted.next();
    for (const text of [short, long]) socket.send(text);
    for (const first of [short, long]) {
      socket.send(first, { fin: false });
      socket.send(long);
    }
    const bits: number[] = [];
    while (bits.length < 4) {
      const { opcode, rsv } = (await raw.frame())!;
      if (opcode !== 0) bits.push(rsv);
    }
    assertEquals(bits, [...expected]);
  }
});

both("compression: a client's parameters are offered", async (ws) => {
  for (
    const [perMessageDeflate, offered] of [
      [{}, ["permessage-deflate", "client_max_window_bits"]],
      [true, ["permessage-deflate", "client_max_window_bits"]],
      [{ serverNoContextTakeover: true, clientNoContextTakeover: true }, [
        "permessage-deflate",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "client_max_window_bits",
      ]],
      [{ clientMaxWindowBits: 11, serverMaxWindowBits: 12 }, [
        "permessage-deflate",
        "client_max_window_bits=11",
        "server_max_window_bits=12",
      ]],
    ] as const
  ) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const socket = new ws.WebSocket(`ws://127.0.0.1:${listener.addr.port}`, { perMessageDeflate });
    const log = record(socket);
    using raw = await RawPeer.accept(listener);
    const said = new Set(raw.extensions!.split(";").map((part) => part.trim()));
    assertEquals(said, new Set<string>(offered));
    await next(log, "open");
    raw.close();
    await closing(log);
  }
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const socket = new ws.WebSocket(`ws://127.0.0.1:${listener.addr.port}`, {
    perMessageDeflate: false,
  });
  using raw = await RawPeer.accept(listener);
  assertEquals(raw.extensions, null);
  const log = record(socket);
  await next(log, "open");
  assert(socket.extensions === "");
  raw.close();
  await closing(log);
});
