import { assertEquals, assertThrows } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { WebSocket } from "../../websocket.ts";
import { EventLog } from "../support/event_log.ts";
import { makeCertificates } from "../transport/certificates.ts";

/** Over which the standard's algorithms hold alike. */
export type Scheme = "ws" | "wss";

/** A server that echoes. */
export interface Serving extends AsyncDisposable {
  readonly url: string;
  readonly scheme: Scheme;
  readonly connections: EventLog<Connection>;
  readonly received: EventLog<string | Uint8Array>;
}

const certificates = makeCertificates();
addEventListener("unload", () => certificates[Symbol.dispose]());

/** A test of what holds over TLS as well. */
export function overEach(name: string, body: (scheme: Scheme) => Promise<void>): void {
  for (const scheme of ["ws", "wss"] as const) Deno.test(`${scheme}: ${name}`, () => body(scheme));
}

/** A server that echoes, and takes `protocols`. */
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

/** A socket that connects to a server. */
export function connectTo(
  { url, scheme }: Serving,
  protocols: string | readonly string[] = [],
): WebSocket {
  return scheme === "ws"
    ? new WebSocket(url, protocols)
    : new WebSocket(url, { protocols, tls: { caCerts: [certificates.ca] } });
}

/** The events of a socket, as they are dispatched. */
export function record(socket: WebSocket): EventLog<Event> {
  const log = new EventLog<Event>();
  for (const type of ["open", "message", "error", "close"]) {
    socket.addEventListener(type, (event) => log.push(event));
  }
  return log;
}

/** A socket that is open, and its events from there. */
export async function opened(
  server: Serving,
  protocols?: string | readonly string[],
): Promise<[WebSocket, EventLog<Event>]> {
  const socket = connectTo(server, protocols), log = record(socket);
  assertEquals((await log.next()).type, "open");
  return [socket, log];
}

/** Closes, and passes over what comes before the close event. */
export async function finish(socket: WebSocket, log: EventLog<Event>): Promise<CloseEvent> {
  socket.close();
  for (;;) {
    const event = await log.next();
    if (event.type === "close") return event as CloseEvent;
  }
}

/** Asserts that a call throws a `DOMException` of a name. */
export function throwsDom(name: string, work: () => unknown): void {
  const error = assertThrows(work, DOMException);
  assertEquals((error as DOMException).name, name);
}
