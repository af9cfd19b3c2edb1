import { acceptKey } from "../../src/handshake/accept_key.ts";
import { join, utf8 } from "../support/bytes.ts";

/** A frame as it came over the wire. */
export interface RawFrame {
  fin: boolean;
  rsv1: boolean;
  opcode: number;
  payload: Uint8Array;
}

/** A peer that speaks bytes, so that it can break every rule. */
export class RawPeer {
  readonly #conn: Deno.TcpConn;
  readonly #masks: boolean;
  /** The value of Sec-WebSocket-Extensions that the other side has sent, or null. */
  readonly extensions: string | null;
  #buffer: Uint8Array;
  #eof = false;

  private constructor(
    conn: Deno.TcpConn,
    masks: boolean,
    extensions: string | null,
    rest: Uint8Array,
  ) {
    this.#conn = conn;
    this.#masks = masks;
    this.extensions = extensions;
    this.#buffer = rest;
  }

  /** Connects to a server, with this offer. */
  static async connect(port: number, offer: string | string[] | null): Promise<RawPeer> {
    const conn = await Deno.connect({ port });
    let request =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (const line of [offer ?? []].flat()) request += `Sec-WebSocket-Extensions: ${line}\r\n`;
    await writeAll(conn, utf8(request + "\r\n"));
    const { head, rest } = await readHead(conn);
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(head);
    return new RawPeer(conn, true, header(head, "sec-websocket-extensions"), rest);
  }

  /** Accepts one client, with this answer. */
  static async accept(listener: Deno.TcpListener, answer: string | null): Promise<RawPeer> {
    const conn = await listener.accept();
    const { head, rest } = await readHead(conn);
    let response =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptKey(header(head, "sec-websocket-key")!)}\r\n`;
    if (answer !== null) response += `Sec-WebSocket-Extensions: ${answer}\r\n`;
    await writeAll(conn, utf8(response + "\r\n"));
    return new RawPeer(conn, false, header(head, "sec-websocket-extensions"), rest);
  }

  /** Sends a frame; `first` is FIN, reserved bits and opcode. */
  async send(first: number, payload: Uint8Array): Promise<void> {
    await this.sendAll([[first, payload]]);
  }

  /** Sends frames in one go. */
  async sendAll(frames: [first: number, payload: Uint8Array][]): Promise<void> {
    const parts: Uint8Array[] = [];
    for (const [first, payload] of frames) parts.push(this.#header(first, payload.length), payload);
    await writeAll(this.#conn, join(parts));
  }

  #header(first: number, length: number): Uint8Array {
    const mask = this.#masks ? 0x80 : 0;
    const head = length < 126
      ? [first, mask | length]
      : length < 65536
      ? [first, mask | 126, length >> 8, length & 255]
      : [first, mask | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((bits) => length >>> bits & 255)];
    // A key of zeros: the payload stays as it is.
    if (this.#masks) head.push(0, 0, 0, 0);
    return Uint8Array.from(head);
  }

  /** Reads a frame; null at the end of the stream. */
  async receive(): Promise<RawFrame | null> {
    for (;;) {
      const frame = this.#parse();
      if (frame !== null) return frame;
      if (this.#eof) return null;
      const chunk = new Uint8Array(65536);
      const count = await this.#conn.read(chunk).catch(() => null);
      if (count === null) this.#eof = true;
      else this.#buffer = join([this.#buffer, chunk.subarray(0, count)]);
    }
  }

  /** Reads until a close frame, and returns its code; null where the stream ends without one. */
  async closeCode(): Promise<number | null> {
    for (;;) {
      const frame = await this.receive();
      if (frame === null) return null;
      if (frame.opcode === 8) return frame.payload[0] << 8 | frame.payload[1];
    }
  }

  close(): void {
    this.#conn.close();
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // It was closed before.
    }
  }

  #parse(): RawFrame | null {
    const bytes = this.#buffer;
    if (bytes.length < 2) return null;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    let length = bytes[1] & 0x7f, at = 2;
    if (length === 126) {
      if (bytes.length < 4) return null;
      length = view.getUint16(2);
      at = 4;
    } else if (length === 127) {
      if (bytes.length < 10) return null;
      length = Number(view.getBigUint64(2));
      at = 10;
    }
    let key: Uint8Array | null = null;
    if ((bytes[1] & 0x80) !== 0) {
      key = bytes.subarray(at, at + 4);
      at += 4;
    }
    if (bytes.length < at + length) return null;
    const payload = bytes.slice(at, at + length);
    if (key !== null) { for (let i = 0; i < length; i++) payload[i] ^= key[i & 3]; }
    this.#buffer = bytes.subarray(at + length);
    const [first] = bytes;
    return { fin: first > 0x7f, rsv1: (first & 0x40) !== 0, opcode: first & 15, payload };
  }
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

async function readHead(conn: Deno.TcpConn): Promise<{ head: string; rest: Uint8Array }> {
  let bytes = new Uint8Array(0);
  for (;;) {
    const text = new TextDecoder("latin1").decode(bytes);
    const end = text.indexOf("\r\n\r\n");
    if (end !== -1) return { head: text.slice(0, end), rest: bytes.subarray(end + 4) };
    const chunk = new Uint8Array(4096);
    const count = await conn.read(chunk);
    if (count === null) throw new Error("The stream ended amid a head");
    bytes = join([bytes, chunk.subarray(0, count)]) as Uint8Array<ArrayBuffer>;
  }
}

function header(head: string, name: string): string | null {
  for (const line of head.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    if (line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return null;
}
