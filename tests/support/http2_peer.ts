import { once } from "node:events";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Http2SecureServer,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { type Certificates, makeCertificates } from "../transport/certificates.ts";
import { concat, utf8 } from "./bytes.ts";
import { EventLog } from "./event_log.ts";
import { type ByteStream, RawPeer } from "./raw_peer.ts";

/** A complete response. */
export interface Http2Answer {
  status: number;
  // deno-lint-ignore no-explicit-any -- `node:http2` gives strings, lists and numbers
  headers: Record<string, any>;
  body: string;
  /** The error code that the stream ended with; 0 for NO_ERROR. */
  code: number;
}

/** The fields of a request; `null` omits a field. */
export type Http2Fields = Record<string, string | string[] | null>;

/** The fields that aren't `null`. */
function given(fields: Http2Fields): http2.OutgoingHttpHeaders {
  const entries = Object.entries(fields).filter(([, value]) => value !== null);
  return Object.fromEntries(entries) as http2.OutgoingHttpHeaders;
}

/** A head as text, in the form of HTTP/1.1. */
function headText(headers: http2.IncomingHttpHeaders): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return ["HTTP/2", ...lines, "", ""].join("\r\n");
}

/** A stream of a WebSocket over HTTP/2, as bytes. */
export class Http2Bytes implements ByteStream {
  /** The fields of the response. */
  // deno-lint-ignore no-explicit-any
  headers: Record<string, any> = {};
  #rest: Uint8Array | null = null;
  #ended = false;
  #failure: Error | null = null;
  #wake = () => {};

