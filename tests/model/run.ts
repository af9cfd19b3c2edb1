import {
  type AdoptOptions,
  type CloseRecord,
  type Connection,
  ConnectionClosedError,
  Context,
  InvalidStateError,
  QueueFullError,
} from "../../mod.ts";
import { join, utf8 } from "../support/bytes.ts";
import { Deflate } from "../support/deflate.ts";
import { type ByteStream, upgradeRequest } from "../support/raw_peer.ts";
import { macrotask, type VirtualClock } from "../support/virtual_clock.ts";
import { Reactions } from "./callbacks.ts";
import { FrameWatch } from "./frames.ts";
import { ModelPeer } from "./peer.ts";
import { type Plan, type Reaction, SIZES } from "./plan.ts";
import { type Takes, Taking } from "./taking.ts";
import { keyOf } from "../support/messages.ts";
import { Transcript } from "./wire.ts";

/** The two ends of a byte stream; the near one is passed to `adopt`. */
export interface Wire {
  readonly ours: Parameters<Context["adopt"]>[0];
  readonly theirs: ByteStream;
  /** The bytes that our side has written, if they are known. */
  written(): Uint8Array | null;
  /** Invalid uses of the stream. */
  misuses(): readonly string[];
  /** A number that changes whenever bytes are moved. */
  moved(): number;
}

/** A message that was passed to a send method. */
export interface Accepted {
  readonly key: string;
  readonly bytes: number;
  /** `null` while it isn't known whether the whole message was accepted. */
  complete: boolean | null;
}

/** A message of which at least the beginning was delivered. */
export interface Delivered {
  key: string | null;
  /** Whether only a part of it was consumed. */
  partial: boolean;
}

const EXTENSION = {
  none: "",
  takeover: "permessage-deflate",
  single: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
};

/** A connection and its peer, from the first call to the last callback. */
export class Run implements Takes {
  readonly findings: string[] = [];
  /** The events, for readers of a finding. */
  readonly log: string[] = [];
  readonly ctx: Context = new Context();
  readonly peer: ModelPeer;
  readonly reactions: Reactions;
  readonly taking: Taking;
  readonly frames: FrameWatch;
  readonly accepted: Accepted[] = [];
  readonly delivered: Delivered[] = [];
  /** The errors of `onError` that no callback has thrown. */
  readonly errors: unknown[] = [];
  readonly closes: CloseRecord[] = [];
  /** What our close frame must contain, if a call of `close` was the first cause of the end. */
  closing: { code: number; reason: string } | null = null;
  /** The promises that haven't settled. */
  readonly pending: Map<Promise<unknown>, string> = new Map();
  /** Errors that sources of `sendStream` throw. */
  readonly sourceErrors: Set<unknown> = new Set();
  conn!: Connection;
  /** Whether our side has ended the connection. */
  over = false;
  readShut = false;
  writeShut = false;
  opened = false;
  overflowed = false;
  sourceFailed = false;
  /** Whether a callback may never settle. */
  tried = false;
  drains = 0;
  /** How often the queue has risen above the low-water mark. */
  rises = 0;
  #ids = 0;
  #high = false;
  #handling: string | null = null;
  #fragments: { binary: boolean; parts: Uint8Array[] } | null = null;
  #pings = 0;

