import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { nextTick } from "node:process";
import type { Duplex } from "node:stream";
import type { Connection, ConnectionHandlers } from "../connection.ts";
import { adoptOpened } from "../context.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import type { CloseRecord } from "../protocol/close_record.ts";
import { QueueFullError } from "../errors.ts";
import { ABNORMAL, isCloseCode, LONGEST_REASON } from "../protocol/close_code.ts";
import { LONGEST_CONTROL } from "../protocol/frame_header.ts";
import { BINARY } from "../protocol/opcode.ts";
import { ProtocolError } from "../protocol/protocol_error.ts";
import { CHECKPOINT } from "../util/checkpoint.ts";
import { Outbox } from "../websocket/outbox.ts";
import { type Payload, sizeOf, snapshotOf } from "../websocket/payload.ts";
import { sharedContext } from "../websocket/shared_context.ts";
import { type ClientOptions, startHandshake } from "./client_handshake.ts";
import { emittedError, notOpen } from "./errors.ts";
import {
  addHandler,
  attributeOf,
  emit,
  type Handler,
  removeHandler,
  run,
  setAttribute,
  type WebSocketEvents,
} from "./events.ts";
import { type Handshaken, openTermsOf, type SharedOptions, thresholdOf } from "./options.ts";
import { toPayload } from "./payload.ts";

const CONNECTING = 0, OPEN = 1, CLOSING = 2, CLOSED = 3;
const BINARY_TYPES = ["nodebuffer", "arraybuffer", "fragments", "blob"];
/** No reason. The listeners of `close` get it, so it is shared with nothing else. */
const NO_REASON = Buffer.alloc(0);
/** Makes a `Buffer` over memory without the checks of `Buffer.from`. */
const BufferOver = (Buffer as unknown as {
  [Symbol.species]: new (memory: ArrayBufferLike, at: number, length: number) => Buffer;
})[Symbol.species];

/**
 * Options of `send`.
 *
 * @see {@linkcode WebSocket}
 */
export interface SendOptions {
  /** Whether the message is binary. Default: `false` for strings, `true` for bytes. */
  binary?: boolean;
  /** Whether the message may be compressed. @default {true} */
  compress?: boolean;
  /** Whether the data are the end of the message. @default {true} */
  fin?: boolean;
  /** Accepted and without effect: clients mask, servers don't (RFC 6455 5.1). */
  mask?: boolean;
}

/**
 * Called when an operation is done, with an error if it has failed.
 *
 * @see {@linkcode WebSocket}
 */
export type Callback = (error?: Error) => void;

/** Passes the stream of a completed handshake to its socket. */
export let attach: (
  socket: WebSocket,
  stream: Duplex,
  head: Uint8Array,
  handshaken: Handshaken<WebSocket>,
) => void;

/** The types of the event listeners. */
export interface WebSocket {
  /** Adds a listener. */
  on<Name extends keyof WebSocketEvents>(
    event: Name,
    listener: (this: WebSocket, ...args: WebSocketEvents[Name]) => void,
  ): this;
  /** Adds a listener of any other event. */
  // deno-lint-ignore no-explicit-any -- as the emitter has it
  on(event: string | symbol, listener: (this: WebSocket, ...args: any[]) => void): this;
  /** Adds a listener of the next such event. */
  once<Name extends keyof WebSocketEvents>(
    event: Name,
    listener: (this: WebSocket, ...args: WebSocketEvents[Name]) => void,
  ): this;
  /** Adds a listener of the next such event of any other name. */
  // deno-lint-ignore no-explicit-any -- as the emitter has it
  once(event: string | symbol, listener: (this: WebSocket, ...args: any[]) => void): this;
}

/**
 * The `WebSocket` of the npm package `ws`, on this library's connections: an event emitter with the same methods, events
 * and errors, for programs that were written for that package.
 *
 * @example
 * ```ts
 * import { WebSocket, WebSocketServer } from "@sluice/websocket/ws";
 *
 * const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
 * server.on("connection", (socket) => socket.send("hello"));
 * server.on("listening", () => {
 *   const { port } = server.address() as { port: number };
 *   const socket = new WebSocket(`ws://127.0.0.1:${port}`, { handshakeTimeout: 5_000 });
 *   socket.on("message", (data) => {
 *     console.log(String(data));
 *     socket.close();
 *     server.close();
 *   });
 * });
 * ```
 */
