import { createHash } from "node:crypto";
import { concat, join, utf8 } from "./bytes.ts";
import { CLOSE, closeFrame, type Frame, frame, FrameReader, masked, readClose } from "./frames.ts";
import { mayFail } from "./failure.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** Encodes the lines of a request or response. */
export function head(...lines: string[]): Uint8Array {
  return utf8([...lines, "", ""].join("\r\n"));
}

/** Header fields to add or to replace: `null` removes a field, and a list repeats it. */
export type Changes = Record<string, string | string[] | null>;

/** The request of a handshake, with changed header fields. */
export function upgradeRequest(changes: Changes = {}, line = "GET / HTTP/1.1"): Uint8Array {
  const fields: Changes = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    ...changes,
  };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    [value ?? []].flat().map((value) => `${name}: ${value}`)
  );
  return head(line, ...lines);
}

/** The value of `Sec-WebSocket-Accept` for a key (RFC 6455 4.2.2). */
export function acceptOf(key: string): string {
  return createHash("sha1").update(key + GUID).digest("base64");
}

/** The 101 response to a request, with further header lines. */
export function upgradeResponse(request: string, ...lines: string[]): Uint8Array {
  return head(
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(fieldOf(request, "Sec-WebSocket-Key") ?? "")}`,
    ...lines,
  );
}

/** The first value of a header field; `null` if the field is missing. */
export function fieldOf(head: string, name: string): string | null {
  for (const line of head.split("\r\n").slice(1)) {
    const colon = line.indexOf(":");
    if (line.slice(0, colon).toLowerCase() === name.toLowerCase()) {
      return line.slice(colon + 1).trim();
    }
  }
  return null;
}

/** The part of a byte stream that a peer needs; every `Deno.Conn` has it. */
export interface ByteStream {
  read(into: Uint8Array): Promise<number | null>;
  write(data: Uint8Array): Promise<number>;
  closeWrite?(): Promise<void>;
  close(): void;
}

/** Whole frames, or the opcode, the payload and FIN of a single frame. */
export type Frames =
  | Uint8Array[]
  | [opcode: number, payload?: Uint8Array | string, fin?: boolean];

/**
 * A peer that sends any bytes, and reads only when a test calls it. It knows the form of a frame, and enforces no other rule.
 * It doesn't use the library, so that faults of the library can't hide in it.
 */
export class RawPeer<Stream extends ByteStream = Deno.TcpConn> implements Disposable {
  /** The head that the other side has sent, after it was read. */
  head = "";
  /** How the other side has ended the stream; `null` while it is open. */
  ended: "end" | "reset" | null = null;
  readonly conn: Stream;
  readonly role: "client" | "server";
  readonly #reader = new FrameReader();
  readonly #chunk = new Uint8Array(64 * 1024);
  #early: Uint8Array = new Uint8Array(0);
  #closed = false;

  constructor(conn: Stream, role: "client" | "server") {
    this.conn = conn;
    this.role = role;
    if ("setNoDelay" in conn) (conn as unknown as Deno.TcpConn).setNoDelay(true);
  }

  /** Opens a TCP connection to a listener, and sends nothing. */
  static async dial(port: number): Promise<RawPeer> {
    return new RawPeer(await Deno.connect({ hostname: "127.0.0.1", port }), "client");
  }

  /** Connects to a listener, and performs the handshake; `early` is sent in one write with the request. */
  static async connect(
    port: number,
    changes: Changes = {},
    line?: string,
    early?: Uint8Array,
  ): Promise<RawPeer> {
    return await (await RawPeer.dial(port)).request(changes, line, early);
  }

  /** Accepts a client, and performs the handshake. */
  static async accept(
    listener: Deno.TcpListener,
    options?: { lines?: string[]; behind?: Uint8Array[] },
  ): Promise<RawPeer> {
    return await new RawPeer(await listener.accept(), "server").answer(options);
  }

  /** Performs the handshake as a client. */
  async request(
    changes: Changes = {},
    line?: string,
    early: Uint8Array = new Uint8Array(0),
  ): Promise<this> {
    await this.write(concat(upgradeRequest(changes, line), early));
    await this.readHead();
    if (!this.head.startsWith("HTTP/1.1 101 ")) throw new Error(`Not upgraded: ${this.head}`);
    return this;
  }

  /** Performs the handshake as a server; `behind` is sent in one write with the 101. */
  async answer(
    { lines = [], behind = [] }: { lines?: string[]; behind?: Uint8Array[] } = {},
  ): Promise<this> {
    const request = await this.readHead();
    await this.write(concat(upgradeResponse(request, ...lines), ...behind));
    return this;
  }

  /** The extensions that the other side has named; `null` for none. */
  get extensions(): string | null {
    return fieldOf(this.head, "Sec-WebSocket-Extensions");
  }

  /** Writes all bytes, or a text as UTF-8. */
  write(data: Uint8Array | string): Promise<void> {
    const written = this.#write(typeof data === "string" ? utf8(data) : data);
    mayFail(written, "if it isn't awaited, the test may have closed the socket");
    return written;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** Writes bytes in pieces of `size`, each in a segment of its own. */
  async writeChopped(bytes: Uint8Array, size: number): Promise<void> {
    for (let at = 0; at < bytes.length; at += size) await this.write(bytes.subarray(at, at + size));
  }

  /** Encodes frames for this side: a client masks them. */
  encode(...what: Frames): Uint8Array {
    const [first, payload, fin] = what;
    const frames = typeof first === "number"
      ? [frame(first, payload, { fin: fin as boolean | undefined })]
      : what as Uint8Array[];
    return join(frames.map((frame) => this.role === "client" ? masked(frame) : frame));
  }

  /** Sends frames in one write. */
  send(...what: Frames): Promise<void> {
    return this.write(this.encode(...what));
  }

  /** Sends a close frame. */
  sendClose(code?: number, reason = ""): Promise<void> {
    return this.send(closeFrame(code, reason));
  }

  /** Reads a head; the bytes after it are kept for `frame`. */
  async readHead(): Promise<string> {
    let bytes = new Uint8Array(0);
    for (;;) {
      const text = new TextDecoder("latin1").decode(bytes);
      const end = text.indexOf("\r\n\r\n");
      if (end >= 0) {
        this.head = text.slice(0, end + 4);
        this.#early = bytes.slice(end + 4);
        this.#reader.position = end + 4;
        this.#reader.push(this.#early);
        return this.head;
      }
      const count = await this.conn.read(this.#chunk);
      if (count === null) throw new Error(`The stream ended in the head: ${text}`);
      bytes = new Uint8Array(concat(bytes, this.#chunk.subarray(0, count)));
    }
  }

  /** Returns the next frame, `null` at the end of the stream; checks the masking, and that the last frame is whole. */
  async frame(): Promise<Frame | null> {
    for (;;) {
      const frame = this.#reader.next();
      if (frame !== null) {
        if (frame.masked === (this.role === "client")) throw new Error("Wrongly masked");
        return frame;
      }
      const bytes = await this.#read();
      if (bytes !== null) this.#reader.push(bytes);
      else if (this.ended === "end" && this.#reader.rest.length > 0) {
        throw new Error("The stream ended in the middle of a frame");
      } else return null;
    }
  }

  /** Returns the next frame of an opcode, and skips others. */
  async next(opcode: number): Promise<Frame> {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) throw new Error(`The stream ended before a frame of opcode ${opcode}`);
      if (frame.opcode === opcode) return frame;
    }
  }

  /** Reads frames until the end of the stream. */
  async frames(): Promise<Frame[]> {
    const frames: Frame[] = [];
    for (let frame = await this.frame(); frame !== null; frame = await this.frame()) {
      frames.push(frame);
    }
    return frames;
  }

  /** Reads until a close frame; returns its code, or `null` if the stream ends without one. */
  async closeCode(): Promise<number | null> {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) return null;
      if (frame.opcode === CLOSE) return readClose(frame.payload).code;
    }
  }

  /** Reads all bytes until the end of the stream, without the head if that was read before. */
  async rest(): Promise<Uint8Array> {
    const parts = [this.#early];
    for (let bytes = await this.#read(); bytes !== null; bytes = await this.#read()) {
      parts.push(bytes.slice());
    }
    return join(parts);
  }

  /** Reads the whole response to a refused handshake. */
  async response(): Promise<{ status: number; head: string; body: string }> {
    await this.readHead();
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(this.head)?.[1]);
    return { status, head: this.head, body: new TextDecoder().decode(await this.rest()) };
  }

  async #read(): Promise<Uint8Array | null> {
    if (this.ended !== null) return null;
    try {
      const count = await this.conn.read(this.#chunk);
      if (count !== null) return this.#chunk.subarray(0, count);
      this.ended = "end";
    } catch {
      this.ended = "reset";
    }
    return null;
  }

  /** Closes the stream. If bytes are unread, the kernel sends a reset. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.conn.close();
    } catch {
      // The test has closed it already.
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Listens on a free port of the loopback interface. */
export function rawListener(): Deno.TcpListener {
  return Deno.listen({ hostname: "127.0.0.1", port: 0 });
}

/** A port on which no program was listening when the function was called. */
export function freePort(): number {
  using listener = rawListener();
  return listener.addr.port;
}

/** The `ws:` URL of a TCP listener. */
export function urlOf(listener: Deno.TcpListener, path = "/"): string {
  return `ws://127.0.0.1:${listener.addr.port}${path}`;
}
