import { assert, assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { WebSocket, WebSocketServer } from "ws";
import { type CompressionOptions, type Connection, Context } from "../../mod.ts";
import { assertSame, cut, type Parcel, traffic } from "./traffic.ts";

// The npm package `ws` in both roles. It has no types here.
// deno-lint-ignore no-explicit-any
type Ws = any;

interface Combination {
  serverNoContextTakeover: boolean;
  clientNoContextTakeover: boolean;
  serverMaxWindowBits: number;
  clientMaxWindowBits: number;
}

function combinations(): Combination[] {
  const all: Combination[] = [];
  for (const serverNoContextTakeover of [false, true]) {
    for (const clientNoContextTakeover of [false, true]) {
      for (let bits = 9; bits <= 15; bits++) {
        all.push({
          serverNoContextTakeover,
          clientNoContextTakeover,
          serverMaxWindowBits: bits,
          // In the opposite order, so that the two can't be mixed up.
          clientMaxWindowBits: 24 - bits,
        });
      }
    }
  }
  return all;
}

function label(combination: Combination): string {
  const { serverNoContextTakeover: server, clientNoContextTakeover: client } = combination;
  const { serverMaxWindowBits, clientMaxWindowBits } = combination;
  return `server ${server ? "no " : ""}takeover, ${serverMaxWindowBits} bits; ` +
    `client ${client ? "no " : ""}takeover, ${clientMaxWindowBits} bits`;
}

/** A thousand messages for the smallest, the largest and a medium window, fewer for the others. */
function count({ serverMaxWindowBits }: Combination): number {
  return [9, 12, 15].includes(serverMaxWindowBits) ? 1000 : 100;
}

/** Sends the traffic over a connection of the library, some messages at a time, and compares the echoes. */
async function echoOurs(conn: Connection, parcels: Parcel[]): Promise<void> {
  let sent = 0, received = 0;
  while (received < parcels.length) {
    while (sent < parcels.length && sent < received + 16) {
      const parcel = parcels[sent++];
      const { data, compress, fragments } = parcel;
      if (fragments === 1) {
        conn.send(data, { compress });
        continue;
      }
      const binary = typeof data !== "string";
      const parts = cut(parcel);
      parts.forEach((part, i) =>
        conn.sendFragment(part, { binary, compress, final: i === parts.length - 1 })
      );
    }
    assertSame(await conn.receive() as string | Uint8Array, parcels[received++].data);
  }
}

/** The same over a connection of `ws`. */
async function echoTheirs(ws: Ws, parcels: Parcel[]): Promise<void> {
  let sent = 0, received = 0;
  await new Promise<void>((resolve, reject) => {
    const send = () => {
      while (sent < parcels.length && sent < received + 16) {
        const parcel = parcels[sent++];
        const { data, compress, fragments } = parcel;
        if (fragments === 1) {
          ws.send(data, { compress });
          continue;
        }
        const binary = typeof data !== "string";
        const parts = cut(parcel);
        parts.forEach((part, i) =>
          ws.send(part, { binary, compress, fin: i === parts.length - 1 })
        );
      }
    };
    ws.on("error", reject);
    ws.on("close", () => reject(new Error("ws was closed")));
    ws.on("message", (data: Uint8Array, isBinary: boolean) => {
      try {
        assertSame(isBinary ? new Uint8Array(data) : String(data), parcels[received++].data);
      } catch (error) {
        reject(error);
        return;
      }
      if (received === parcels.length) resolve();
      else send();
    });
    send();
  });
}

for (const combination of combinations()) {
  Deno.test(`a client exchanges messages with ws: ${label(combination)}`, async () => {
    const server: Ws = new WebSocketServer({
      port: 0,
      perMessageDeflate: { ...combination, threshold: 0 },
    });
    await new Promise((resolve) => server.on("listening", resolve));
    server.on("connection", (ws: Ws) => {
      let number = 0;
      ws.on("message", (data: Buffer, binary: boolean) => {
        // `ws` doesn't compress every third message.
        ws.send(data, { binary, compress: number++ % 3 !== 0 });
      });
    });
    {
      await using ctx = new Context({ maxMessageSize: 0 });
      const conn = ctx.connect(`ws://127.0.0.1:${server.address().port}/`, {
        compression: { threshold: 0 },
      });
      const { extensions } = await conn.opened;
      const { serverMaxWindowBits, clientMaxWindowBits } = combination;
      assert(
        serverMaxWindowBits === 15 ||
          extensions.includes(`server_max_window_bits=${serverMaxWindowBits}`),
        extensions,
      );
      assert(
        clientMaxWindowBits === 15 ||
          extensions.includes(`client_max_window_bits=${clientMaxWindowBits}`),
        extensions,
      );
      await echoOurs(conn, traffic(count(combination), clientMaxWindowBits));
    }
    await new Promise((resolve) => server.close(resolve));
  });

  Deno.test(`a server exchanges messages with ws: ${label(combination)}`, async () => {
    await using ctx = new Context({ maxMessageSize: 0 });
    const options: CompressionOptions = {
      threshold: 0,
      windowBits: combination.clientMaxWindowBits,
    };
    let number = 0, extensions = "";
    const listener = ctx.listen({
      port: 0,
      compression: options,
      onConnect: (conn) => void (extensions = conn.extensions),
      onMessage: (conn, data) => void conn.send(data, { compress: number++ % 3 !== 0 }),
    });
    const ws: Ws = new WebSocket(listener.url, {
      perMessageDeflate: { ...combination, threshold: 0 },
    });
    await new Promise((resolve, reject) => {
      ws.on("open", resolve);
      ws.on("error", reject);
    });
    assert(ws.extensions.startsWith("permessage-deflate"), ws.extensions);
    await echoTheirs(ws, traffic(count(combination), combination.serverMaxWindowBits));
    assert(extensions.startsWith("permessage-deflate"), extensions);
    ws.removeAllListeners("close");
    const closed = new Promise<number>((resolve) => ws.on("close", resolve));
    ws.close(1000);
    assertEquals(await closed, 1000);
  });
}
