import type { Connection, ConnectionHandlers } from "../connection.ts";
import type { Context } from "../context.ts";
import type { ConnectOptions } from "../client/connect_options.ts";
import type { CloseRecord } from "../protocol/close_record.ts";
import type { ReceivedMessage } from "../flow/receive_queue.ts";
import { basicCredentials } from "../handshake/basic_credentials.ts";
import { isToken } from "../handshake/chars.ts";
import { withWebSocketScheme } from "../handshake/url.ts";
import { ABNORMAL, LONGEST_REASON, NORMAL } from "../protocol/close_code.ts";
import { afterCheckpoint, CHECKPOINT } from "../util/checkpoint.ts";
import { isBlockedPort } from "./blocked_port.ts";
import { EventHandlers } from "./event_handlers.ts";
import { Outbox } from "./outbox.ts";
import { type Payload, sizeOf, snapshotOf, utf8Length } from "./payload.ts";
import { sharedContext } from "./shared_context.ts";
import { clampToUnsignedShort, defineInterface, requireArguments, toUsvString } from "./web_idl.ts";

const CONNECTING = 0, OPEN = 1, CLOSING = 2, CLOSED = 3;

/**
 * Options of the constructor: those of `connect` without the callbacks, which are replaced by events.
 *
 * @see {@linkcode WebSocket}
 */
export interface WebSocketOptions extends
  Omit<
    ConnectOptions,
    | "data"
    | "assemble"
    | "payload"
    | "onConnect"
    | "onMessage"
    | "onClose"
    | "onError"
    | "onDrain"
    | "onFrameStart"
    | "onFrameChunk"
    | "onFrameEnd"
  > {
  /** The context that the connection belongs to. Default: a context that all connections without one share. */
  context?: Context;
}

