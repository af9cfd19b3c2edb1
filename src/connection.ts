import type { ConnectionStats } from "./engine/stats.ts";
import type { Negotiated } from "./engine/handshake_result.ts";
import type { CloseRecord } from "./protocol/close_record.ts";
import {
  MessageIterator,
  type MessageIteratorOptions,
  receiveMessage,
} from "./engine/message_iterator.ts";
import { describeConnection } from "./engine/describe.ts";
import { PAUSED } from "./engine/holds.ts";
import type { ConnectionState, Engine } from "./engine/engine.ts";
import type { Message } from "./errors.ts";
import {
  type IncomingMessageStream,
  MessageStreamIterator,
} from "./engine/message_stream_iterator.ts";
import { messageReadable, messageWritable } from "./engine/web_streams.ts";
import { needFrames } from "./engine/settings.ts";
import { FRAME_HANDLERS, HANDLERS, type HandlersOf } from "./engine/handlers.ts";
import type { ReceivedMessage } from "./flow/receive_queue.ts";
import { checkHandlers, group, signalOf, timeLimit } from "./util/check.ts";
import { handled } from "./util/foreign.ts";
import { inspectable } from "./util/inspectable.ts";
import { PreparedMessage, type Sendable } from "./engine/prepared_message.ts";
import {
  checkControl,
  controlPayload,
  freshPayload,
  type PingOptions,
  sendPing,
} from "./engine/pings.ts";
import { checkClose, NO_STATUS, NORMAL } from "./protocol/close_code.ts";
import { BINARY, PONG, TEXT } from "./protocol/opcode.ts";
import {
  type FragmentOptions,
  type OutgoingFrame,
  sendFragment,
  sendFrame,
} from "./engine/fragments.ts";
import { checkSendOptions, type SendOptions } from "./engine/sender.ts";
import { sendStream, type SendStreamOptions, type SendStreamSource } from "./engine/send_stream.ts";
import type { PeerCertificate } from "./transport/peer_certificate.ts";
import { checkText } from "./engine/piece_encoder.ts";
import type {
  BroadcastOptionsOf,
  BroadcastResult,
  LiveSet,
  PublishOptionsOf,
  PublishResult,
} from "./pubsub/options.ts";
import { type SubscriptionRules, type Topics, topicsOf } from "./pubsub/topics.ts";

/** Options of `publish`: connections to leave out, and the policy for slow ones. */
export interface PublishOptions<Data = unknown> extends PublishOptionsOf<Connection<Data>> {}

/** Options of `broadcast`. */
export interface BroadcastOptions<Data = unknown> extends BroadcastOptionsOf<Connection<Data>> {}

/**
 * The callbacks of a connection. If one throws or its promise rejects, the error is reported to `onError` (or to the
 * console if there is none) and the connection continues.
 */
export interface ConnectionHandlers<Data = unknown> extends HandlersOf<Connection<Data>> {}

/** The listener of a connection: the `Listener` that {@linkcode Context.prototype.listen} returned. */
export interface ListenerHandle<Data = unknown> {
  /** The port that it listens on; 0 for a Unix socket. */
  readonly port: number;
  /** The address that it is bound to; `""` for a Unix socket. */
  readonly hostname: string;
  /** The path of the Unix socket that it listens on; `null` for TCP. */
  readonly unix: string | null;
  /** A URL that reaches it from this machine. */
  readonly url: string;
  /** Resolves when it has stopped accepting and all its connections have ended. */
  readonly finished: Promise<void>;
  /** Its open and closing connections. */
  readonly connections: ReadonlySet<Connection<Data>>;
  /** Sends a message to all its connections. */
  broadcast(data: Sendable, options?: BroadcastOptions<Data>): BroadcastResult;
  /** Stops accepting; connections stay. */
  close(): void;
  /** Stops accepting, and closes its connections. */
  shutdown(
    options?: { code?: number; reason?: string; timeout?: number },
  ): Promise<{ clean: number; terminated: number }>;
}

/** Makes the public object of an engine. */
export let makeConnection: <Data>(engine: Engine, init: ConnectionInit<Data>) => Connection<Data>;

/** The engine behind a connection. */
export let engineOf: <Data>(conn: Connection<Data>) => Engine;

