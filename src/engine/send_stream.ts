import type { Engine } from "./engine.ts";
import { InvalidStateError, type Message } from "../errors.ts";
import { type Block, SendQueue } from "../flow/send_queue.ts";
import { BINARY, CONTINUATION, FIN, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { checkRsv } from "./raw_frame.ts";
import type { RsvBits } from "./raw_frame.ts";
import { isHighSurrogate } from "./sender.ts";
import { concat, NOTHING, toBytes } from "../util/bytes.ts";

/** Where the pieces of a message come from: strings and bytes, from an iterable, an async one, or a stream. */
export type SendStreamSource = Iterable<Message> | AsyncIterable<Message> | ReadableStream<Message>;

/** Options of `sendStream`. Reserved bits are set in the first frame. */
export interface SendStreamOptions extends RsvBits {
  /** The type of the message. Default: by the type of its first piece; binary where there is none. */
  binary?: boolean;
}

type Pieces = Iterator<Message> | AsyncIterator<Message>;

// Longer pieces go out in several frames, so that a ping waits for no more than this.
const LONGEST_FRAME = 64 * 1024;

/** The messages of a connection that are sent from sources, each at its place in the queue. */
export class SendStreams {
  readonly #engine: Engine;
  readonly #jobs = new Set<StreamJob>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Starts one behind what is queued; resolves when all of it is queued. */
  start(pieces: Pieces, options: SendStreamOptions, rsv: number): Promise<void> {
    const job = new StreamJob(this.#engine, pieces, options.binary, rsv);
    this.#jobs.add(job);
    return job.run().finally(() => {
      this.#jobs.delete(job);
      this.room();
    });
  }

  /** The system has taken something: whoever waits for his turn may look again. */
  room(): void {
    for (const job of this.#jobs) job.look();
  }

  /** The connection closes: what is unfinished stays so. */
  abort(): void {
    for (const job of [...this.#jobs]) job.abort();
  }
}

/** Gets the pieces of a source, and takes a stream's lock. */
export function piecesOf(source: SendStreamSource): Pieces {
  if (source instanceof ReadableStream) {
    // Its own iterator lets a pending read finish before it cancels, which may be never.
    const reader = source.getReader();
    return {
      next: () => reader.read() as Promise<IteratorResult<Message>>,
      return: async () => {
        await reader.cancel();
        return { done: true, value: undefined };
      },
    };
  }
  if (typeof source === "object" && source !== null && !ArrayBuffer.isView(source)) {
    const { [Symbol.asyncIterator]: many, [Symbol.iterator]: some } = source as
      & AsyncIterable<Message>
      & Iterable<Message>;
    if (typeof many === "function") return many.call(source);
    if (typeof some === "function") return some.call(source);
  }
  throw new TypeError(
    "Cannot send from a source that is no iterable and no stream: a single message goes by send",
  );
}

/** Starts a message from a source. */
export function sendStream(
  engine: Engine,
  source: SendStreamSource,
  options: SendStreamOptions,
): Promise<void> {
  const rsv = checkRsv(engine, "send a stream", options);
  if (engine.state !== "open" || engine.writeShut) throw engine.closedError("send a stream");
  if (engine.openMessage !== null) {
    throw new InvalidStateError("Cannot send a stream amid an unfinished fragmented message");
  }
  return (engine.streams ??= new SendStreams(engine)).start(piecesOf(source), options, rsv);
}

/**
 * One message on its way from its source. It owns a place in the queue, and asks its source for more only when all
 * that stands before that place is on its way; so at most `highWaterMark` bytes of it wait, besides the write in flight.
 */
class StreamJob {
  readonly #engine: Engine;
  readonly #pieces: Pieces;
  readonly #rsv: number;
  // Gathers frames until they move to the place together, so that small pieces share a write.
  readonly #gathered: SendQueue;
  readonly #batch: number;
  readonly #utf8 = new Utf8Validator();
  readonly #ended = Promise.withResolvers<void>();
  #binary: boolean | undefined;
  #place: Block;
  #carry = "";
  #started = false;
  #placed = false; // a frame of it is in the queue, or was
  #over = false;
  #wake: (() => void) | null = null;

  constructor(engine: Engine, pieces: Pieces, binary: boolean | undefined, rsv: number) {
    this.#engine = engine;
    this.#pieces = pieces;
    this.#binary = binary;
    this.#rsv = rsv;
    this.#gathered = new SendQueue(engine.nextKey);
    this.#batch = Math.min(Math.max(engine.settings.highWaterMark, 1), 16 * LONGEST_FRAME);
    this.#place = engine.queue.openPlace();
  }

  /** Sends it all. */
  run(): Promise<void> {
    this.#send().then(this.#ended.resolve, (error) => this.#failed(error));
    return this.#ended.promise;
  }

  /** Goes on where everything before the place is on its way. */
  look(): void {
    if (this.#wake === null) return;
    // The flush that follows may be what makes room.
    queueMicrotask(() => {
      if (this.#over || this.#engine.queue.isNext(this.#place)) this.#resume();
    });
  }

  /** The connection closes. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    const { queue } = this.#engine;
    // Behind an unfinished message no other can begin (RFC 6455 5.4); without a frame of it, nothing has happened.
    if (this.#placed) queue.cutAt(this.#place);
    else queue.closePlace(this.#place);
    this.#ended.reject(this.#engine.closedError("finish a stream"));
    this.#release();
    this.#resume();
  }

  async #send(): Promise<void> {
    const pieces = this.#pieces;
    await this.#turn();
    while (!this.#over) {
      let result = pieces.next();
      if (isPromise(result)) {
        // What has been gathered doesn't wait for a slow source.
        this.#commit();
        result = await result;
        if (this.#over) return;
      }
      if (result.done) break;
      await this.#add(result.value);
    }
    if (this.#over) return;
    if (this.#carry !== "") this.#push(encodeUtf8(this.#carry), false);
    if (!this.#utf8.complete) notText();
    this.#push(NOTHING, true);
    this.#commit();
    this.#over = true;
    this.#engine.queue.closePlace(this.#place);
    this.#engine.messagesSent++;
    this.#engine.writer.schedule();
  }

  async #add(piece: Message): Promise<void> {
    const bytes = this.#encode(piece);
    for (let at = 0; at < bytes.length; at += LONGEST_FRAME) {
      this.#push(
        bytes.length <= LONGEST_FRAME ? bytes : bytes.subarray(at, at + LONGEST_FRAME),
        false,
      );
      if (this.#gathered.bytes >= this.#batch) {
        this.#commit();
        await this.#turn();
        if (this.#over) return;
      }
    }
  }

  /** The bytes of a piece; the first half of a surrogate pair waits for the second. */
  #encode(piece: Message): Uint8Array {
    this.#binary ??= typeof piece !== "string";
    if (typeof piece !== "string") {
      const bytes = toBytes(piece);
      if (this.#carry === "") return bytes;
      const carry = encodeUtf8(this.#carry);
      this.#carry = "";
      return concat([carry, bytes]);
    }
    let text = this.#carry + piece;
    this.#carry = "";
    if (isHighSurrogate(text.charCodeAt(text.length - 1))) {
      this.#carry = text.slice(-1);
      text = text.slice(0, -1);
    }
    return encodeUtf8(text);
  }

  #push(bytes: Uint8Array, fin: boolean): void {
    const binary = this.#binary ??= true;
    if (!binary && this.#rsv === 0) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      if (!this.#utf8.push(view, 0, bytes.length)) notText();
    }
    const opcode = this.#started ? CONTINUATION : this.#rsv | (binary ? BINARY : TEXT);
    this.#gathered.push((fin ? FIN : 0) | opcode, bytes, fin ? 1 : 0, false);
    this.#started = true;
  }

  #commit(): void {
    if (this.#gathered.empty) return;
    const engine = this.#engine;
    this.#placed = true;
    this.#place = engine.queue.fillPlace(this.#place, this.#gathered);
    engine.queued();
  }

  /** Waits until everything before the place is on its way. */
  async #turn(): Promise<void> {
    // A flush that is due at the end of this turn comes first.
    await null;
    while (!this.#over && !this.#engine.queue.isNext(this.#place)) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #resume(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  #failed(error: unknown): void {
    if (this.#over) return;
    this.#ended.reject(error);
    this.#release();
    if (this.#started) {
      // The message can't be completed, and nothing else can be said before it is.
      this.#engine.fail(error);
    } else {
      this.#over = true;
      this.#engine.queue.closePlace(this.#place);
      this.#engine.writer.schedule();
    }
  }

  /** Tells the source that nobody wants more. */
  #release(): void {
    const pieces = this.#pieces;
    try {
      const result = pieces.return?.();
      if (isPromise(result)) result.catch(() => {});
    } catch {
      // The source is given up; what it says to that is nobody's concern.
    }
  }
}

function isPromise<T>(value: T | Promise<T> | undefined): value is Promise<T> {
  return typeof (value as Promise<T> | undefined)?.then === "function";
}

function notText(): never {
  throw new TypeError("Cannot send a stream as a text message that is not UTF-8");
}