  constructor(
    readonly plan: Plan,
    readonly wire: Wire,
    readonly clock: VirtualClock | null,
  ) {
    const theirs = plan.role === "server" ? "client" : "server";
    const deflate = () =>
      plan.compression === "none" ? null : new Deflate(plan.compression === "takeover");
    const extension = EXTENSION[plan.compression];
    this.peer = new ModelPeer(
      wire.theirs,
      theirs,
      new Transcript(plan.role === "client", deflate()),
      deflate(),
      !plan.handshake
        ? null
        : theirs === "client"
        ? upgradeRequest({ "Sec-WebSocket-Extensions": extension || null })
        : "answer",
      extension === "" ? [] : [`Sec-WebSocket-Extensions: ${extension}`],
    );
    this.reactions = new Reactions((what) => this.#act(what));
    this.taking = new Taking(this);
    this.frames = new FrameWatch(this, plan.frames === "beside");
  }

  // ---- Records ------------------------------------------------------------------------------------------------------

  finding(what: string): void {
    if (this.findings.length < 20) this.findings.push(what);
    this.note(`FINDING: ${what}`);
  }

  note(what: string): void {
    this.log.push(what);
  }

  track<T>(label: string, promise: Promise<T>): Promise<T> {
    if (!(promise instanceof Promise)) this.finding(`${label} returns no promise`);
    // Several calls may share a promise, for example those of `shutdown`.
    const own = promise.then((value) => value);
    this.pending.set(own, label);
    const over = (how: string) => {
      this.pending.delete(own);
      this.note(`${label} ${how}`);
    };
    own.then(() => over("resolves"), (error) => over(`rejects: ${error}`));
    return own;
  }

  taken(data: string | Uint8Array, late: boolean): void {
    const key = keyOf(data);
    this.note(`got ${key}`);
    if (late) this.finding(`a message was delivered after our own end: ${key}`);
    this.#inOrder(this.delivered.push({ key, partial: false }) - 1, key);
  }

  begun(late: boolean): number {
    if (late) this.finding("a message began to be delivered after our own end");
    return this.delivered.push({ key: null, partial: false }) - 1;
  }

  streamed(index: number, type: "text" | "binary", bytes: Uint8Array, whole: boolean): void {
    const entry = this.delivered[index];
    const body = this.peer.bodies[index];
    this.note(`got ${whole ? "all" : "some"} of message ${index}: ${bytes.length} bytes`);
    if (whole) {
      entry.key = keyOf(
        type === "text" ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) : bytes,
      );
      this.#inOrder(index, entry.key);
    } else {
      entry.partial = true;
      if (body !== undefined && keyOf(body.slice(0, bytes.length)) !== keyOf(bytes)) {
        this.finding(`the beginning of message ${index} is another one`);
      }
    }
  }

