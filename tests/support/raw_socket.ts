import { acceptKey } from "../../src/handshake/accept_key.ts";
import { join } from "./bytes.ts";

/** A frame as it stood on the wire. */
export interface RawFrame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Uint8Array;
  /** Where it began and ended among all bytes received, the handshake's included. */
  readonly start: number;
  readonly end: number;
}

const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
const CHUNK = 64 * 1024;

/** A peer that speaks frames by hand, and reads only when told to: the way to be rude to a library. */
export class RawSocket implements Disposable {
  readonly conn: Deno.TcpConn;
  readonly #masking: boolean;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0; // position of #bytes[0] in the stream
  #closed = false;

  constructor(conn: Deno.TcpConn, masking: boolean) {
    this.conn = conn;
    this.#masking = masking;
    conn.setNoDelay(true);
  }

  /** Connects and shakes hands as a client; bytes of `early` go out with the request. */
  static async connect(port: number, early: Uint8Array = new Uint8Array(0)): Promise<RawSocket> {
    const socket = new RawSocket(await Deno.connect({ hostname: "127.0.0.1", port }), true);
    await socket.write(join([
      new TextEncoder().encode(
        `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      ),
      early,
    ]));
    await socket.head();
    return socket;
  }

  /** Reads a head, up to and with its empty line. */
  async head(): Promise<string> {
    for (;;) {
      const text = new TextDecoder("latin1").decode(this.#bytes);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.#skip(end + 4);
        return text.slice(0, end);
      }
      if (!await this.#more()) throw new Error("The stream ended in the head");
    }
  }

  /** Writes all of `bytes`. */
  write(bytes: Uint8Array): Promise<void> {
    const written = this.#write(bytes);
    // One that nobody awaits fails when the test has closed the socket.
    written.catch(() => {});
    return written;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** Encodes a frame as this side has to. */
  encode(opcode: number, payload: Uint8Array | string = "", fin = true): Uint8Array {
    const body = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    const { length } = body;
    const size = length < 126 ? 0 : length < 65536 ? 2 : 8;
    // A key of zeros leaves the payload as it is.
    const frame = new Uint8Array(2 + size + (this.#masking ? 4 : 0) + length);
    const view = new DataView(frame.buffer);
    frame[0] = (fin ? 0x80 : 0) | opcode;
    frame[1] = (this.#masking ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127);
    if (size === 2) view.setUint16(2, length);
    if (size === 8) view.setBigUint64(2, BigInt(length));
    frame.set(body, frame.length - length);
    return frame;
  }

  /** Sends a frame. */
  send(opcode: number, payload: Uint8Array | string = "", fin = true): Promise<void> {
    return this.write(this.encode(opcode, payload, fin));
  }

  /** Sends a close frame. */
  sendClose(code: number, reason = ""): Promise<void> {
    return this.send(
      8,
      join([new Uint8Array([code >> 8, code & 255]), new TextEncoder().encode(reason)]),
    );
  }

  /** Reads the next frame; `null` at the end of the stream. */
  async frame(): Promise<RawFrame | null> {
    if (!await this.#need(2)) return null;
    const masked = (this.#bytes[1] & 0x80) !== 0;
    let length = this.#bytes[1] & 0x7f, body = 2;
    if (length === 126) {
      body = 4;
      await this.#need(body);
      length = this.#view().getUint16(2);
    } else if (length === 127) {
      body = 10;
      await this.#need(body);
      length = Number(this.#view().getBigUint64(2));
    }
    if (masked) body += 4;
    if (!await this.#need(body + length)) return null;
    const payload = this.#bytes.slice(body, body + length);
    if (masked) {
      for (let i = 0; i < length; i++) payload[i] ^= this.#bytes[body - 4 + (i & 3)];
    }
    const frame = {
      fin: (this.#bytes[0] & 0x80) !== 0,
      opcode: this.#bytes[0] & 0x0f,
      payload,
      start: this.#at,
      end: this.#at + body + length,
    };
    this.#skip(body + length);
    return frame;
  }

  /** Reads frames up to the end of the stream. */
  async frames(): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    for (let frame = await this.frame(); frame !== null; frame = await this.frame()) {
      frames.push(frame);
    }
    return frames;
  }

  /** Reads the next frame of an opcode, skipping others. */
  async next(opcode: number): Promise<RawFrame> {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) throw new Error(`The stream ended before a frame of opcode ${opcode}`);
      if (frame.opcode === opcode) return frame;
    }
  }

  /** Closes the socket; with bytes unread that is a reset. */
  close(): void {
    if (!this.#closed) this.conn.close();
    this.#closed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  }

  #skip(count: number): void {
    this.#bytes = this.#bytes.subarray(count);
    this.#at += count;
  }

  async #need(count: number): Promise<boolean> {
    while (this.#bytes.length < count) if (!await this.#more()) return false;
    return true;
  }

  async #more(): Promise<boolean> {
    const chunk = new Uint8Array(CHUNK);
    const count = await this.conn.read(chunk).catch(() => null);
    if (count === null) return false;
    this.#bytes = join([this.#bytes, chunk.subarray(0, count)]);
    return true;
  }
}

/** Accepts handshakes by hand. */
export class RawServer implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly url: string = `ws://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}/`;

  /** Accepts one connection and answers its handshake; `early` goes out with the answer. */
  async accept(early: Uint8Array = new Uint8Array(0)): Promise<RawSocket> {
    const socket = new RawSocket(await this.#listener.accept() as Deno.TcpConn, false);
    const key = /sec-websocket-key: *(\S+)/i.exec(await socket.head())![1];
    await socket.write(join([
      new TextEncoder().encode(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`,
      ),
      early,
    ]));
    return socket;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}
