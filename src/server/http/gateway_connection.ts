import { acquire, LARGEST, release } from "../../memory/buffer_pool.ts";
import { BadHeadError } from "../../handshake/bad_head_error.ts";
import { HeadParser } from "../../handshake/head_parser.ts";
import { writeLatin1 } from "../../handshake/latin1.ts";
import { parseRequestHead, type RequestHead } from "../../handshake/request_head.ts";
import { isUpgradeRequest } from "../../handshake/server_handshake.ts";
import { formatRefusal } from "../../handshake/server_response.ts";
import { closeQuietly, writeAll } from "../../transport/stream_io.ts";
import { CallbackTimer, Timer, type Timers } from "../../util/timers.ts";
import type { Transport } from "../../transport/transport.ts";
import { BodyFramer } from "../../handshake/body_framer.ts";
import { ResponseFramer } from "./response_framer.ts";

/** How many times as long a body may bring nothing, and an answer not be taken. */
const STALL = 6;
/** How long a client has to take the last answer and to close. */
const LINGER = 1000;

/** What a client may do. */
export interface HttpLimits {
  /** The largest request head, in bytes. */
  readonly maxHeaderBytes: number;
  /** How long it may go without the complete head of a further request, in ms; 0 for ever. */
  readonly handshakeTimeout: number;
}

/** A request to upgrade that came on a connection which had been used for HTTP. */
export interface LateUpgrade {
  /** The text of its head. */
  head: string;
  /** What came behind it. */
  early: Uint8Array;
}

/**
 * A client's HTTP connection, piped to our own `Deno.serve` from its first byte. Requests are framed on their way, so
 * that one that wants to become a WebSocket is found wherever it stands, and it is answered when all before it are.
 */
export class GatewayConnection extends Timer {
  readonly #client: Transport;
  readonly #inner: Deno.TcpConn;
  readonly #bounds: HttpLimits;
  readonly #timers: Timers;
  readonly #answers = new ResponseFramer();
  #body: BodyFramer = new BodyFramer(0);
  #onAnswered: (() => void) | null = null;
  #innerEnded = false;
  #closing = false;
  #released = false;
  #closed = false;
  #lingering: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param client The client's connection, ours until it is given back.
   * @param inner The connection to the inner server; ours.
   * @param timers Where its time without a request is watched.
   */
  constructor(client: Transport, inner: Deno.TcpConn, bounds: HttpLimits, timers: Timers) {
    super();
    this.#client = client;
    this.#inner = inner;
    this.#bounds = bounds;
    this.#timers = timers;
  }