/** The context or the listener that a connection belongs to. */
export interface ConnectionHome {
  /** The topics of its context. */
  readonly topics: Topics;
  /** Rules for subscriptions. */
  readonly subscriptions: SubscriptionRules;
  /** The listener that accepted it; `null` elsewhere. */
  readonly listener: ListenerHandle | null;
}

/** The initial properties of a connection. */
export interface ConnectionInit<Data> {
  /** The URL, if it is known before the handshake. */
  readonly url: string;
  readonly home: ConnectionHome;
  readonly data: Data;
}

/**
 * A WebSocket connection, client or server.
 *
 * - Messages arrive in order, each once, and none after `onClose`.
 * - `send` queues and returns at once. Accepted messages are sent in order, or counted in the close record.
 * - The queue never exceeds `maxQueueBytes`, and at most `readAhead` bytes are read ahead of a slow consumer.
 * - `onDrain` is called once each time the queue falls to `lowWaterMark` after having risen above it.
 * - `onClose` is called exactly once, and `closed` never rejects.
 *
 * @example Take messages one by one
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
 * await using conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.send("hello");
 * console.log(await conn.receive());
 * ```
 *
 * @typeParam Data The type of `data`.
 */
export class Connection<Data = unknown> implements AsyncDisposable {
  static {
    makeConnection = (engine, init) => engine.face = new Connection(engine, init);
    engineOf = (conn) => conn.#engine;
    inspectable(Connection.prototype, (conn) => describeConnection(conn.#engine, conn.url));
  }

  /** Anything that the application keeps with the connection. */
  data: Data;
  readonly #engine: Engine;
  readonly #home: ConnectionHome;
  readonly #url: string;
  #readable: ReadableStream<ReceivedMessage> | undefined;
  #writable: WritableStream<Message> | undefined;

  private constructor(engine: Engine, init: ConnectionInit<Data>) {
    this.#engine = engine;
    this.data = init.data;
    this.#url = init.url;
    this.#home = init.home;
  }

  // ---- Sending ----------------------------------------------------------------------------------------------------

  /**
   * Queues a message: text for a string (a lone surrogate becomes U+FFFD), binary for an `ArrayBuffer` or a view of one, or
   * the result of `ctx.prepare`. The data is copied, so the caller may change its buffer after the call.
   *
   * @param data The message.
   * @param options Whether to hand the buffer over, and whether to compress.
   * @returns Whether `queuedBytes` is at or below `highWaterMark`. If it is above, the message is queued as well, but the
   * caller should wait for `onDrain`.
   * @throws {InvalidStateError} While connecting, and in the middle of an unfinished fragmented message; its `data` is the
   * message.
   * @throws {ConnectionClosedError} If the connection is closing or closed; its `data` is the message.
   * @throws {QueueFullError} If the queue would exceed `maxQueueBytes`; its `data` is the message.
   * @throws {TypeError} If the data is of another type.
   */
  send(data: Sendable, options?: SendOptions): boolean {
    const { sender } = this.#engine;
    if (options !== undefined) checkSendOptions(options);
    if (data instanceof PreparedMessage) return sender.sendPrepared(data, options?.compress);
    return sender.send(
      data,
      typeof data === "string" ? TEXT : BINARY,
      options?.transfer ?? false,
      options?.compress,
    );
  }

  /**
   * Queues a text message; bytes must be UTF-8.
   *
   * @param data The message.
   * @param options As for `send`.
   * @returns As {@linkcode Connection.send}.
   * @throws {TypeError} If bytes aren't UTF-8.
   */
  sendText(data: Message, options?: SendOptions): boolean {
    return this.#sendAs(TEXT, checkText(data), options);
  }

  /**
   * Queues a binary message; a string is sent as UTF-8.
   *
   * @param data The message.
   * @param options As for `send`.
   * @returns As {@linkcode Connection.send}.
   */
  sendBinary(data: Message, options?: SendOptions): boolean {
    return this.#sendAs(BINARY, data, options);
  }

  #sendAs(opcode: number, data: Message, options: SendOptions | undefined): boolean {
    if (options !== undefined) checkSendOptions(options);
    return this.#engine.sender.send(data, opcode, options?.transfer ?? false, options?.compress);
  }

  /**
   * Queues a part of a message: the first call starts the message, `final: true` ends it. A surrogate pair or a UTF-8
   * sequence may be split between calls. Control frames may be sent between fragments (RFC 6455 5.4).
   *
   * @param data The part, which may be empty.
   * @param options Type of the message, and whether this part ends it.
   * @returns As {@linkcode Connection.send}.
   * @throws {InvalidStateError} While connecting.
   * @throws {ConnectionClosedError} If the connection is closing or closed.
   * @throws {QueueFullError} If the queue would exceed `maxQueueBytes`, even with `whenQueueFull: "drop"`: a part of a
   * message can't be dropped.
   */
  sendFragment(data: Message, options: FragmentOptions = {}): boolean {
    return sendFragment(this.#engine.sender, data, options);
  }

  /**
   * Queues one raw data frame, for an extension that the application implements. Reserved bits may be set if `allowRsv`
   * allows it. An unfinished message is continued with opcode 0, or by `sendFragment`. Text must be UTF-8, unless a
   * reserved bit is set in its first frame.
   *
   * @experimental It may change in a minor release.
   * @param frame Opcode, payload and bits.
   * @returns As {@linkcode Connection.send}.
   * @throws {TypeError} If a reserved bit isn't allowed.
   * @throws {RangeError} If the opcode isn't 0, 1 or 2.
   * @throws {InvalidStateError} If opcode 0 has no message to continue, or another one comes in the middle of a message,
   * and while connecting.
   * @throws {ConnectionClosedError} If the connection is closing or closed; its `data` is the payload.
   * @throws {QueueFullError} If the queue would exceed `maxQueueBytes`.
   */
  sendFrame(frame: OutgoingFrame): boolean {
    needFrames(this.#engine.settings, "send a frame");
    return sendFrame(this.#engine.sender, frame);
  }

  /**
   * Sends one message from a source, which needn't fit into memory. The source is asked for more only as the queue drains:
   * at most `highWaterMark` bytes of the message wait, or 8 KiB if that is more. Messages that are sent in the meantime,
   * and further streams, are queued after it.
   *
   * If the source fails or the signal is aborted after the first piece, the message can't be completed, and the connection
   * fails with 1011. Before the first piece the connection isn't affected.
   *
   * While a stream is unfinished, a part of `maxQueueBytes` is reserved for it: 16 KiB, but at most a quarter, or the bytes
   * that it has collected, if that is more. So messages that are queued after it can't block it, but are refused earlier.
   *
   * @param source Pieces of the message: strings or bytes, which may end in the middle of a character.
   * @param options Type of the message, reserved bits of its first frame, and a signal that cancels the call.
   * @returns Resolves when the whole message is queued. Rejects with the error of the source, with an `AbortError`, or with
   * a `ConnectionClosedError` if the connection closes first.
   */
  sendStream(source: SendStreamSource, options: SendStreamOptions = {}): Promise<void> {
    return handled((async () => await sendStream(this.#engine.sender, source, options))());
  }

  /** Stops writing messages until `resumeSending` or `close`: they stay in the queue. Pings and pongs are still sent. */
  pauseSending(): void {
    this.#engine.holdSending(true);
  }

  /** Writes messages again after `pauseSending`. */
  resumeSending(): void {
    this.#engine.holdSending(false);
  }

  /**
   * Ends our direction for good: the queue is written, then the stream is half-closed without a close frame. Every later
   * send throws. Many peers treat that as a lost connection, so `close` is usually the better choice.
   */
  shutdownWrite(): void {
    needFrames(this.#engine.settings, "end one direction");
    this.#engine.shutWrite();
  }

  /**
   * Ends the peer's direction for good: input is read and dropped undecoded, pings and close frames included, and held
   * messages are dropped. The end of the stream is still noticed. A later `close` doesn't wait for the peer's answer.
   */
  shutdownRead(): void {
    this.#engine.shutRead();
  }

  /**
   * Sends a ping, ahead of queued data.
   *
   * @param payload At most 125 bytes. Default: a payload that no other ping has.
   * @param options A timeout, and a signal that cancels the call.
   * @returns The round trip in ms. A pong resolves its ping and all earlier ones. Rejects with a `TimeoutError` or an
   * `AbortError`; with a `ConnectionClosedError` or an `InvalidStateError` unless the connection is open and not shut down
   * for reading; with a `QueueFullError` if 64 pings and pongs wait to be sent, or 1,024 pings for their pong.
   * @throws {TypeError | RangeError} If an argument is invalid, such as a payload of more than 125 bytes.
   */
  ping(payload?: Message, options: PingOptions = {}): Promise<number> {
    const signal = signalOf("ping", options);
    const bytes = payload === undefined ? freshPayload() : controlPayload(payload, "ping");
    const timeout = timeLimit("ping", "timeout", options.timeout, Infinity);
    needFrames(this.#engine.settings, "ping");
    return handled(sendPing(this.#engine, bytes, payload, timeout, signal));
  }

  /**
   * Sends an unsolicited pong, as a one-way heartbeat (RFC 6455 5.5.3). Pings are answered automatically.
   *
   * @param payload At most 125 bytes.
   * @throws {RangeError} If the payload is longer than 125 bytes.
   * @throws {QueueFullError} If 64 pings and pongs wait to be sent.
   */
  pong(payload: Message = ""): void {
    const bytes = controlPayload(payload, "pong");
    needFrames(this.#engine.settings, "pong");
    checkControl(this.#engine, "pong", payload);
    this.#engine.sender.requestControl(PONG, bytes);
  }

  /** Payload bytes that the kernel has not taken yet; 0 when closed. */
  get queuedBytes(): number {
    return this.#engine.queuedBytes;
  }

  /** Messages that the kernel has not fully taken yet; 0 when closed. */
  get queuedMessages(): number {
    return this.#engine.queuedMessages;
  }

  /**
   * Waits until the queue is at or below `lowWaterMark`.
   *
   * @param options A signal that cancels the call.
   * @returns Resolves when the queue has drained, just before `onDrain` is called. Rejects with a `ConnectionClosedError` if
   * the connection closes or the queue is dropped first, and with an `AbortError` when aborted.
   * @throws {TypeError} If the signal isn't an `AbortSignal`.
   */
  drained(options: { signal?: AbortSignal } = {}): Promise<void> {
    const signal = signalOf("wait for the queue to drain", options);
    return handled(this.#engine.sender.drained(signal));
  }

  /**
   * Waits until the kernel has taken everything that was sent so far, including the rest of unfinished messages of
   * `sendFragment` and `sendStream`.
   *
   * @param options A signal that cancels the call.
   * @returns Rejects with a `ConnectionClosedError` if the connection ends or the queue is dropped first.
   */
  flushed(options: { signal?: AbortSignal } = {}): Promise<void> {
    return handled(this.#engine.sender.flushed(signalOf("wait for the flush", options)));
  }

  // ---- Topics -----------------------------------------------------------------------------------------------------

  /**
   * Subscribes to a topic until `unsubscribe` or the end of the connection.
   *
   * @param topic 1 to 256 bytes of UTF-8; topics are created on first use.
   * @returns Whether it wasn't subscribed before.
   * @throws {InvalidStateError} While connecting.
   * @throws {ConnectionClosedError} If the connection is closing or closed.
   * @throws {TypeError | RangeError} If the name isn't a string, empty or too long, or there are `maxTopics` already.
   */
  subscribe(topic: string): boolean {
    return this.#home.topics.subscribe(this.#engine, topic, this.#home.subscriptions);
  }

  /**
   * Ends a subscription. Messages that were published before still arrive.
   *
   * @param topic The topic.
   * @returns Whether it was subscribed.
   * @throws {TypeError | RangeError} If the name is not a string, empty, or too long.
   */
  unsubscribe(topic: string): boolean {
    return this.#home.topics.unsubscribe(this.#engine, topic, this.#home.subscriptions);
  }

  /** A live view of the topics that the connection has subscribed to; after its end, those that it had then. */
  get topics(): LiveSet<string> {
    return topicsOf(this.#engine);
  }

  /**
   * Publishes to all other connections that have subscribed to a topic. This connection needn't be subscribed, or open.
   *
   * @param topic The topic.
   * @param data The message, as for `send`.
   * @param options Connections to leave out, and the policy for slow ones.
   * @returns The numbers of receivers in this context that got it, and that didn't.
   * @throws {TypeError | RangeError} If an argument is invalid.
   * @throws {BrokerError} If the context's broker has refused for good.
   */
  publish(topic: string, data: Sendable, options: PublishOptions<Data> = {}): PublishResult {
    return this.#home.topics.publish(topic, data, options, this.#engine, engineOf);
  }

  // ---- Receiving --------------------------------------------------------------------------------------------------

  /**
   * Holds messages until `resume`. Up to `readAhead` bytes are still read, so that pings are answered; then TCP slows the
   * peer down. A peer whose keepalive timeout is shorter than the pause will disconnect.
   */
  pause(): void {
    const engine = this.#engine;
    const { receiver } = engine;
    if (receiver.paused || engine.state === "closed" || receiver.dropping) return;
    engine.pauses++;
    receiver.hold(PAUSED);
  }

  /** Continues after `pause`, beginning with the held messages. */
  resume(): void {
    this.#engine.receiver.lift(PAUSED);
  }

  /** Whether `pause` holds messages. */
  get isPaused(): boolean {
    return this.#engine.receiver.paused;
  }

  /**
   * Takes the next message, instead of `onMessage`.
   *
   * @param options A signal that cancels the call.
   * @returns The message. Rejects with a `ConnectionClosedError` if the connection has closed, with an `AbortError` when
   * aborted, and with a `TypeError` if there is an `onMessage` or another consumer.
   */
  receive(options: { signal?: AbortSignal } = {}): Promise<ReceivedMessage> {
    return receiveMessage(this.#engine.receiver, signalOf("take messages", options));
  }

  /**
   * Iterates over messages, with backpressure: while no message is awaited the connection is held.
   *
   * @param options Whether leaving the loop leaves the connection open, and a signal that ends the loop.
   * @returns Ends when the connection closes with 1000, 1001 or without code; throws a `ConnectionClosedError` otherwise,
   * and an `AbortError` when aborted.
   * @throws {TypeError} If there is an `onMessage` or another consumer.
   */
  messages(
    options: MessageIteratorOptions = {},
  ): AsyncIterableIterator<ReceivedMessage, undefined> {
    return new MessageIterator(this.#engine.receiver, options).claim("iterate over");
  }

  /** Iterates over messages; leaving the loop closes with 1000. */
  [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedMessage, undefined> {
    return this.messages();
  }

  /**
   * Iterates over messages as streams of their bytes, so that a large one needn't fit into memory: at most `readAhead`
   * unread bytes are kept, then TCP slows the peer down. Read or cancel each stream: an unread one blocks the messages
   * after it. `maxMessageSize` applies here, too.
   *
   * @returns Ends when the connection closes with 1000, 1001 or without code; throws a `ConnectionClosedError` otherwise.
   * @throws {TypeError} If there is an `onMessage` or another consumer.
   */
  messageStreams(): AsyncIterableIterator<IncomingMessageStream, undefined> {
    return new MessageStreamIterator(this.#engine.receiver).claim("iterate over");
  }

  /**
   * The received messages as a stream, with backpressure. It ends on an orderly close and fails on any other. Cancelling it
   * closes the connection with 1000.
   *
   * @throws {TypeError} If there is an `onMessage` or another consumer.
   */
  get readable(): ReadableStream<ReceivedMessage> {
    return this.#readable ??= messageReadable(this.#engine);
  }

  /**
   * A stream whose chunks are sent as messages, with backpressure: a write waits while the queue is above `highWaterMark`.
   * Closing it closes the connection with 1000 after the queued messages; aborting it terminates the connection.
   */
  get writable(): WritableStream<Message> {
    return this.#writable ??= messageWritable(this.#engine);
  }

  /**
   * Replaces some callbacks; the others stay.
   *
   * @param handlers The new callbacks.
   * @throws {UnsupportedError} For callbacks that need frames, on a connection of `upgrade` that carries only messages.
   */
  on(handlers: ConnectionHandlers<Data>): void {
    group("set callbacks", "handlers", handlers, "an object");
    checkHandlers("set callbacks", handlers, HANDLERS);
    for (const name of FRAME_HANDLERS) {
      if (handlers[name] !== undefined) needFrames(this.#engine.settings, `set ${name}`);
    }
    if (handlers.onMessage !== undefined && this.#engine.receiver.claimed) {
      throw new TypeError("Cannot set onMessage on a connection whose messages are being taken");
    }
    this.#engine.on(handlers);
  }

  // ---- Closing ----------------------------------------------------------------------------------------------------

  /**
   * Closes the connection: the queue is written first, then a close frame. No message is delivered any more. While
   * connecting it cancels the attempt; on a closing or closed connection it does nothing.
   *
   * @param code 1000 to 1003, 1007 to 1014, or 3000 to 4999; `null` for a close frame without a code.
   * @param reason At most 123 bytes of UTF-8.
   * @throws {RangeError} If the code or the length of the reason isn't allowed.
   * @throws {TypeError} If the reason isn't a string, or is given without a code.
   */
  close(code: number | null = NORMAL, reason: string = ""): void {
    checkClose(code, reason);
    this.#engine.close(code ?? NO_STATUS, reason);
  }

  /** Ends the connection at once, without a close frame. */
  terminate(): void {
    this.#engine.terminate();
  }

  /** Resolves when the handshake is complete; rejects when it has failed or was cancelled. */
  get opened(): Promise<Negotiated> {
    const engine = this.#engine;
    return handled(
      engine.opened(() => ({
        protocol: engine.handshakeResult!.protocol,
        extensions: engine.handshakeResult!.extensions,
        headers: engine.handshakeResult!.responseHeaders(),
      })),
    );
  }

  /** Resolves with the close record when the connection has ended; never rejects. */
  get closed(): Promise<CloseRecord> {
    return this.#engine.closed();
  }

  // ---- Facts ------------------------------------------------------------------------------------------------------

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#engine.state;
  }

  /** The URL: on a client the one it connects to, on a server the one that the client has requested. */
  get url(): string {
    return this.#engine.handshakeResult?.url ?? this.#url;
  }

  /** The listener that accepted the connection; `null` elsewhere. */
  get listener(): ListenerHandle<Data> | null {
    return this.#home.listener as ListenerHandle<Data> | null;
  }

  /** The role of this end. */
  get role(): "client" | "server" {
    return this.#engine.role;
  }

  /** The version of HTTP that carried the handshake. With `"2"` the connection is a stream of an HTTP/2 connection. */
  get httpVersion(): "1.1" | "2" {
    return this.#engine.handshakeResult?.httpVersion ?? "1.1";
  }

  /** The agreed subprotocol; `""` for none. */
  get protocol(): string {
    return this.#engine.handshakeResult?.protocol ?? "";
  }

  /** The agreed extensions; `""` for none. */
  get extensions(): string {
    return this.#engine.handshakeResult?.extensions ?? "";
  }

  /** The request of the handshake, as the server received it; `null` on a client. */
  get request(): Request | null {
    return this.#engine.handshakeResult?.request() ?? null;
  }

  /** The headers of the handshake's response; `null` before it. */
  get responseHeaders(): Headers | null {
    return this.#engine.handshakeResult?.responseHeaders() ?? null;
  }

  /** The peer's address; `null` if there is none. */
  get remoteAddress(): Deno.Addr | null {
    return this.#engine.remoteAddr;
  }

  /** Our own address; `null` if there is none. */
  get localAddress(): Deno.Addr | null {
    return this.#engine.transport?.localAddr ?? null;
  }

  /**
   * Bytes that the peer's kernel hasn't acknowledged yet; `undefined` except with system sockets.
   *
   * @experimental It may change in a minor release.
   */
  get unacknowledgedBytes(): number | undefined {
    return this.#engine.transport?.unacknowledgedBytes;
  }

  /** The peer's certificate, if the listener requires one (`tls.clientCaCerts`), else `null`. */
  get peerCertificate(): PeerCertificate | null {
    return this.#engine.transport?.peerCertificate ?? null;
  }

  /**
   * Reads the counters.
   *
   * @returns A snapshot.
   */
  stats(): ConnectionStats {
    return this.#engine.stats();
  }

  /** Lets the connection keep the process alive while it is open, which is the default. */
  ref(): void {
    this.#engine.setRef(true);
  }

  /**
   * Lets the process end although the connection is open.
   *
   * @throws {UnsupportedError} On a connection of `upgrade`: Deno's own sockets always keep the process alive.
   */
  unref(): void {
    needFrames(this.#engine.settings, "unref");
    this.#engine.setRef(false);
  }

  /** Closes with 1000 and waits for the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }
}
