import { createHash } from "node:crypto";
import { concat, join, utf8 } from "./bytes.ts";
import { type Frame, FrameReader, masked } from "./frames.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** The lines of a request or response as bytes. */
export function head(...lines: string[]): Uint8Array {
  return utf8([...lines, "", ""].join("\r\n"));
}

/** A handshake's request, with further header lines, or others in place of the usual ones. */
export function upgradeRequest(
  changes: Record<string, string | null> = {},
  line = "GET / HTTP/1.1",
): Uint8Array {
  const fields: Record<string, string | null> = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== null);
  return head(line, ...lines.map(([name, value]) => `${name}: ${value}`));
}

/** The 101 that answers a request, with further header lines. */
export function upgradeResponse(request: string, ...lines: string[]): Uint8Array {
  const key = /^sec-websocket-key: *(\S+)/im.exec(request)?.[1] ?? "";
  const accept = createHash("sha1").update(key + GUID).digest("base64");
  return head(
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    ...lines,
  );
}

/** A peer that speaks bytes: it knows what a frame looks like, and obeys no rule about it. */
export class RawPeer implements Disposable {
  /** The head that the other side sent, once it was read. */
  head = "";
  readonly conn: Deno.TcpConn;
  readonly #role: "client" | "server";
  readonly #reader = new FrameReader();
  readonly #chunk = new Uint8Array(64 * 1024);
  #early = new Uint8Array(0);
  #ended = false;
  #closed = false;

  constructor(conn: Deno.TcpConn, role: "client" | "server") {
    conn.setNoDelay(true);
    this.conn = conn;
    this.#role = role;
  }

  /** Opens a TCP connection to a listener and says nothing. */
  static async dial(port: number): Promise<RawPeer> {
    return new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port }), "client");
  }

  /** Connects to a listener and shakes hands. */
  static async connect(
    port: number,
    changes: Record<string, string | null> = {},
    line?: string,
  ): Promise<RawPeer> {
    const peer = await RawPeer.dial(port);
    await peer.write(upgradeRequest(changes, line));
    await peer.readHead();
    if (!peer.head.startsWith("HTTP/1.1 101 ")) throw new Error(`Not upgraded: ${peer.head}`);
    return peer;
  }

  /** Accepts a client and shakes hands; `behind` goes out in one piece with the 101. */
  static async accept(
    listener: Deno.TcpListener,
    { lines = [], behind = [] }: { lines?: string[]; behind?: Uint8Array[] } = {},
  ): Promise<RawPeer> {
    const peer = new RawPeer(await listener.accept(), "server");
    const request = await peer.readHead();
    await peer.write(concat(upgradeResponse(request, ...lines), ...behind));
    return peer;
  }

  /** Writes all of `bytes`. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** Writes in pieces of `size` bytes, each a segment of its own. */
  async writeChopped(bytes: Uint8Array, size: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += size) await this.write(bytes.subarray(at, at + size));
  }

  /** Frames as this side has to send them: masked by a client. */
  encode(frames: Uint8Array[]): Uint8Array {
    return join(frames.map((frame) => this.#role === "client" ? masked(frame) : frame));
  }

  /** Sends frames in one write. */
  send(...frames: Uint8Array[]): Promise<void> {
    return this.write(this.encode(frames));
  }

  /** Reads to the end of a head; what follows it is kept for `frame`. */
  async readHead(): Promise<string> {
    let bytes = new Uint8Array(0);
    for (;;) {
      const text = new TextDecoder("latin1").decode(bytes);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.head = text.slice(0, end + 4);
        this.#early = bytes.slice(end + 4);
        this.#reader.push(this.#early);
        return this.head;
      }
      const count = await this.conn.read(this.#chunk);
      if (count === null) throw new Error(`The stream ended in the head: ${text}`);
      bytes = new Uint8Array(concat(bytes, this.#chunk.subarray(0, count)));
    }
  }

  /** The next frame, or `null` at the end of the stream; checks who masks. */
  async frame(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#reader.next();
      if (frame !== null) {
        if (frame.masked === (this.#role === "client")) throw new Error("Wrongly masked");
        return frame;
      }
      if (this.#ended) return null;
      const count = await this.conn.read(this.#chunk);
      if (count === null) {
        this.#ended = true;
        if (this.#reader.rest.length > 0) throw new Error("The stream ended amid a frame");
        return null;
      }
      this.#reader.push(this.#chunk.subarray(0, count));
    }
  }

  /** Everything up to the end of the stream, raw, behind the head if that was read. */
  async rest(): Promise<Uint8Array> {
    const parts = [this.#early];
    for (;;) {
      const count = await this.conn.read(this.#chunk);
      if (count === null) return join(parts);
      parts.push(this.#chunk.slice(0, count));
    }
  }

  /** Answers a refused handshake's whole text. */
  async response(): Promise<{ status: number; head: string; body: string }> {
    await this.readHead();
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(this.head)?.[1]);
    return { status, head: this.head, body: new TextDecoder().decode(await this.rest()) };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.conn.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A TCP listener on a free port of this machine. */
export function rawListener(): Deno.TcpListener {
  return Deno.listen({ hostname: "127.0.0.1", port: 0 });
}

/** The `ws:` URL of a TCP listener. */
export function urlOf(listener: Deno.TcpListener, path = "/"): string {
  return `ws://127.0.0.1:${listener.addr.port}${path}`;
}
