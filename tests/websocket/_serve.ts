import { assertEquals, assertThrows } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { WebSocket } from "../../websocket.ts";
import { EventLog } from "../support/event_log.ts";
import { makeCertificates } from "../transport/certificates.ts";

/** The schemes over which the standard's algorithms are tested. */
export type Scheme = "ws" | "wss";

/** A server that echoes messages. */
export interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly scheme: Scheme;
  readonly connections: EventLog<Connection>;
  readonly received: EventLog<string | Uint8Array>;
}

const certificates = makeCertificates();
addEventListener("unload", () => certificates[Symbol.dispose]());

/** Defines a test for each scheme. */
export function overEach(name: string, body: (scheme: Scheme) => Promise<void>): void {
  for (const scheme of ["ws", "wss"] as const) Deno.test(`${scheme}: ${name}`, () => body(scheme));
}

/** Starts a server that echoes messages, and supports `protocols`. */
export function serve(scheme: Scheme = "ws", protocols: string[] = []): Serving {
  const ctx = new Context();
  const connections = new EventLog<Connection>(), received = new EventLog<string | Uint8Array>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    tls: scheme === "wss" ? certificates.server : undefined,
    protocols,
    compression: true,
    maxMessageSize: 0,
    maxQueueBytes: 0,
    onConnect: (conn) => connections.push(conn),
    onMessage: (conn, data) => {
      received.push(data);
      conn.send(data);
    },
  });
  return {
    url: listener.url,
    scheme,
    connections,
    received,
    [Symbol.asyncDispose]: () => ctx[Symbol.asyncDispose](),
  };
}

/** Makes a socket that connects to a server. */
export function connectTo(
  { url, scheme }: Serving,
  protocols: string | readonly string[] = [],
): WebSocket {
  return scheme === "ws"
    ? new WebSocket(url, protocols)
    : new WebSocket(url, { protocols, tls: { caCerts: [certificates.ca] } });
}

/** Records the events of a socket. */
export function record(socket: WebSocket): EventLog<Event> {
  const log = new EventLog<Event>();
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, (event) => log.push(event));
  }
  return log;
}

/** Makes a socket, and waits until it is open; records the events after that. */
export async function opened(
  server: Serving,
  protocols?: string | readonly string[],
): Promise<[WebSocket, EventLog<Event>]> {
  const socket = connectTo(server, protocols), log = record(socket);
  assertEquals((await log.next()).type, "open");
  return [socket, log];
}

/** Closes a socket, and skips the events before the close event. */
export async function finish(socket: WebSocket, log: EventLog<Event>): Promise<CloseEvent> {
  socket.close();
  for (;;) {
    const event = await log.next();
    if (event.type === "close") return event as CloseEvent;
  }
}

/** A server that performs the handshake without the library, and then runs a function. */
export function rawPeer(
  act: (conn: Deno.TcpConn) => Promise<unknown>,
): AsyncDisposable & { url: string } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const done = (async () => {
    using conn = await listener.accept();
    const buffer = new Uint8Array(4096), count = await conn.read(buffer);
    const head = new TextDecoder().decode(buffer.subarray(0, count ?? 0));
    const key = /^sec-websocket-key: (.*)\r$/im.exec(head)![1];
    const digest = await crypto.subtle.digest(
      "SHA-1",
      new TextEncoder().encode(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"),
    );
    const accept = btoa(String.fromCharCode(...new Uint8Array(digest)));
    await conn.write(new TextEncoder().encode(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    ));
    await act(conn);
  })();
  return {
    url: `ws://127.0.0.1:${(listener.addr as Deno.NetAddr).port}/`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await done;
    },
  };
}

/** Asserts that a call throws a `DOMException` with a name. */
export function throwsDom(name: string, work: () => unknown): void {
  const error = assertThrows(work, DOMException);
  assertEquals((error as DOMException).name, name);
}

/** Asserts that the socket whose events are in the log fails. */
export async function assertFails(log: EventLog<Event>): Promise<void> {
  assertEquals((await log.next()).type, "error");
  const { type, code, reason, wasClean, target } = await log.next() as CloseEvent;
  assertEquals([type, code, reason, wasClean], ["close", 1006, "", false]);
  assertEquals((target as WebSocket).readyState, WebSocket.CLOSED);
}
