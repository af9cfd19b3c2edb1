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

/** Asserts that a call throws a `DOMException` with a name. */
export function throwsDom(name: string, work: () => unknown): void {
  const error = assertThrows(work, DOMException);
  assertEquals((error as DOMException).name, name);
}
