/** Peers that reset their connection at every step. */
import { assert, assertEquals } from "@std/assert";
import { type CloseRecord, type Connection, Context } from "../../mod.ts";
import { openLibC } from "../../src/transport/system/libc.ts";
import type { SystemSocket } from "../../src/transport/system/socket.ts";
import { closeFrame, frame, masked, TEXT } from "../support/frames.ts";
import { upgradeRequest } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { SOCKETS } from "../transport/_system.ts";
import { writeAll } from "../transport/streams.ts";

const SOL_SOCKET = 1, SO_LINGER = 13;
const libc = openLibC();

/** Resets a connection. Unread bytes in both directions are lost. */
function reset(socket: SystemSocket): void {
  const linger = new Uint8Array(Int32Array.of(1, 0).buffer);
  assertEquals(libc.setsockopt(socket.fd, SOL_SOCKET, SO_LINGER, linger, 8), 0);
  socket.close();
}

/** Performs the handshake, and stops reading after the head. */
async function open(socket: SystemSocket): Promise<void> {
  await writeAll(socket, upgradeRequest());
  const byte = new Uint8Array(1);
  for (let head = ""; !head.endsWith("\r\n\r\n");) {
    assertEquals(await socket.read(byte), 1);
    head += String.fromCharCode(byte[0]);
  }
}

const BIG = masked(frame(TEXT, "x".repeat(70_000)));

/** The steps at which a peer resets. */
const STEPS: Record<string, (socket: SystemSocket) => unknown> = {
  "at once": () => {},
  "within the head of its request": (socket) => writeAll(socket, upgradeRequest().subarray(0, 30)),
  "after its request": (socket) => writeAll(socket, upgradeRequest()),
  "after ordinary HTTP": (socket) =>
    writeAll(socket, new TextEncoder().encode("GET / HTTP/1.1\r\nHost: h\r\n\r\n")),
  "when it is open": open,
  "within the header of a frame": async (socket) => {
    await open(socket);
    await writeAll(socket, BIG.subarray(0, 3));
  },
  "within a payload": async (socket) => {
    await open(socket);
    await writeAll(socket, BIG.subarray(0, 50_000));
  },
  "within a fragmented message": async (socket) => {
    await open(socket);
    await writeAll(socket, masked(frame(TEXT, "x", { fin: false })));
  },
  "with echoes that it doesn't read": async (socket) => {
    await open(socket);
    for (let i = 0; i < 20; i++) await writeAll(socket, BIG);
  },
  "after its close frame": async (socket) => {
    await open(socket);
    await writeAll(socket, masked(closeFrame(1000)));
  },
};

for (const isTls of [false, true]) {
  for (const paused of [false, true]) {
    if (isTls && paused) continue;
    const how = isTls ? "over TLS" : paused ? "of a held connection" : "";
    Deno.test(`peers that reset at every step${how} don't affect others, and each connection ends once`, async () => {
      using certificates = isTls ? makeCertificates() : null;
      const said: unknown[] = [], { error } = console;
      console.error = (...args) => said.push(args);
      try {
        const opened: Connection[] = [], closes = new Map<Connection, CloseRecord[]>();
        await using ctx = new Context();
        const listener = ctx.listen({
          hostname: "127.0.0.1",
          tls: certificates?.server,
          keepAlive: false,
          closeTimeout: 2000,
          onConnect(conn) {
            opened.push(conn);
            if (paused) conn.pause();
          },
          onMessage: (conn, data) => void (conn.state === "open" && conn.send(data)),
          onClose: (conn, close) => void closes.set(conn, [...closes.get(conn) ?? [], close]),
          onError() {},
          onHandshakeError() {},
        });
        for (const [, act] of isTls ? Object.entries(STEPS).slice(0, 3) : Object.entries(STEPS)) {
          for (let i = 0; i < 3; i++) {
            const socket = await SOCKETS.connectTcp("127.0.0.1", listener.port) as SystemSocket;
            // The server may have answered, over TLS with an alert, or may have closed the connection.
            await Promise.resolve(act(socket)).catch(() => {});
            reset(socket);
          }
        }
        // A held connection notices its end only after it resumes.
        if (paused) { for (const conn of opened) conn.resume(); }
        await until(() => ctx.connections.size === 0 && closes.size === opened.length);
        assert(isTls || opened.length > 15, String(opened.length));
        for (const [, records] of closes) {
          assertEquals(records.length, 1);
          assert(records[0].code === 1006 || records[0].code === 1000, `${records[0]}`);
        }
        const conn = ctx.connect(listener.url.replace("127.0.0.1", "localhost"), {
          address: { hostname: "127.0.0.1", port: listener.port },
          tls: certificates === null ? undefined : { caCerts: [certificates.ca] },
        });
        await conn.opened;
        if (!paused) {
          conn.send("still there");
          assertEquals(await conn.receive(), "still there");
        }
        assertEquals(said, []);
      } finally {
        console.error = error;
      }
    });
  }
}
