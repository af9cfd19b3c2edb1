/** What the parity tests share: connected pairs, and peers that speak the protocol byte by byte. */
import {
  type Connection,
  type ConnectionOptions,
  Context,
  type ContextOptions,
  type Listener,
  type ListenOptions,
} from "../../mod.ts";
import type { ConnectOptions } from "../../mod.ts";
import { acceptKey } from "../../src/handshake/accept_key.ts";
import { writeHeader } from "../../src/protocol/frame_header.ts";
import { applyMask } from "../../src/protocol/mask.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Both ends of an open connection, in one context. */
export interface Pair extends AsyncDisposable {
  ctx: Context;
  listener: Listener;
  client: Connection;
  server: Connection;
}

/** Connects a client to a listener of ours; resolves when both ends are open. */
export async function pair(
  listen: ListenOptions = {},
  connect: ConnectOptions = {},
  context: ContextOptions = {},
): Promise<Pair> {
  const ctx = new Context(context);
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    ...listen,
    onConnect(conn) {
      accepted.resolve(conn);
      return listen.onConnect?.(conn);
    },
  });
  const client = ctx.connect(listener.url, connect);
  const [server] = await Promise.all([accepted.promise, client.opened]);
  return {
    ctx,
    listener,
    client,
    server,
    [Symbol.asyncDispose]: async () => void await ctx.shutdown({ timeout: 0 }),
  };
}

/** Lets the loop turn: round trips on a connection of its own, with messages of several sizes. */
export async function busy(): Promise<void> {
  await using both = await pair({ onMessage: (conn, data) => conn.send(data) });
  for (let i = 0; i < 20; i++) {
    both.client.send(new Uint8Array(1 << i % 17).fill(0xee));
    await both.client.receive();
  }
}

/** A list that can be awaited: `next` waits for the next member, `take` for several. */
export class Events<T> {
  readonly all: T[] = [];
  #taken = 0;
  #wake: (() => void) | null = null;

  push(event: T): void {
    this.all.push(event);
    this.#wake?.();
  }

  async next(): Promise<T> {
    while (this.all.length <= this.#taken) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.all[this.#taken++];
  }

  async take(count: number): Promise<T[]> {
    const events = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }
}

/** Options that note every callback as `name` or `name: detail`. */
export function recorder(events: Events<string>): ConnectionOptions {
  return {
    onConnect: () => events.push("connect"),
    onMessage: (_conn, data) => events.push(`message: ${data}`),
    onClose: (_conn, { code, reason }) => events.push(`close: ${code} ${reason}`),
    onError: (_conn, error) => events.push(`error: ${(error as Error).name}`),
    onPing: (_conn, payload) => events.push(`ping: ${decoder.decode(payload)}`),
    onPong: (_conn, payload) => events.push(`pong: ${decoder.decode(payload)}`),
    onDrain: () => events.push("drain"),
  };
}

/** One frame as it stood on the wire. */
export interface WireFrame {
  first: number;
  payload: Uint8Array;
  text: string;
}

/** The bytes of a frame. */
export function frame(first: number, payload: string | Uint8Array, masked = true): Uint8Array {
  const body = typeof payload === "string" ? encoder.encode(payload) : payload;
  const bytes = new Uint8Array(body.length + 14);
  let at = writeHeader(bytes, 0, first, body.length, masked ? 0x80 : 0);
  if (masked) at += 4;
  bytes.set(body, at);
  const whole = bytes.subarray(0, at + body.length);
  if (masked) {
    const view = new DataView(whole.buffer);
    view.setInt32(at - 4, 0x01020304, true);
    applyMask(view, at, whole.length, 0x01020304);
  }
  return whole;
}

/** Several stretches of bytes as one. */
export function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** A peer that speaks TCP and leaves the rest to the test. */
export class RawPeer implements Disposable {
  head = "";
  #buffer = new Uint8Array(0);
  #closed = false;

  constructor(readonly conn: Deno.Conn, readonly masked: boolean) {}

  /** Sends bytes or text. */
  async write(data: string | Uint8Array): Promise<void> {
    let bytes = typeof data === "string" ? encoder.encode(data) : data;
    while (bytes.length > 0) bytes = bytes.subarray(await this.conn.write(bytes));
  }

  /** Sends one frame. */
  send(first: number, payload: string | Uint8Array = ""): Promise<void> {
    return this.write(frame(first, payload, this.masked));
  }

  /** Reads up to the end of an HTTP head. */
  async readHead(): Promise<string> {
    for (;;) {
      const text = decoder.decode(this.#buffer);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#buffer = this.#buffer.slice(end + 4);
        return this.head = text.slice(0, end + 4);
      }
      if (!await this.#fill()) return this.head = text;
    }
  }

  /** The next frame, or `null` at the end. */
  async receive(): Promise<WireFrame | null> {
    for (;;) {
      const view = new DataView(this.#buffer.buffer);
      if (this.#buffer.length >= 2) {
        const masked = (view.getUint8(1) & 0x80) !== 0;
        let length = view.getUint8(1) & 0x7f, at = 2;
        if (length === 126 && this.#buffer.length >= 4) length = view.getUint16(at), at += 2;
        else if (length === 127 && this.#buffer.length >= 10) {
          length = Number(view.getBigUint64(at)), at += 8;
        }
        if (masked) at += 4;
        if (this.#buffer.length >= at + length) {
          const first = view.getUint8(0);
          if (masked) applyMask(view, at, at + length, view.getInt32(at - 4, true));
          const payload = this.#buffer.slice(at, at + length);
          this.#buffer = this.#buffer.slice(at + length);
          return { first, payload, text: decoder.decode(payload) };
        }
      }
      if (!await this.#fill()) return null;
    }
  }

  /** Reads to the end; the text of what came. */
  async rest(): Promise<string> {
    while (await this.#fill());
    return decoder.decode(this.#buffer);
  }

  async #fill(): Promise<boolean> {
    const chunk = new Uint8Array(65536);
    const count = await this.conn.read(chunk).catch(() => null);
    if (count === null) return false;
    const bytes = new Uint8Array(this.#buffer.length + count);
    bytes.set(this.#buffer);
    bytes.set(chunk.subarray(0, count), this.#buffer.length);
    this.#buffer = bytes;
    return true;
  }

  close(): void {
    if (!this.#closed) this.conn.close();
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The head of a valid handshake; further lines end with CRLF each. */
export function request(path = "/", lines = ""): string {
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${lines}\r\n`;
}

/** Connects by TCP, and sends a head where there is one. */
export async function rawClient(port: number, head: string | null = request()): Promise<RawPeer> {
  const peer = new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port }), true);
  if (head !== null) {
    await peer.write(head);
    await peer.readHead();
  }
  return peer;
}

/** A server that reads the head of one request and then does what the test says. */
export async function rawServer(
  serve: (peer: RawPeer) => Promise<void> | void,
): Promise<{ url: string; port: number; done: Promise<void>; close(): void }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const done = (async () => {
    const conn = await listener.accept().catch(() => null);
    if (conn === null) return;
    using peer = new RawPeer(conn, false);
    await peer.readHead();
    await serve(peer);
  })();
  done.catch(() => {});
  return await Promise.resolve({
    url: `ws://127.0.0.1:${port}/`,
    port,
    done,
    close: () => listener.close(),
  });
}

/** The 101 for a peer's head, with further lines. */
export function accept(peer: RawPeer, lines = ""): string {
  const key = /sec-websocket-key: *(\S+)/i.exec(peer.head)![1];
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n${lines}\r\n`;
}

/** A port on which nobody listens. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
