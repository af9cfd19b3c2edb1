import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { EventLog } from "../support/event_log.ts";
import type { Subject } from "./_implementation.ts";

export type Server = InstanceType<Subject["WebSocketServer"]>;
export type Socket = InstanceType<Subject["WebSocket"]>;
export type ServerOptions = ConstructorParameters<Subject["WebSocketServer"]>[0];
export type ClientOptions = ConstructorParameters<Subject["WebSocket"]>[2];

/** An event of a socket. */
export interface Emitted {
  readonly type: string;
  // deno-lint-ignore no-explicit-any
  readonly args: any[];
}

const EVENTS = ["open", "message", "ping", "pong", "error", "close", "upgrade", "redirect"];

/** Records the events of a socket. */
export function record(socket: Socket, events: readonly string[] = EVENTS): EventLog<Emitted> {
  const log = new EventLog<Emitted>();
  for (const type of events) socket.on(type, (...args) => log.push({ type, args }));
  return log;
}

/** Returns the arguments of the next event of a type, and skips others. */
export async function next(log: EventLog<Emitted>, type: string): Promise<Emitted["args"]> {
  for (;;) {
    const event = await log.next();
    if (event.type === type) return event.args;
    if (event.type === "close") throw new Error(`Closed before ${type}: ${event.args}`);
  }
}

/** Waits for the close event; returns its code and reason. */
export async function closing(log: EventLog<Emitted>): Promise<[number, string]> {
  const [code, reason] = await next(log, "close");
  if (!Buffer.isBuffer(reason)) throw new Error("The reason isn't a Buffer");
  return [code, String(reason)];
}

/** A server on a port of its own. Disposing it ends its sockets, too. */
export interface Serving extends AsyncDisposable {
  readonly wss: Server;
  readonly port: number;
  readonly url: string;
  readonly accepted: EventLog<{ socket: Socket; request: IncomingMessage; log: EventLog<Emitted> }>;
}

/** Starts a server. */
export async function serve(subject: Subject, options: ServerOptions = {}): Promise<Serving> {
  const wss = new subject.WebSocketServer({ host: "127.0.0.1", port: 0, ...options });
  const accepted: Serving["accepted"] = new EventLog();
  wss.on("connection", (socket: Socket, request: IncomingMessage) => {
    accepted.push({ socket, request, log: record(socket) });
  });
  await once(wss, "listening");
  const { port } = wss.address() as AddressInfo;
  return {
    wss,
    port,
    url: `ws://127.0.0.1:${port}`,
    accepted,
    async [Symbol.asyncDispose]() {
      for (const socket of wss.clients ?? []) socket.terminate();
      await new Promise<void>((resolve) => wss.close(() => resolve()));
    },
  };
}

/** Both ends of a connection. */
export interface Pair extends Serving {
  readonly client: Socket;
  readonly server: Socket;
  readonly clientLog: EventLog<Emitted>;
  readonly serverLog: EventLog<Emitted>;
}

/** Connects a client to a server. */
export async function pair(
  subject: Subject,
  serverOptions: ServerOptions = {},
  clientOptions: ClientOptions = {},
): Promise<Pair> {
  const serving = await serve(subject, serverOptions);
  const client = new subject.WebSocket(serving.url, clientOptions), clientLog = record(client);
  const { socket: server, log: serverLog } = await serving.accepted.next();
  await next(clientLog, "open");
  return { ...serving, client, server, clientLog, serverLog };
}
