import { assert, assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { EventLog } from "../support/event_log.ts";
import { exchange, exchangeFragments } from "../support/exchange.ts";

const OPTIONS = { maxMessageSize: 64 * 1024 * 1024 };

interface NativeClose {
  code: number;
  reason: string;
  wasClean: boolean;
}

/** Makes a native socket echo messages, and close when a message requests it. */
function attach(socket: WebSocket, closes: EventLog<NativeClose>): void {
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    const [command, ...words] = typeof data === "string" ? data.split(" ") : [];
    if (command !== "!close") socket.send(data);
    else if (words.length === 0) socket.close();
    else socket.close(Number(words[0]), words.slice(1).join(" "));
  };
  socket.onclose = ({ code, reason, wasClean }) => closes.push({ code, reason, wasClean });
}

/** A connection of the library whose peer is Deno's own class. */
interface Pair extends AsyncDisposable {
  conn: Connection;
  closes: EventLog<NativeClose>;
  socket: WebSocket;
}

async function pair(ours: "client" | "listener", isNamed: boolean): Promise<Pair> {
  const closes = new EventLog<NativeClose>();
  const opened = new EventLog<Connection>();
  const sockets = new EventLog<WebSocket>();
  const ctx = new Context({ ...OPTIONS, onConnect: (conn) => opened.push(conn) });
  const protocols = isNamed ? ["other", "chat"] : [];
  let server: Deno.HttpServer | null = null;
  if (ours === "client") {
    server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      const { socket, response } = Deno.upgradeWebSocket(
        request,
        isNamed ? { protocol: "chat" } : {},
      );
      attach(socket, closes);
      sockets.push(socket);
      return response;
    });
    ctx.connect(`ws://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`, { protocols });
  } else {
    const listener = ctx.listen({ hostname: "127.0.0.1", protocols: isNamed ? ["chat"] : [] });
    const socket = new WebSocket(listener.url, protocols);
    attach(socket, closes);
    sockets.push(socket);
  }
  const conn = await opened.next();
  return {
    conn,
    closes,
    socket: await sockets.next(),
    async [Symbol.asyncDispose]() {
      await ctx.shutdown();
      await server?.shutdown();
    },
  };
}

for (const ours of ["client", "listener"] as const) {
  const other = ours === "client" ? "server" : "client";

  Deno.test(`Deno's WebSocket as a ${other}exchanges a subprotocol, text, binary, fragments, pings and our close`, async () => {
    await using all = await pair(ours, true);
    const { conn, closes, socket } = all;
    await exchange(conn);
    // Deno's client has the subprotocol once it is open, which its first answer shows. Its server never exposes it.
    assertEquals([conn.protocol, socket.protocol], ["chat", ours === "listener" ? "chat" : ""]);
    await exchangeFragments(conn);
    assert(await conn.ping("from us") >= 0);

    conn.close(3456, "we are done: €");
    const record = await conn.closed;
    assertEquals(record.sent, { code: 3456, reason: "we are done: €" });
    assertEquals([record.wasClean, record.initiator], [true, "local"]);
    assertEquals(await closes.next(), { code: 3456, reason: "we are done: €", wasClean: true });
  });

  for (
    const [command, code, reason] of [
      ["!close 1000", 1000, ""],
      ["!close 4999 bye €", 4999, "bye €"],
      ["!close", 1005, ""],
    ] as const
  ) {
    Deno.test(`Deno's WebSocket as a ${other} closes after: ${command}`, async () => {
      await using all = await pair(ours, false);
      const { conn, closes, socket } = all;
      assertEquals([conn.protocol, socket.protocol], ["", ""]);
      conn.send(command);
      const record = await conn.closed;
      assertEquals([record.wasClean, record.initiator], [true, "remote"]);
      // Deno's class sends 1000 if `close()` is called without a code.
      if (command !== "!close") assertEquals([record.code, record.reason], [code, reason]);
      const { wasClean, ...close } = await closes.next();
      assertEquals([wasClean, close], [true, { code: record.code, reason: record.reason }]);
    });
  }
}