  #inOrder(index: number, key: string): void {
    const expected = this.peer.sent[index];
    if (expected !== key) {
      this.finding(`message ${index} is ${key} and should be ${expected ?? "none"}`);
    }
  }

  // ---- Opening ------------------------------------------------------------------------------------------------------

  open(): void {
    const { plan } = this;
    const extension = EXTENSION[plan.compression];
    const { wire: { ours } } = this;
    const common: AdoptOptions = {
      ...this.#handlers(),
      role: plan.role,
      handshake: plan.handshake,
      highWaterMark: plan.highWaterMark,
      lowWaterMark: plan.lowWaterMark,
      maxQueueBytes: plan.maxQueueBytes,
      whenQueueFull: plan.whenQueueFull,
      readAhead: plan.readAhead,
      maxMessageSize: plan.maxMessageSize,
      closeTimeout: plan.closeTimeout,
      sendTimeout: plan.sendTimeout,
      keepAlive: plan.keepAlive ? { interval: 1000, timeout: 1000 } : false,
      payload: plan.view ? "view" : "copy",
      assemble: plan.frames !== "instead",
    };
    if (plan.messagesPerSecond > 0) common.rateLimit = { messages: plan.messagesPerSecond };
    if (extension !== "") {
      common.compression = { threshold: 50, contextTakeover: plan.compression === "takeover" };
    }
    if (!plan.handshake) common.extensions = extension === "" ? [] : [extension];
    else if (plan.role === "client") common.url = "ws://127.0.0.1/";
    this.conn = this.ctx.adopt(ours, common);
    this.track("opened", this.conn.opened).then(() => this.opened = true, () => {});
    this.track("closed", this.conn.closed);
    this.peer.start();
  }

  #handlers(): AdoptOptions {
    const { plan, reactions } = this;
    const called = (name: string, detail = "") => {
      this.note(`${name} ${detail}`);
      if (this.closes.length > 0) this.finding(`${name} after onClose`);
    };
    const handlers: AdoptOptions = {
      onConnect: () => {
        called("onConnect");
        if (this.delivered.length > 0) this.finding("onConnect after a message");
        this.#handling = "onConnect";
        return reactions.react("onConnect", () => this.#handling = null);
      },
      onClose: (conn, record) => {
        called("onClose", `${record}`);
        this.closes.push(record);
        if (conn.state !== "closed") this.finding(`onClose in state ${conn.state}`);
        return reactions.react("onClose");
      },
      onPing: (_, payload) => {
        called("onPing", keyOf(payload));
        return reactions.react("onPing");
      },
      onPong: (_, payload) => {
        called("onPong", keyOf(payload));
        return reactions.react("onPong");
      },
      onDrain: (conn) => {
        called("onDrain");
        this.drains++;
        this.#level();
        if (conn.queuedBytes > plan.lowWaterMark) {
          this.finding(`onDrain while ${conn.queuedBytes} bytes are queued`);
        }
        if (this.drains > this.rises) {
          this.finding(`onDrain ${this.drains} times, the queue rose ${this.rises} times`);
        }
        return reactions.react("onDrain");
      },
    };
    if (!plan.quiet) {
      handlers.onError = (_, error) => {
        this.note(`onError ${error}`);
        if (reactions.reported(error)) return;
        if (this.closes.length > 0) this.finding(`onError after onClose: ${error}`);
        this.errors.push(error);
        return reactions.react("onError");
      };
    }
    if (plan.frames !== "none") Object.assign(handlers, this.frames.handlers(called));
    if (plan.callback) handlers.onMessage = (conn, data) => this.#onMessage(conn, data);
    return handlers;
  }

  #onMessage(conn: Connection, data: string | Uint8Array): unknown {
    if (this.plan.frames === "instead") this.finding("onMessage without assembly");
    if (this.closes.length > 0) this.finding("onMessage after onClose");
    if (conn.isPaused) this.finding("onMessage while paused");
    if (this.#handling !== null) this.finding(`onMessage while ${this.#handling} is unsettled`);
    this.taken(data, this.over);
    const key = keyOf(data);
    this.#handling = "onMessage";
    return this.reactions.react("onMessage", () => {
      this.#handling = null;
      // A view is valid until now, a copy for ever.
      if (keyOf(data) !== key && !this.over) this.finding(`${key} changed while it was handled`);
    });
  }

  #act(what: Reaction): void {
    this.note(`(inside: ${what})`);
    switch (what) {
      case "close":
        return this.close(3000, "inside");
      case "terminate":
        return this.terminate();
      case "pause":
        return this.conn.pause();
      case "resume":
        return this.conn.resume();
      case "send":
        return this.send(2, 0);
      case "ping":
        return this.ping(0);
      case "shutdown":
        return this.shutdown(1000);
    }
  }

  // ---- Ending -------------------------------------------------------------------------------------------------------

  close(code: number | null, reason: string): void {
    const { state } = this.conn;
    if (state === "open" && !this.over) this.closing = { code: code ?? 1005, reason };
    if (state !== "closed") this.over = true;
    this.conn.close(code, reason);
    if (state !== "closed" && this.conn.state !== "closing" && this.conn.state !== "closed") {
      this.finding(`close() leaves it ${this.conn.state}`);
    }
  }

  terminate(): void {
    if (this.conn.state !== "closed") this.over = true;
    this.conn.terminate();
  }

  shutdown(timeout: number): void {
    if (this.conn.state === "open" && !this.over) this.closing = { code: 1001, reason: "" };
    if (this.conn.state !== "closed") this.over = true;
    this.track("ctx.shutdown()", this.ctx.shutdown({ timeout }));
  }

  // ---- Sending ------------------------------------------------------------------------------------------------------

  #data(size: number, binary: boolean): string | Uint8Array {
    const id = `#${this.#ids++}.`;
    const text = (id + "é😀 lorem ipsum ".repeat(Math.ceil(size / 8))).slice(0, size);
    // Not half of a surrogate pair, which would be sent as U+FFFD.
    const whole = /[\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text;
    return binary ? utf8(whole) : whole;
  }

  send(a: number, b: number): void {
    const data = this.#data(SIZES[a % SIZES.length], (b & 1) === 1);
    const options = {
      transfer: (b & 2) !== 0,
      compress: [undefined, undefined, true, false][(b >> 2) & 3],
    };
    const bytes = typeof data === "string" ? utf8(data) : data.slice();
    if ((b & 0x30) === 0x30 && typeof data === "string") {
      this.#sending(keyOf(data), bytes.length, () => this.conn.sendText(bytes), bytes);
      return;
    }
    this.#sending(keyOf(data), bytes.length, () => this.conn.send(data, options), data);
    // Sending takes a snapshot, unless the buffer was transferred.
    if (data instanceof Uint8Array && !options.transfer) data.fill(0xee);
  }

  prepared(a: number): void {
    const data = this.#data(SIZES[a % SIZES.length], (a & 1) === 1);
    const message = this.ctx.prepare(data);
    const length = typeof data === "string" ? utf8(data).length : data.length;
    this.#sending(keyOf(data), length, () => this.conn.send(message), null);
  }

  fragment(a: number, b: number): void {
    this.#fragments ??= { binary: (b & 1) === 1, parts: [] };
    const fragments = this.#fragments, final = (b & 2) !== 0 || fragments.parts.length > 5;
    const data = this.#data(SIZES[a % SIZES.length], fragments.binary);
    const bytes = typeof data === "string" ? utf8(data) : data.slice();
    const whole = join([...fragments.parts, bytes]);
    const send = () =>
      this.conn.sendFragment(data, { final, compress: (b & 4) !== 0 || undefined });
    const first = fragments.parts.length === 0;
    if (final) {
      const key = keyOf(fragments.binary ? whole : new TextDecoder().decode(whole));
      if (this.#sending(key, bytes.length, send, data, true)) this.#fragments = null;
    } else if (this.#guarded(bytes.length, send, data, true) !== null) fragments.parts.push(bytes);
    // A refused fragment doesn't begin a message.
    if (this.#fragments?.parts.length === 0 && first) this.#fragments = null;
  }

  broadcast(): void {
    const { conn } = this;
    // After an unfinished message the broadcast would wait, and its place isn't known here.
    if (this.#fragments !== null || conn.role === "client" || conn.state !== "open") return;
    const data = this.#data(20, false) as string;
    const { queuedMessages } = conn, { dropped } = conn.stats();
    const { sent, queued, failed } = this.ctx.broadcast(data);
    this.#level();
    this.note(`broadcast: ${sent} sent, ${queued} queued, ${failed} failed`);
    if (conn.stats().dropped > dropped || conn.queuedMessages <= queuedMessages) return;
    if (sent + queued !== 1) this.finding("a broadcast is queued and not counted");
    this.#accept(keyOf(data), utf8(data).length, true);
  }

  /** Sends a complete message; returns whether it was accepted. */
  #sending(
    key: string,
    bytes: number,
    send: () => boolean,
    data: unknown,
    fragment = false,
  ): boolean {
    const returned = this.#guarded(bytes, send, data, fragment);
    if (returned === null) return false;
    this.#accept(key, bytes, true);
    return true;
  }

  #accept(key: string, bytes: number, complete: boolean | null): Accepted {
    const entry = { key, bytes, complete };
    this.accepted.push(entry);
    this.note(`accepted ${key}`);
    return entry;
  }

  /** Calls a send method; returns its result, or `null` if the message was refused. */
  #guarded(
    bytes: number,
    send: () => boolean,
    data: unknown,
    fragment: boolean,
  ): boolean | null {
    const { conn, plan } = this;
    const { state, queuedBytes, queuedMessages } = conn, { dropped } = conn.stats();
    const inMessage = this.#fragments !== null && !fragment;
    // The queue reserves room for what a stream has collected, and for messages that are being compressed.
    const streams = this.accepted.some(({ complete }) => complete === null);
    const kept = streams ? Math.max(plan.highWaterMark, 16 * 1024) : 0;
    const full = plan.maxQueueBytes > 0 &&
      (queuedBytes + bytes + kept > plan.maxQueueBytes || queuedMessages >= 1024 ||
        ((streams || plan.compression !== "none") && plan.maxQueueBytes <= 5000));
    let returned: boolean;
    try {
      returned = send();
    } catch (error) {
      this.note(`send refused: ${error}`);
      const { name, data: carried } = error as Error & { data?: unknown };
      const right = error instanceof QueueFullError
        ? full && (plan.whenQueueFull === "throw" || fragment)
        : error instanceof ConnectionClosedError
        ? state === "closing" || state === "closed" || this.writeShut
        : error instanceof InvalidStateError
        ? state === "connecting" || inMessage
        : false;
      if (!right) {
        this.finding(`send throws ${error} in state ${state}, ${queuedBytes} bytes queued`);
      }
      if (data !== null && name !== "InvalidStateError" && carried !== data) {
        this.finding(`${name} of send doesn't carry the message`);
      }
      return null;
    }
    this.#level();
    if (state !== "open" || this.writeShut) this.finding(`send returns in state ${state}`);
    if (conn.stats().dropped > dropped) {
      this.note("dropped");
      if (!full || plan.whenQueueFull !== "drop") this.finding("a message was dropped");
      return null;
    }
    if (conn.state !== "open" && state === "open" && full) {
      this.note("overflowed");
      this.overflowed = true;
      if (plan.whenQueueFull !== "close") this.finding("an overflow closes the connection");
      return null;
    }
    if (plan.maxQueueBytes > 0 && conn.queuedBytes > plan.maxQueueBytes) {
      this.finding(`${conn.queuedBytes} bytes are queued of at most ${plan.maxQueueBytes}`);
    }
    if (returned !== conn.queuedBytes <= plan.highWaterMark && conn.state === "open") {
      this.finding(`send returns ${returned} with ${conn.queuedBytes} bytes queued`);
    }
    return returned;
  }

  /** Records when the queue crosses its low-water mark. */
  #level(): void {
    const high = this.conn.queuedBytes > this.plan.lowWaterMark;
    if (high && !this.#high) this.rises++;
    this.#high = high;
  }

  stream(a: number, b: number): void {
    const binary = (b & 1) === 1;
    const pieces = Array.from(
      { length: a & 3 },
      (_, i) => this.#data(SIZES[((a >> 2) + i) % SIZES.length], binary),
    );
    const failing = (b & 0x70) === 0x70, endless = (b & 0x70) === 0x60;
    const whole = join(pieces.map((piece) => typeof piece === "string" ? utf8(piece) : piece));
    const key = keyOf(binary ? whole : new TextDecoder().decode(whole));
    const { conn } = this, { state } = conn;
    const source = this.#source(pieces, (b >> 1) & 3, failing, endless);
    const possible = state === "open" && !this.writeShut && this.#fragments === null;
    let promise: Promise<void>;
    try {
      promise = conn.sendStream(source, { binary });
    } catch (error) {
      return this.finding(`sendStream throws: ${error}`);
    }
    const entry = possible ? this.#accept(key, whole.length, null) : null;
    this.#rising();
    this.track(`sendStream() of ${pieces.length} pieces`, promise).then(() => {
      if (entry === null) this.finding(`sendStream resolves in state ${state}`);
      else entry.complete = true;
    }, (error) => {
      if (entry !== null) entry.complete = false;
      if (this.sourceErrors.has(error)) this.sourceFailed = true;
    });
  }

  /** A stream fills the queue by itself, so it may cross the mark unnoticed. */
  #rising(): void {
    this.rises += 1000;
  }

  #source(
    pieces: (string | Uint8Array)[],
    kind: number,
    failing: boolean,
    endless: boolean,
  ): Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array> | ReadableStream {
    const error = new Error("a source fails");
    const end = () => {
      if (!failing) return;
      this.sourceErrors.add(error);
      throw error;
    };
    if (endless) {
      return new ReadableStream({
        start: (controller) => pieces.forEach((piece) => controller.enqueue(piece)),
        pull: () => new Promise(() => {}),
      });
    }
    if (kind === 0) {
      return (function* () {
        yield* pieces;
        end();
      })();
    }
    if (kind === 1) {
      return (async function* () {
        for (const piece of pieces) {
          await macrotask();
          yield piece;
        }
        end();
      })();
    }
    const left = [...pieces];
    return new ReadableStream({
      pull(controller) {
        const piece = left.shift();
        if (piece !== undefined) return controller.enqueue(piece);
        end();
        controller.close();
      },
    }, { highWaterMark: 0 });
  }

  ping(a: number): void {
    const { conn } = this, { state } = conn;
    const payload = (a & 1) === 0 ? undefined : `ping ${this.#pings++}`;
    const timeout = (a & 2) === 0 ? undefined : 100;
    try {
      const ping = conn.ping(payload, { timeout });
      this.track(`ping() in state ${state}`, ping).then((ms) => {
        if (!(ms >= 0)) this.finding(`a ping took ${ms} ms`);
      }, () => {});
    } catch (error) {
      this.finding(`ping() throws instead of rejecting in state ${state}: ${error}`);
    }
  }

  pong(a: number): void {
    const { state } = this.conn;
    try {
      this.conn.pong(`pong ${a}`);
      if (state !== "open" || this.writeShut) this.finding(`pong() returns in state ${state}`);
    } catch (error) {
      if (state === "open" && !this.writeShut && !(error instanceof QueueFullError)) {
        this.finding(`pong() throws ${error}`);
      }
    }
  }

  drained(): void {
    const { conn } = this;
    this.track("drained()", conn.drained()).then(() => {}, (error) => {
      if (!(error instanceof ConnectionClosedError)) this.finding(`drained() rejects: ${error}`);
    });
  }
}