  constructor(readonly stream: ClientHttp2Stream | ServerHttp2Stream) {
    stream.on("readable", () => this.#wake());
    stream.on("aborted", () => this.#failed(new Deno.errors.ConnectionReset("reset")));
    stream.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    stream.on("error", (error) => this.#failed(error));
    stream.on("close", () => this.#failed(new Deno.errors.ConnectionReset("closed")));
  }

  #failed(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }

  async read(into: Uint8Array): Promise<number | null> {
    for (;;) {
      const chunk: Uint8Array | null = this.#rest ?? this.stream.read();
      if (chunk !== null) {
        const count = Math.min(chunk.length, into.length);
        into.set(chunk.subarray(0, count));
        this.#rest = count < chunk.length ? chunk.subarray(count) : null;
        return count;
      }
      if (this.#failure !== null && !this.#ended) throw this.#failure;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(data: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      const closed = () => reject(new Deno.errors.BrokenPipe("closed"));
      this.stream.once("close", closed);
      this.stream.write(data.slice(), (error) => {
        this.stream.off("close", closed);
        if (error) reject(error);
        else resolve(data.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.stream.end(() => resolve()));
  }

  close(): void {
    this.stream.close(http2.constants.NGHTTP2_CANCEL);
  }
}

/** An HTTP/2 client on `node:http2`, independent of the library. */
export class Http2Peer implements AsyncDisposable {
  // deno-lint-ignore no-explicit-any
  settings: any;
  /** The error code of the GOAWAY frame; `null` before one was received. */
  goaway: number | null = null;
  readonly session: ClientHttp2Session;
  readonly authority: string;

  private constructor(session: ClientHttp2Session, authority: string) {
    this.session = session;
    this.authority = authority;
    session.on("error", () => {});
    session.on("goaway", (code) => void (this.goaway = code));
  }

  /** Connects with or without TLS, by prior knowledge; waits for the server's settings. */
  static async connect(
    port: number,
    options: http2.ClientSessionOptions | http2.SecureClientSessionOptions = {},
    scheme = "http",
  ): Promise<Http2Peer> {
    const authority = `${scheme === "http" ? "127.0.0.1" : "localhost"}:${port}`;
    const session = http2.connect(`${scheme}://${authority}`, options);
    const peer = new Http2Peer(session, authority);
    await new Promise((resolve, reject) => {
      session.once("remoteSettings", (settings) => resolve(peer.settings = settings));
      session.once("error", reject);
      session.once("close", () => reject(new Error("closed")));
    });
    return peer;
  }

  /** Begins a request. The caller sends the body, if there is one. */
  begin(fields: Http2Fields, endStream = false): ClientHttp2Stream {
    const stream = this.session.request(given(fields), { endStream });
    stream.on("error", () => {});
    return stream;
  }

  /** Sends a request, and reads the whole response. */
  async request(fields: Http2Fields, body?: Uint8Array | string): Promise<Http2Answer> {
    const stream = this.begin(fields, body === undefined);
    if (body !== undefined) stream.end(typeof body === "string" ? utf8(body) : body);
    return await answerOf(stream);
  }

  /** Requests a WebSocket, and returns the stream. */
  beginWebSocket(fields: Http2Fields = {}, endStream = false): ClientHttp2Stream {
    return this.begin({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":scheme": "http",
      ":path": "/",
      ":authority": this.authority,
      "sec-websocket-version": "13",
      ...fields,
    }, endStream);
  }

  /** Opens a WebSocket. */
  async webSocket(fields: Http2Fields = {}): Promise<RawPeer<Http2Bytes>> {
    const stream = this.beginWebSocket(fields);
    const bytes = new Http2Bytes(stream);
    bytes.headers = await headersOf(stream);
    if (bytes.headers[":status"] !== 200) {
      throw new Error(`Not opened: ${bytes.headers[":status"]}`);
    }
    const peer = new RawPeer(bytes, "client");
    peer.head = headText(bytes.headers);
    return peer;
  }

  /** Requests a WebSocket, and reads the response that refuses it. */
  async refusal(fields: Http2Fields = {}): Promise<Http2Answer> {
    const stream = this.beginWebSocket(fields);
    stream.once("end", () => stream.end());
    return await answerOf(stream);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { session } = this;
    if (session.destroyed) return;
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    session.destroy();
    await closed;
  }
}

let made: Certificates | null = null;

/** The certificates of HTTP/2 servers. They are removed when the test file ends. */
export function http2Certificates(): Certificates {
  if (made === null) {
    const certificates = made = makeCertificates();
    addEventListener("unload", () => certificates[Symbol.dispose]());
  }
  return made;
}

/** An HTTP/2 server on `node:http2`, with TLS. The test handles its streams. */
export class Http2Origin implements AsyncDisposable {
  /** The streams of clients. */
  readonly streams = new EventLog<ServerHttp2Stream>();
  readonly #heads = new WeakMap<ServerHttp2Stream, http2.IncomingHttpHeaders>();
  /** The authority that has signed its certificate. */
  readonly ca: string;
  readonly #server: Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();

  private constructor({ ca, server: { cert, key } }: Certificates) {
    this.ca = ca;
    const settings = { enableConnectProtocol: true };
    this.#server = http2.createSecureServer({ cert, key, settings });
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
      session.on("close", () => this.#sessions.delete(session));
    });
    this.#server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      this.#heads.set(stream, headers);
      this.streams.push(stream);
    });
  }

  static async start(): Promise<Http2Origin> {
    const origin = new Http2Origin(http2Certificates());
    origin.#server.listen(0, "127.0.0.1");
    await once(origin.#server, "listening");
    return origin;
  }

  /** Accepts the next stream as a WebSocket. */
  async webSocket(fields: Http2Fields = {}): Promise<RawPeer<Http2Bytes>> {
    const stream = await this.streams.next();
    stream.respond({ ":status": 200, ...given(fields) });
    const peer = new RawPeer(new Http2Bytes(stream), "server");
    peer.head = headText(this.#heads.get(stream)!);
    return peer;
  }

  get url(): string {
    return `wss://localhost:${(this.#server.address() as AddressInfo).port}/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** Waits for the fields of a response. */
// deno-lint-ignore no-explicit-any
export function headersOf(stream: ClientHttp2Stream): Promise<Record<string, any>> {
  return new Promise((resolve, reject) => {
    stream.once("response", (headers) => resolve({ ...headers }));
    stream.once("close", () => reject(new Error(`The stream ended with ${stream.rstCode}`)));
  });
}

/** Reads a whole response; without a head its status is 0. */
export function answerOf(stream: ClientHttp2Stream): Promise<Http2Answer> {
  return new Promise((resolve) => {
    const answer: Http2Answer = { status: 0, headers: {}, body: "", code: 0 };
    const parts: Uint8Array[] = [];
    stream.on("response", (headers) => {
      answer.headers = { ...headers };
      answer.status = Number(headers[":status"]);
    });
    stream.on("data", (part) => parts.push(part));
    stream.on("close", () => {
      answer.body = new TextDecoder().decode(concat(...parts));
      answer.code = stream.rstCode ?? 0;
      resolve(answer);
    });
  });
}

/** Frame types (RFC 9113 6). */
export const DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7;
export const PUSH_PROMISE = 5, WINDOW_UPDATE = 8, CONTINUATION = 9;
export const END_STREAM = 1, ACK = 1, END_HEADERS = 4;

/** An HTTP/2 frame. */
export interface Http2Frame {
  type: number;
  flags: number;
  stream: number;
  payload: Uint8Array;
}

/** Encodes a frame (RFC 9113 4.1). */
export function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const { length } = payload;
  const head = Uint8Array.of(length >> 16, length >> 8, length, type, flags, 0, 0, 0, 0);
  new DataView(head.buffer).setUint32(5, stream);
  return concat(head, payload);
}

/** Encodes a number as four bytes. */
export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** A setting, by its number (RFC 9113 6.5.1). */
export function setting(id: number, value: number): Uint8Array {
  return concat(Uint8Array.of(0, id), uint32(value));
}

/** The SETTINGS of a server that accepts WebSockets: SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 3), and others. */
export function serverSettings(...others: Uint8Array[]): Uint8Array {
  return http2Frame(SETTINGS, 0, 0, concat(setting(8, 1), ...others));
}

/** Encodes a field block without compression: every field is a literal with a new name (RFC 7541 6.2.2). */
export function fieldBlock(...fields: [name: string, value: string][]): Uint8Array {
  return concat(...fields.flatMap(([name, value]) => {
    return [Uint8Array.of(0), hpackString(name), hpackString(value)];
  }));
}

/** Encodes a string of at most 16,510 bytes (RFC 7541 5.1 and 5.2). */
function hpackString(text: string): Uint8Array {
  const bytes = utf8(text), { length } = bytes;
  if (length < 127) return concat(Uint8Array.of(length), bytes);
  const rest = length - 127;
  const digits = rest < 128 ? [rest] : [(rest & 127) | 128, rest >> 7];
  return concat(Uint8Array.of(127, ...digits), bytes);
}

/** A client's connection preface: the magic bytes, and SETTINGS. */
export function clientPreface(): Uint8Array {
  return concat(utf8("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), http2Frame(SETTINGS, 0, 0));
}

/** An HTTP/2 client or server that sends any frames, valid or not. */
export class RawHttp2 implements Disposable {
  /** The frames that were read. */
  readonly seen: Http2Frame[] = [];
  readonly conn: Deno.TcpConn | Deno.TlsConn;
  #bytes: Uint8Array = new Uint8Array(0);
  #closed = false;

  private constructor(conn: Deno.TcpConn | Deno.TlsConn) {
    this.conn = conn;
    if ("setNoDelay" in conn) conn.setNoDelay(true);
  }

  /** Connects and sends the preface. */
  static async connect(port: number): Promise<RawHttp2> {
    const peer = new RawHttp2(await Deno.connect({ hostname: "127.0.0.1", port }));
    await peer.write(clientPreface());
    return peer;
  }

  /** Accepts a client, reads its preface, and sends the first frames. */
  static async accept(
    listener: Deno.TlsListener,
    first: Uint8Array = serverSettings(),
  ): Promise<RawHttp2> {
    const peer = new RawHttp2(await listener.accept());
    const preface = new Uint8Array(24);
    for (let at = 0; at < preface.length;) at += await peer.conn.read(preface.subarray(at)) ?? 24;
    await peer.write(first);
    return peer;
  }

  async write(...parts: Uint8Array[]): Promise<void> {
    const bytes = concat(...parts);
    for (let at = 0; at < bytes.length;) at += await this.conn.write(bytes.subarray(at));
  }

  /** Returns the next frame; `null` at the end of the connection. */
  async frame(): Promise<Http2Frame | null> {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const bytes = this.#bytes;
      if (bytes.length >= 9) {
        const length = (bytes[0] << 16) | (bytes[1] << 8) | bytes[2];
        if (bytes.length >= 9 + length) {
          this.#bytes = bytes.subarray(9 + length);
          const stream = new DataView(bytes.buffer, bytes.byteOffset).getUint32(5);
          const frame = {
            type: bytes[3],
            flags: bytes[4],
            stream,
            payload: bytes.slice(9, 9 + length),
          };
          this.seen.push(frame);
          return frame;
        }
      }
      let count: number | null;
      try {
        count = await this.conn.read(buffer);
      } catch {
        count = null;
      }
      if (count === null) return null;
      this.#bytes = concat(this.#bytes, buffer.subarray(0, count));
    }
  }

  /** Returns the next frame of a type. */
  async next(type: number): Promise<Http2Frame> {
    for (;;) {
      const frame = await this.frame();
      if (frame === null) throw new Error(`The connection ended before a frame of type ${type}`);
      if (frame.type === type) return frame;
    }
  }

  /** Reads until the end of the connection; returns the error code of the last GOAWAY, `null` if there was none. */
  async end(): Promise<number | null> {
    while (await this.frame() !== null);
    const last = this.seen.findLast(({ type }) => type === GOAWAY);
    return last === undefined ? null : new DataView(last.payload.buffer).getUint32(4);
  }

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
