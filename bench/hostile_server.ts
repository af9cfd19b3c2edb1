// The server of hostile.ts: hostile_server.ts OPTIONS(JSON) FACE. Echoes text with backpressure; FACE names how it takes
// messages. With `waits` it waits 1 ms for each binary message. Prints its port.
import { type Connection, type ConnectionOptions, Context } from "../mod.ts";

const [json, face] = Deno.args;
const { slow = false, waits = false, handler, ...options } = JSON.parse(json);

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function handle(conn: Connection, data: string | Uint8Array): Promise<void> {
  if (typeof data !== "string") {
    if (waits) await pause(1);
  } else if (conn.state === "open" && !conn.send(data)) {
    await conn.drained();
  }
}

/** Takes messages of a connection to its end. */
const FACES: Record<string, (conn: Connection) => Promise<void>> = {
  async iterator(conn) {
    for await (const data of conn) await handle(conn, data);
  },
  async receive(conn) {
    for (;;) await handle(conn, await conn.receive());
  },
  async messageStreams(conn) {
    for await (const { type, stream } of conn.messageStreams()) {
      const data = new Uint8Array(await new Response(stream).arrayBuffer());
      await handle(conn, type === "text" ? new TextDecoder().decode(data) : data);
    }
  },
  async readable(conn) {
    for await (const data of conn.readable) await handle(conn, data);
  },
};

/** A synchronous callback can't wait; it pauses. */
const onMessage = (conn: Connection, data: string | Uint8Array) => {
  if (typeof data === "string" && !conn.send(data)) conn.pause();
};

const faced: ConnectionOptions = face === "onMessage"
  ? { onMessage, onDrain: (conn) => conn.resume() }
  : face === "async onMessage" || face === "upgrade"
  ? { onMessage: handle }
  : {
    onConnect: (conn) => {
      FACES[face](conn).catch(() => {});
    },
  };

const ctx = new Context();
const common: ConnectionOptions = { ...faced, onError: () => {}, ...options };

if (face === "upgrade") {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => ctx.upgrade(request, common).response,
  );
  console.log(server.addr.port);
} else {
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onHandshakeError: () => {},
    handler: handler === true
      ? async () => {
        if (slow) await pause(1000);
        return new Response("ok");
      }
      : undefined,
    ...common,
  });
  console.log(listener.port);
}