  /**
   * Serves the connection until it ends or is to become a WebSocket.
   *
   * @param head The text of the first request's head, which isn't an upgrade.
   * @param early What came behind it.
   * @returns The upgrade, and with it the client's connection; `null` at the end, and then both are closed.
   */
  async run(head: string, early: Uint8Array): Promise<LateUpgrade | null> {
    const answering = this.#pumpAnswers();
    try {
      const upgrade = await this.#pumpRequests(head, early);
      // A client that has ended its direction may well wait for its answers.
      await this.#answered(0);
      if (upgrade !== null && !this.#innerEnded && !this.#closing) {
        await this.#release(answering);
        return upgrade;
      }
    } catch (error) {
      if (error instanceof BadHeadError) await this.#refuse(error, answering);
    }
    closeQuietly(this.#inner);
    await answering;
    this.close();
    return null;
  }

  /** The client has had its answers, and no further request has come. */
  override fire(): void {
    this.shutdown();
  }

  /** Lets what is being answered be answered, then ends. */
  shutdown(): void {
    this.#closing = true;
    if (this.#answers.waiting.length === 0) this.#end();
  }

  /** Ends at once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.clear(this);
    clearTimeout(this.#lingering);
    closeQuietly(this.#inner);
    closeQuietly(this.#client);
  }

  async #pumpRequests(head: string, early: Uint8Array): Promise<LateUpgrade | null> {
    await this.#startRequest(head, parseRequestHead(head));
    const parser = new HeadParser(this.#bounds.maxHeaderBytes);
    const buffer = acquire(LARGEST);
    try {
      let bytes = early;
      for (;;) {
        let at = 0;
        while (at < bytes.length) {
          if (!this.#body.done) {
            const end = this.#body.take(bytes, at);
            await writeAll(this.#inner, bytes.subarray(at, end));
            at = end;
            this.#awaitRequest();
            continue;
          }
          const used = parser.push(bytes.subarray(at));
          if (used === -1) break;
          at += used;
          const { text } = parser;
          const request = parseRequestHead(text);
          if (isUpgradeRequest(request)) return { head: text, early: bytes.slice(at) };
          // It has crossed our end of the connection: nobody could be answered.
          if (this.#lingering !== undefined) return null;
          await this.#startRequest(text, request);
        }
        const read = this.#client.read(buffer.target);
        const count = await (this.#body.done ? read : this.#whileMoving(read));
        if (count === null) {
          // In the middle of a request, there is nobody who could be answered.
          if (!this.#body.done || parser.pendingBytes > 0) this.close();
          return null;
        }
        bytes = buffer.target.subarray(0, count);
      }
    } finally {
      release(buffer);
    }
  }

  async #startRequest(text: string, request: RequestHead): Promise<void> {
    const { fields } = request;
    const length = fields.get("content-length");
    this.#body = new BodyFramer(
      fields.get("transfer-encoding") !== null ? "chunked" : Number(length ?? 0),
    );
    this.#answers.waiting.push(request.method);
    this.#timers.clear(this);
    const bytes = new Uint8Array(text.length);
    writeLatin1(text, bytes, 0);
    await writeAll(this.#inner, bytes);
  }

  async #pumpAnswers(): Promise<void> {
    const buffer = acquire(LARGEST);
    const { waiting } = this.#answers;
    try {
      for (;;) {
        const count = await this.#inner.read(buffer.target);
        if (count === null) break;
        const bytes = buffer.target.subarray(0, count);
        const complete = this.#answers.push(bytes);
        await this.#whileMoving(writeAll(this.#client, bytes));
        if (complete === 0) continue;
        waiting.splice(0, complete);
        this.#onAnswered?.();
        if (this.#closing && waiting.length === 0) break;
        this.#awaitRequest();
      }
    } catch {
      // The client is gone, or the inner connection was closed by us.
      if (!this.#released) this.close();
    } finally {
      release(buffer);
      this.#innerEnded = true;
      this.#onAnswered?.();
      if (!this.#released) this.#end();
    }
  }

  /** Watches the time until the next request, where nothing of the ones before is left to do. */
  #awaitRequest(): void {
    const { handshakeTimeout } = this.#bounds;
    if (!this.#body.done || this.#answers.waiting.length > 0) return;
    if (this.#closed || this.#released) return;
    this.#timers.set(this, handshakeTimeout);
  }

  /** Closes the connection where the client keeps a piece of a body, or of an answer, waiting. */
  async #whileMoving<T>(piece: Promise<T>): Promise<T> {
    const { handshakeTimeout } = this.#bounds;
    const alarm = new CallbackTimer(() => this.close());
    this.#timers.set(alarm, STALL * handshakeTimeout);
    try {
      return await piece;
    } finally {
      this.#timers.clear(alarm);
    }
  }

  /** Gives the client's connection up, and ends the inner one. */
  async #release(answering: Promise<void>): Promise<void> {
    this.#released = true;
    this.#timers.clear(this);
    closeQuietly(this.#inner);
    await answering;
  }

  /** Waits until no more than `left` requests are without their answer. */
  async #answered(left: number): Promise<void> {
    while (this.#answers.waiting.length > left && !this.#innerEnded) {
      await new Promise<void>((resolve) => this.#onAnswered = resolve);
    }
  }

  /** Answers what can't be framed, behind all that could be. */
  async #refuse(error: BadHeadError, answering: Promise<void>): Promise<void> {
    // A request with a broken body has been passed on, and will not get an answer of the handler's.
    await this.#answered(this.#body.done ? 0 : 1);
    if (this.#innerEnded || this.#answers.midway) return;
    await this.#release(answering);
    const answer = formatRefusal(error.status, [], error.message);
    await writeAll(this.#client, answer).catch(() => {});
    await this.#linger();
  }

  /** Ends our direction, and the connection when the client has ended its own, or takes too long. */
  #end(): void {
    if (this.#closed || this.#released || this.#lingering !== undefined) return;
    this.#client.closeWrite().catch(() => {});
    // It is the loop over requests that reads to the client's end.
    this.#lingering = setTimeout(() => this.close(), LINGER);
  }

  async #linger(): Promise<void> {
    const buffer = acquire(1);
    const timer = setTimeout(() => this.close(), LINGER);
    try {
      await this.#client.closeWrite();
      while (await this.#client.read(buffer.target) !== null);
    } catch {
      // Whichever way, it is over.
    } finally {
      clearTimeout(timer);
      release(buffer);
    }
  }
}