/** The types of the event listeners. */
export interface WebSocket {
  /** Adds a listener of one of the socket's own events. */
  addEventListener<Type extends keyof WebSocketEventMap>(
    type: Type,
    listener: (this: WebSocket, event: WebSocketEventMap[Type]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Adds a listener of any event. */
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Removes a listener of one of the socket's own events. */
  removeEventListener<Type extends keyof WebSocketEventMap>(
    type: Type,
    listener: (this: WebSocket, event: WebSocketEventMap[Type]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  /** Removes a listener of any event. */
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/**
 * The `WebSocket` of the WHATWG standard, on this library's connections. Programs that were written for browsers or for
 * Deno's own class run with it unchanged.
 *
 * - The socket isn't read faster than events are dispatched: a flood of messages waits at the peer, not in memory.
 * - `permessage-deflate` is offered, as browsers do.
 * - As in the standard, `send` has no limit for its queue. Received messages may have up to 64 MiB.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 * import { WebSocket } from "@sluice/websocket/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => void conn.send(data) });
 * const socket = new WebSocket(listener.url);
 * socket.onopen = () => socket.send("hello");
 * await new Promise<void>((resolve) => {
 *   socket.onmessage = ({ data }) => {
 *     console.log(data);
 *     socket.close();
 *   };
 *   socket.onclose = () => resolve();
 * });
 * ```
 */
export class WebSocket extends EventTarget {
  /** The connection is being made. */
  declare static readonly CONNECTING: 0;
  /** Messages go both ways. */
  declare static readonly OPEN: 1;
  /** The closing handshake is under way. */
  declare static readonly CLOSING: 2;
  /** The connection has ended, or was never made. */
  declare static readonly CLOSED: 3;
  /** The same as `WebSocket.CONNECTING`. */
  declare readonly CONNECTING: 0;
  /** The same as `WebSocket.OPEN`. */
  declare readonly OPEN: 1;
  /** The same as `WebSocket.CLOSING`. */
  declare readonly CLOSING: 2;
  /** The same as `WebSocket.CLOSED`. */
  declare readonly CLOSED: 3;

  /** Shared by all sockets, which saves memory. */
  static readonly #callbacks: ConnectionHandlers<WebSocket> = {
    onConnect: ({ data: socket }) => socket.#opened() as Promise<void>,
    onMessage: ({ data: socket }, data) => socket.#received(data) as Promise<void>,
    onError: ({ data: socket }) => {
      socket.#failed = true;
    },
    onClose: ({ data: socket }, record) => socket.#end(record),
  };

  readonly #url: URL;
  readonly #origin: string;
  readonly #handlers = new EventHandlers(this);
  /** `null` if the URL's port is blocked: then no connection is made. */
  readonly #connection: Connection<WebSocket> | null;
  /** Whether subprotocols were offered. */
  readonly #offered: boolean;
  /** Made with the first `Blob`. */
  #outbox: Outbox | null = null;
  #readyState = CONNECTING;
  #binaryType: BinaryType = "blob";
  /** The number of dispatched messages. */
  #dispatched = 0;
  /** Whether the connection has failed, so that an error event precedes the close event. */
  #failed = false;
  /** The number of bytes that can't be sent any more. */
  #lost = 0;

  /**
   * Starts connecting.
   *
   * @param url The URL, relative to `location` if there is one. `http:` and `https:` become `ws:` and `wss:`. User info is
   * sent as Basic `Authorization`.
   * @param protocols The subprotocols to offer, or options.
   * @throws {DOMException} `SyntaxError` if the URL or a subprotocol is invalid.
   * @throws {TypeError | RangeError} If an option is invalid.
   */
  constructor(url: string | URL, protocols: string | readonly string[] | WebSocketOptions = []) {
    super();
    requireArguments("construct a WebSocket", arguments.length, 1);
    this.#url = parseUrl(toUsvString(url));
    this.#origin = `${this.#url.protocol}//${this.#url.host}`;
    const { context = sharedContext(), ...options } = readOptions(protocols);
    checkProtocols(options.protocols);
    this.#offered = options.protocols.length > 0;
    if (isBlockedPort(this.#url)) {
      this.#connection = null;
      // Later, so that the caller can add listeners first.
      setTimeout(() => this.#end(null), 0);
      return;
    }
    const target = new URL(this.#url);
    target.username = target.password = "";
    this.#connection = context.connect<WebSocket>(target, {
      compression: true,
      keepAlive: false,
      maxQueueBytes: 0,
      maxMessageSize: 64 * 1024 * 1024,
      ...options,
      headers: withCredentials(options.headers, this.#url),
      ...WebSocket.#callbacks,
      data: this,
    });
  }

  /** The absolute URL. */
  get url(): string {
    return this.#url.href;
  }

  /** `CONNECTING`, `OPEN`, `CLOSING` or `CLOSED`. */
  get readyState(): number {
    // After the peer's close frame it is `CLOSING` as soon as all messages before the frame were dispatched.
    const connection = this.#connection!;
    return this.#readyState === OPEN && connection.state !== "open" &&
        connection.stats().messagesReceived === this.#dispatched
      ? CLOSING
      : this.#readyState;
  }

  /**
   * The number of bytes that were passed to `send` and not yet to the kernel. Bytes that can't be sent any more stay
   * included.
   */
  get bufferedAmount(): number {
    return this.#lost + (this.#outbox?.bytes ?? 0) + (this.#connection?.queuedBytes ?? 0);
  }

  /** The extensions that were agreed on; `""` for none. */
  get extensions(): string {
    return this.#connection?.extensions ?? "";
  }

  /** The subprotocol that was agreed on; `""` for none. */
  get protocol(): string {
    return this.#connection?.protocol ?? "";
  }

  /**
   * The type of binary messages: `Blob` or `ArrayBuffer`.
   *
   * @default {"blob"}
   */
  get binaryType(): BinaryType {
    return this.#binaryType;
  }

  set binaryType(value: BinaryType) {
    if (!(#binaryType in this)) throw new TypeError("Cannot set binaryType of another object");
    const type = toUsvString(value);
    // Values that aren't in the enumeration are ignored (Web IDL 3.8).
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  /** Called when the connection is open. */
  get onopen(): ((this: WebSocket, event: Event) => unknown) | null {
    return this.#handlers.get("open") as null;
  }

  set onopen(value: ((this: WebSocket, event: Event) => unknown) | null) {
    this.#handlers.set("open", value);
  }

  /** Called when the connection has failed; `onclose` follows. */
  get onerror(): ((this: WebSocket, event: Event) => unknown) | null {
    return this.#handlers.get("error") as null;
  }

  set onerror(value: ((this: WebSocket, event: Event) => unknown) | null) {
    this.#handlers.set("error", value);
  }

  /** Called when the connection has ended. */
  get onclose(): ((this: WebSocket, event: CloseEvent) => unknown) | null {
    return this.#handlers.get("close") as null;
  }

  set onclose(value: ((this: WebSocket, event: CloseEvent) => unknown) | null) {
    this.#handlers.set("close", value);
  }

  /** Called with each message. */
  get onmessage(): ((this: WebSocket, event: MessageEvent) => unknown) | null {
    return this.#handlers.get("message") as null;
  }

  set onmessage(value: ((this: WebSocket, event: MessageEvent) => unknown) | null) {
    this.#handlers.set("message", value);
  }

  /**
   * Starts the closing handshake, after all messages that were passed to `send`. While connecting, it cancels the
   * connection. On a closing or closed socket it does nothing.
   *
   * @param code 1000, or 3000 to 4999. Without it the close frame has no code.
   * @param reason At most 123 bytes of UTF-8.
   * @throws {DOMException} `InvalidAccessError` for another code, `SyntaxError` for a longer reason.
   */
  close(code?: number, reason?: string): void {
    const given = code === undefined ? null : clampToUnsignedShort(code);
    const text = reason === undefined ? "" : toUsvString(reason);
    if (given !== null && given !== NORMAL && (given < 3000 || given > 4999)) {
      throw new DOMException(
        `Cannot close with code ${given}: use 1000, or 3000 to 4999`,
        "InvalidAccessError",
      );
    }
    if (utf8Length(text) > LONGEST_REASON) {
      throw new DOMException(
        `Cannot close with a reason of ${utf8Length(text)} bytes: use at most ${LONGEST_REASON}`,
        "SyntaxError",
      );
    }
    if (this.readyState >= CLOSING) return;
    const connecting = this.#readyState === CONNECTING;
    this.#readyState = CLOSING;
    if (connecting) {
      // "Fail the WebSocket connection" (WebSockets standard, 3.1).
      this.#failed = true;
      this.#connection?.terminate();
      return;
    }
    const close = () => {
      this.#connection!.close(text === "" ? given : given ?? NORMAL, text);
      return true;
    };
    if (this.#outbox === null) close();
    else this.#outbox.add(0, close);
  }

  /**
   * Sends a message. On a closing or closed socket the message is only counted in `bufferedAmount`.
   *
   * @param data Text, or bytes, which may be changed afterwards. Any other value is converted to a string.
   * @throws {DOMException} `InvalidStateError` while connecting.
   * @throws {TypeError} If the memory of the bytes is shared or resizable.
   */
  send(data: string | ArrayBufferLike | ArrayBufferView | Blob): void {
    requireArguments("send on a WebSocket", arguments.length, 1);
    const payload = toPayload(data);
    if (this.#readyState === CONNECTING) {
      throw new DOMException(
        "Cannot send on a connecting WebSocket: wait for the open event",
        "InvalidStateError",
      );
    }
    // After the peer's close frame nothing can be sent, although messages may still have to be dispatched.
    if (this.readyState === OPEN && this.#connection!.state === "open") {
      this.#send(payload);
    } else {
      this.#lost += sizeOf(payload);
    }
  }

  #send(payload: Payload): void {
    if (payload instanceof Blob) {
      this.#box.read(payload, (bytes) => this.#hand(bytes));
    } else if (this.#outbox === null || !this.#outbox.busy) {
      this.#connection!.send(payload);
    } else {
      const snapshot = snapshotOf(payload);
      this.#outbox.add(sizeOf(payload), () => this.#hand(snapshot));
    }
  }

  /** The outbox, in which messages after a `Blob` wait for its bytes. */
  get #box(): Outbox {
    return this.#outbox ??= new Outbox(() => {
      this.#failed = true;
      this.#connection!.terminate();
    });
  }

  /** Sends a message that had to wait. If it can't be sent any more, it stays in `bufferedAmount` (WebSockets standard). */
  #hand(data: string | Uint8Array): boolean {
    if (this.#connection!.state !== "open") return false;
    this.#connection!.send(data);
    return true;
  }

  // ---- From the connection ----------------------------------------------------------------------------------------

  #opened(): PromiseLike<void> {
    const connection = this.#connection!;
    if (this.#offered && connection.protocol === "") {
      // RFC 6455 4.1 lets a server choose none of the offered subprotocols. The WebSockets standard doesn't ("establish a
      // WebSocket connection").
      this.#failed = true;
      connection.terminate();
      return CHECKPOINT;
    }
    this.#readyState = OPEN;
    this.dispatchEvent(new Event("open"));
    return CHECKPOINT;
  }

  #received(data: ReceivedMessage): PromiseLike<void> | void {
    // After `close()` no message is dispatched.
    if (this.#readyState !== OPEN) return;
    const message = typeof data === "string"
      ? data
      : this.#binaryType === "blob"
      ? new Blob([data as Uint8Array<ArrayBuffer>])
      : bufferOf(data);
    this.dispatchEvent(new MessageEvent("message", { data: message, origin: this.#origin }));
    this.#dispatched++;
    return CHECKPOINT;
  }

  #end(record: CloseRecord | null): void {
    const wasConnecting = this.#readyState === CONNECTING;
    this.#readyState = CLOSED;
    this.#lost += record?.unsentBytes ?? 0;
    const { code = ABNORMAL, reason = "", wasClean = false } = record ?? {};
    const close = () => this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
    if (!wasConnecting && !this.#failed) {
      close();
      return;
    }
    this.dispatchEvent(new Event("error"));
    afterCheckpoint({ checkpointPassed: close });
  }
}

defineInterface("WebSocket", WebSocket, { CONNECTING, OPEN, CLOSING, CLOSED }, ["close"]);

/** @throws {DOMException} `SyntaxError` for an invalid URL (WebSockets standard, 3.1). */
function parseUrl(given: string): URL {
  let url: URL;
  try {
    url = new URL(given, globalThis.location?.href);
  } catch {
    throw syntaxError(`Cannot connect to ${JSON.stringify(given)}: not a valid URL`);
  }
  url.protocol = withWebSocketScheme(url.protocol);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw syntaxError(`Cannot connect to ${JSON.stringify(given)}: the scheme must be ws or wss`);
  }
  if (url.href.includes("#")) {
    throw syntaxError(`Cannot connect to ${JSON.stringify(given)}: the URL has a fragment`);
  }
  return url;
}

function readOptions(
  given: string | readonly string[] | WebSocketOptions,
): WebSocketOptions & { protocols: string[] } {
  if (typeof given !== "object" || given === null) return { protocols: [toUsvString(given)] };
  if (Symbol.iterator in given) {
    return { protocols: Array.from(given as Iterable<unknown>, toUsvString) };
  }
  const { protocols = [] } = given as WebSocketOptions;
  const list = typeof protocols === "string" ? [protocols] : [...protocols];
  return { ...given, protocols: list.map(toUsvString) };
}

/** @throws {DOMException} `SyntaxError` if one isn't a token, or is listed twice regardless of case. */
function checkProtocols(protocols: readonly string[]): void {
  const seen = new Set<string>();
  for (const protocol of protocols) {
    if (!isToken(protocol)) {
      throw syntaxError(`Cannot offer the subprotocol ${JSON.stringify(protocol)}: not a token`);
    }
    const name = protocol.toLowerCase();
    if (seen.has(name)) {
      throw syntaxError(`Cannot offer the subprotocol ${JSON.stringify(protocol)} twice`);
    }
    seen.add(name);
  }
}

/** Adds the user info of the URL to the headers, as Basic credentials. */
function withCredentials(given: WebSocketOptions["headers"], url: URL): Headers {
  const headers = new Headers(given as HeadersInit | undefined);
  if ((url.username === "" && url.password === "") || headers.has("authorization")) return headers;
  const credentials = basicCredentials(`${decode(url.username)}:${decode(url.password)}`);
  headers.set("authorization", credentials);
  return headers;
}

/** Decodes percent-encoding. A text that isn't valid UTF-8 then is returned unchanged. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Returns a buffer with nothing but a received message: small messages share one, and are copied. */
function bufferOf(data: Uint8Array): ArrayBufferLike {
  return data.length === data.buffer.byteLength ? data.buffer : data.slice().buffer;
}

/** Converts an argument of `send` to a payload. */
function toPayload(data: unknown): Payload {
  if (data instanceof Blob) return data;
  if (data instanceof ArrayBuffer) return isAttached(data) ? data : new Uint8Array();
  if (ArrayBuffer.isView(data)) return isAttached(data.buffer) ? data : new Uint8Array();
  return toUsvString(data);
}

/**
 * Whether a buffer has bytes to send: a detached one counts as empty (Web IDL, "get a copy of the bytes").
 *
 * @throws {TypeError} If it is shared or resizable, which the interface doesn't accept.
 */
function isAttached(memory: ArrayBufferLike): boolean {
  if (!(memory instanceof ArrayBuffer)) {
    throw new TypeError("Cannot send a view of shared memory: copy it first");
  }
  if (memory.resizable) throw new TypeError("Cannot send a resizable ArrayBuffer: copy it first");
  return !memory.detached;
}

function syntaxError(message: string): DOMException {
  return new DOMException(message, "SyntaxError");
}