export class WebSocket extends EventEmitter {
  /** The connection is being made. */
  declare static readonly CONNECTING: 0;
  /** Messages go both ways. */
  declare static readonly OPEN: 1;
  /** The closing handshake is under way. */
  declare static readonly CLOSING: 2;
  /** The connection has ended. */
  declare static readonly CLOSED: 3;
  /** The same as `WebSocket.CONNECTING`. */
  declare readonly CONNECTING: 0;
  /** The same as `WebSocket.OPEN`. */
  declare readonly OPEN: 1;
  /** The same as `WebSocket.CLOSING`. */
  declare readonly CLOSING: 2;
  /** The same as `WebSocket.CLOSED`. */
  declare readonly CLOSED: 3;

  static {
    // A bundler may have renamed the class.
    Object.defineProperty(WebSocket, "name", { value: "WebSocket" });
    attach = (socket, stream, head, handshaken) => socket.#attach(stream, head, handshaken);
    for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
      for (const object of [WebSocket, WebSocket.prototype]) {
        Object.defineProperty(object, name, { enumerable: true, value });
      }
    }
    const members = Object.getOwnPropertyDescriptors(WebSocket.prototype);
    for (const [name, descriptor] of Object.entries(members)) {
      if (descriptor.get === undefined) continue;
      Object.defineProperty(WebSocket.prototype, name, { ...descriptor, enumerable: true });
    }
  }

  /** Shared by all sockets, which saves memory. */
  static readonly #callbacks: ConnectionHandlers<WebSocket> = {
    // Code that awaits `open` can add listeners before the first message.
    onConnect: () => CHECKPOINT as Promise<void>,
    onMessage: ({ data: socket }, data, header) =>
      socket.#received(data, header!.opcode === BINARY) as Promise<void>,
    onPing: ({ data: socket }, payload) => emit(socket, "ping", Buffer.from(payload)),
    onPong: ({ data: socket }, payload) => emit(socket, "pong", Buffer.from(payload)),
    onError: ({ data: socket }, error) => {
      // The loss of the stream shows only in the close event.
      if (error instanceof ProtocolError) socket.#error(emittedError(error));
    },
    onClose: ({ data: socket }, record) => socket.#closed(record),
  };

  /** The stream of the connection; `null` without an open one. */
  _socket: Duplex | null = null;
  readonly #options: SharedOptions;
  #connection: Connection<WebSocket> | null = null;
  #readyState = CONNECTING;
  #binaryType = "nodebuffer";
  #url: string | undefined;
  #protocol = "";
  #extensions = "";
  #paused = false;
  #wasClean = false;
  #errorEmitted = false;
  /** The number of bytes in messages that can't be sent any more. */
  #lost = 0;
  /** Cancels the handshake in progress. */
  #cancel: (() => void) | null = null;
  /** Notifies the server that the socket has closed. */
  #tellClosed: ((socket: WebSocket) => void) | undefined;
  /** A message isn't compressed if its first fragment has fewer bytes. */
  #threshold = 0;
  /** Whether the first fragments of a message have been sent. */
  #fragmented = false;
  /** Made with the first `Blob`. */
  #outbox: Outbox | null = null;

  /**
   * Connects to a server.
   *
   * @param address The URL; `null` makes a socket of a server.
   * @param protocols The subprotocols to offer, or the options.
   * @param options Options of the handshake and of the connection.
   */
  constructor(
    address: string | URL | null,
    protocols?: string | readonly string[] | ClientOptions,
    options?: ClientOptions,
  ) {
    super();
    const areOptions = typeof protocols === "object" && protocols !== null &&
      !Array.isArray(protocols);
    const given = (areOptions ? protocols as ClientOptions : options) ?? {};
    this.#options = given;
    if (address === null) return;
    // Invalid options throw here, and not when the server answers.
    openTermsOf(given, WebSocket.#callbacks);
    const offered = areOptions || protocols === undefined ? given.protocols ?? [] : protocols;
    const host = {
      socket: this,
      attach: (stream: Duplex, head: Uint8Array, handshaken: Handshaken<WebSocket>) =>
        this.#attach(stream, head, handshaken),
      failed: (error: Error) => this.#fail(error),
      redirected: (url: string) => this.#url = url,
    };
    const handshake = startHandshake(host, address, [offered].flat() as string[], given);
    this.#url = handshake.url;
    this.#cancel = handshake.cancel;
  }

  /** `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`. */
  get readyState(): number {
    if (this.#readyState === OPEN && this.#connection!.state !== "open") return CLOSING;
    return this.#readyState;
  }

  /** The URL that a client was given. */
  get url(): string | undefined {
    return this.#url;
  }

  /** The subprotocol that was agreed on; `""` for none. */
  get protocol(): string {
    return this.#protocol;
  }

  /** The names of the extensions that were agreed on; `""` for none. */
  get extensions(): string {
    return this.#extensions.split(";", 1)[0];
  }

  /** Whether the socket is paused. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** The number of bytes that were passed to `send` and not yet to the kernel. */
  get bufferedAmount(): number {
    return this.#lost + (this.#outbox?.bytes ?? 0) + (this.#connection?.queuedBytes ?? 0);
  }

  /** The type of binary messages: `"nodebuffer"`, `"arraybuffer"`, `"fragments"` or `"blob"`. */
  get binaryType(): string {
    return this.#binaryType;
  }

  set binaryType(type: string) {
    if (BINARY_TYPES.includes(type)) this.#binaryType = type;
  }

  get #tellClean(): () => boolean {
    return () => this.#wasClean;
  }

  // ---- Events -----------------------------------------------------------------------------------------------------

  /** Adds a listener that gets an `Event`. */
  addEventListener(type: string, handler: Handler, options?: { once?: boolean }): void {
    addHandler(this, type, handler, this.#tellClean, { once: options?.once });
  }

  /** Removes a listener that was added by `addEventListener`. */
  removeEventListener(type: string, handler: Handler): void {
    removeHandler(this, type, handler);
  }

  /** Called when the connection is open. */
  // deno-lint-ignore no-explicit-any
  get onopen(): any {
    return attributeOf(this, "open");
  }

  set onopen(handler: unknown) {
    setAttribute(this, "open", handler, this.#tellClean);
  }

  /** Called with each message. */
  // deno-lint-ignore no-explicit-any
  get onmessage(): any {
    return attributeOf(this, "message");
  }

  set onmessage(handler: unknown) {
    setAttribute(this, "message", handler, this.#tellClean);
  }

  /** Called when the connection has failed; `onclose` follows. */
  // deno-lint-ignore no-explicit-any
  get onerror(): any {
    return attributeOf(this, "error");
  }

  set onerror(handler: unknown) {
    setAttribute(this, "error", handler, this.#tellClean);
  }

  /** Called when the connection has ended. */
  // deno-lint-ignore no-explicit-any
  get onclose(): any {
    return attributeOf(this, "close");
  }

  set onclose(handler: unknown) {
    setAttribute(this, "close", handler, this.#tellClean);
  }

  // ---- Sending ----------------------------------------------------------------------------------------------------

  /**
   * Sends a message. A snapshot of the bytes is taken.
   *
   * @param data A string, a number, or bytes in any form.
   * @param options The options, or the callback.
   * @param callback Called when the message was passed to the kernel, with an error if it can't be sent.
   * @throws {Error} While connecting.
   * @throws {TypeError} If the data can't be converted to bytes, or if bytes that are sent as text aren't UTF-8.
   */
  send(data: unknown, options?: SendOptions | Callback, callback?: Callback): void {
    if (this.#readyState === CONNECTING) throw notOpen(CONNECTING);
    if (typeof options === "function") {
      callback = options;
      options = undefined;
    }
    const payload = typeof data === "string" ? data : toPayload(data);
    if (this.readyState !== OPEN) {
      this.#refuse(sizeOf(payload), callback);
    } else if (payload instanceof Blob) {
      this.#box.read(payload, (bytes) => this.#whenOpen(bytes, options, callback));
    } else if (this.#outbox !== null && this.#outbox.busy) {
      const snapshot = snapshotOf(payload);
      this.#outbox.add(sizeOf(payload), () => this.#whenOpen(snapshot, options, callback));
    } else {
      this.#send(payload, options, callback);
    }
  }

  #send(
    payload: Exclude<Payload, Blob>,
    options: SendOptions | undefined,
    callback: Callback | undefined,
  ): void {
    const connection = this.#connection!;
    const { binary = typeof payload !== "string", compress = true, fin = true } = options ?? {};
    const isPart = !fin || this.#fragmented;
    // The threshold decides about compression, unless it is turned off.
    const compressed = compress && !(isPart && sizeOf(payload) < this.#threshold);
    const sending = compressed ? undefined : { compress: false };
    if (isPart) {
      connection.sendFragment(payload, { binary, final: fin, ...sending });
      this.#fragmented = !fin;
    } else if (binary) {
      connection.sendBinary(payload, sending);
    } else {
      connection.sendText(payload, sending);
    }
    if (callback !== undefined) this.#whenFlushed(callback);
  }

  /** Sends a message that had to wait; returns whether it was sent. */
  #whenOpen(
    payload: string | Uint8Array,
    options: SendOptions | undefined,
    callback: Callback | undefined,
  ): boolean {
    const { state } = this.#connection!;
    if (state === "open") this.#send(payload, options, callback);
    else if (callback !== undefined) callback(notOpen(this.readyState));
    return state === "open";
  }

  #whenFlushed(callback: Callback): void {
    this.#connection!.flushed().then(
      () => run(callback),
      (error) => run(() => callback(error)),
    );
  }

  /** The outbox, in which messages after a `Blob` wait for its bytes. */
  get #box(): Outbox {
    return this.#outbox ??= new Outbox((error) => {
      this.#error(error as Error);
      this.terminate();
    });
  }

  #refuse(bytes: number, callback: Callback | undefined): void {
    this.#lost += bytes;
    if (callback !== undefined) nextTick(callback, notOpen(this.readyState));
  }

  /**
   * Sends a ping, ahead of what is queued.
   *
   * @param data At most 125 bytes.
   * @param mask Without effect, as for `send`.
   * @param callback Called when the ping is queued, with an error if it can't be.
   */
  ping(data?: unknown, mask?: boolean | Callback, callback?: Callback): void {
    this.#sendControl("ping", data, mask, callback);
  }

  /**
   * Sends a pong, ahead of what is queued.
   *
   * @param data At most 125 bytes.
   * @param mask Without effect, as for `send`.
   * @param callback Called when the pong is queued, with an error if it can't be.
   */
  pong(data?: unknown, mask?: boolean | Callback, callback?: Callback): void {
    this.#sendControl("pong", data, mask, callback);
  }

  #sendControl(
    kind: "ping" | "pong",
    data: unknown,
    mask: unknown,
    callback: Callback | undefined,
  ): void {
    if (this.#readyState === CONNECTING) throw notOpen(CONNECTING);
    const done = [data, mask, callback].find((value) => typeof value === "function") as
      | Callback
      | undefined;
    const payload = toPayload(typeof data === "function" ? undefined : data);
    if (this.readyState !== OPEN) {
      this.#refuse(sizeOf(payload), done);
      return;
    }
    if (sizeOf(payload) > LONGEST_CONTROL) {
      throw new RangeError("The data size must not be greater than 125 bytes");
    }
    if (payload instanceof Blob) {
      this.#box.read(payload, (bytes) => {
        if (this.readyState === OPEN) this.#control(kind, bytes, done);
        return true;
      });
    } else {
      this.#control(kind, payload, done);
    }
  }

  #control(
    kind: "ping" | "pong",
    payload: Exclude<Payload, Blob>,
    callback: Callback | undefined,
  ): void {
    try {
      // The promise of the round trip isn't awaited: the pong is an event.
      void this.#connection![kind](payload);
    } catch (error) {
      // 64 control frames are waiting for a peer that doesn't read, so another one is useless.
      if (!(error instanceof QueueFullError)) throw error;
    }
    if (callback !== undefined) nextTick(callback);
  }

  // ---- Receiving --------------------------------------------------------------------------------------------------

  /** Stops emitting messages and reading, which slows the peer down. */
  pause(): void {
    if (this.#readyState === CONNECTING || this.#readyState === CLOSED) return;
    this.#paused = true;
    this.#connection?.pause();
  }

  /** Emits messages again. */
  resume(): void {
    if (this.#readyState === CONNECTING || this.#readyState === CLOSED) return;
    this.#paused = false;
    this.#connection?.resume();
  }

  #received(data: ReceivedMessage, isBinary: boolean): PromiseLike<void> | void {
    // Text from a compressed message is a string already.
    const buffer = typeof data === "string"
      ? Buffer.from(data)
      : new BufferOver(data.buffer, data.byteOffset, data.length);
    let message: unknown = buffer;
    if (isBinary && this.#binaryType !== "nodebuffer") {
      if (this.#binaryType === "fragments") message = [buffer];
      else if (this.#binaryType === "arraybuffer") message = new Uint8Array(buffer).buffer;
      else message = new Blob([buffer as Uint8Array<ArrayBuffer>]);
    }
    try {
      this.emit("message", message, isBinary);
    } catch (error) {
      reportError(error);
    }
    if (this.#options.allowSynchronousEvents === false) return CHECKPOINT;
  }

  // ---- Closing ----------------------------------------------------------------------------------------------------

  /**
   * Starts the closing handshake.
   *
   * @param code The code. Without it the close frame is empty.
   * @param data The reason, at most 123 bytes.
   */
  close(code?: number, data?: string | Uint8Array): void {
    if (this.readyState >= CLOSING) return;
    if (this.#readyState === CONNECTING) {
      this.#abandon();
      return;
    }
    if (code !== undefined && !(typeof code === "number" && isCloseCode(code))) {
      throw new TypeError("First argument must be a valid error code number");
    }
    const reason = code === undefined ? "" : readReason(data);
    this.#readyState = CLOSING;
    const close = () => {
      this.#connection!.close(code ?? null, reason);
      return true;
    };
    if (this.#outbox === null) close();
    else this.#outbox.add(0, close);
  }

  /** Ends the connection at once. */
  terminate(): void {
    if (this.#readyState === CLOSED) return;
    if (this.#readyState === CONNECTING) {
      this.#abandon();
      return;
    }
    this.#readyState = CLOSING;
    this.#connection?.terminate();
  }

  #abandon(): void {
    if (this.#cancel === null) return;
    this.#readyState = CLOSING;
    this.#cancel();
    this.#cancel = null;
    const error = new Error("WebSocket was closed before the connection was established");
    nextTick(() => this.#fail(error));
  }

  #attach(stream: Duplex, head: Uint8Array, handshaken: Handshaken<WebSocket>): void {
    const { role, protocol, extensions, closed } = handshaken;
    this._socket = stream;
    this.#cancel = null;
    this.#tellClosed = closed;
    this.#protocol = protocol;
    this.#extensions = extensions;
    this.#threshold = thresholdOf(this.#options, handshaken);
    // The connection doesn't get the request, since it would keep it in memory.
    this.#connection = adoptOpened<WebSocket>(
      sharedContext(),
      stream,
      openTermsOf(this.#options, WebSocket.#callbacks, this.#threshold),
      { role, url: this.#url ?? "", protocol, extensions, initialData: head, data: this },
    );
    this.#readyState = OPEN;
    emit(this, "open");
  }

  #error(error: Error): void {
    if (this.#errorEmitted) return;
    this.#errorEmitted = true;
    emit(this, "error", error);
  }

  #closed(record: CloseRecord): void {
    this.#readyState = CLOSED;
    this.#lost += record.unsentBytes;
    this.#wasClean = record.wasClean;
    const { code, reason } = record;
    this.#tellClosed?.(this);
    emit(this, "close", code, reason === "" ? NO_REASON : Buffer.from(reason));
  }

  /** Called when the handshake has failed. */
  #fail(error: Error): void {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSING;
    this.#errorEmitted = true;
    emit(this, "error", error);
    this.#readyState = CLOSED;
    emit(this, "close", ABNORMAL, NO_REASON);
  }
}

/**
 * The reason of a close frame; what has no length is none.
 *
 * @throws {TypeError | RangeError} If it is neither a string nor bytes, or too long.
 */
function readReason(data: unknown): string {
  if (data === undefined || !(data as string).length) return "";
  if (typeof data !== "string" && !(data instanceof Uint8Array)) {
    throw new TypeError("Second argument must be a string or a Uint8Array");
  }
  if (Buffer.byteLength(data) > LONGEST_REASON) {
    throw new RangeError("The message must not be greater than 123 bytes");
  }
  return String(typeof data === "string" ? data : Buffer.from(data));
}
