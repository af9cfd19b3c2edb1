import { InvalidStateError, type Message } from "../errors.ts";
import { type Block, SendQueue } from "../flow/send_queue.ts";
import { BINARY, CONTINUATION, FIN, TEXT } from "../protocol/opcode.ts";
import { callForeign, isThenable } from "../util/foreign.ts";
import { NOTHING } from "../util/bytes.ts";
import { PieceEncoder } from "./piece_encoder.ts";
import { checkRsv, type RsvBits } from "./rsv_bits.ts";
import type { Sender, Streams } from "./sender.ts";

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
class SendStreams implements Streams {
  readonly #sender: Sender;
  readonly #jobs = new Set<StreamJob>();

  constructor(sender: Sender) {
    this.#sender = sender;
  }

  /** Starts one behind what is queued; resolves when all of it is queued. */
  start(pieces: Pieces, options: SendStreamOptions, rsv: number): Promise<void> {
    const job = new StreamJob(this.#sender, pieces, options.binary, rsv);
    this.#jobs.add(job);
    return job.run().finally(() => {
      this.#jobs.delete(job);
      this.room();
    });
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** The kernel has taken something: each may look whether it is its turn. */
  room(): void {
    for (const job of this.#jobs) job.look();
  }

  /** The connection closes: what is unfinished stays so. */
  abort(): void {
    for (const job of [...this.#jobs]) job.abort();
  }
}

/** Gets the pieces of a source, and takes a stream's lock. */
function piecesOf(source: SendStreamSource): Pieces {
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
  sender: Sender,
  source: SendStreamSource,
  options: SendStreamOptions,
): Promise<void> {
  const rsv = checkRsv("send a stream", options, sender.settings.allowedRsv);
  sender.checkOpen("send a stream");
  if (sender.fragment !== null) {
    throw new InvalidStateError("Cannot send a stream amid an unfinished fragmented message");
  }
  const streams = (sender.streams ??= new SendStreams(sender)) as SendStreams;
  return streams.start(piecesOf(source), options, rsv);
}

/**
 * One message on its way from its source. It owns a place in the queue, and asks its source for more only when all
 * that stands before that place is on its way; so at most `highWaterMark` bytes of it wait, besides the write in flight.
 */
class StreamJob {
  readonly #sender: Sender;
  readonly #pieces: Pieces;
  readonly #rsv: number;
  // Gathers frames until they move to the place together, so that small pieces share a write.
  readonly #gathered: SendQueue;
  readonly #batch: number;
  readonly #ended = Promise.withResolvers<void>();
  readonly #binary: boolean | undefined;
  #encoder: PieceEncoder | null = null; // made with the first piece, whose type may decide
  #place: Block;
  #started = false;
  #placed = false; // a frame of it is in the queue, or was
  #over = false;
  #wake: (() => void) | null = null;

  constructor(sender: Sender, pieces: Pieces, binary: boolean | undefined, rsv: number) {
    this.#sender = sender;
    this.#pieces = pieces;
    this.#binary = binary;
    this.#rsv = rsv;
    this.#gathered = new SendQueue(sender.nextKey);
    this.#batch = Math.min(Math.max(sender.settings.highWaterMark, 1), 16 * LONGEST_FRAME);
    this.#place = sender.queue.openPlace();
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
      if (this.#over || this.#sender.queue.isNext(this.#place)) this.#resume();
    });
  }

  /** The connection closes. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    const { queue } = this.#sender;
    // Behind an unfinished message no other can begin (RFC 6455 5.4); without a frame of it, nothing has happened.
    if (this.#placed) queue.cutAt(this.#place);
    else queue.closePlace(this.#place);
    this.#ended.reject(this.#sender.closedError("finish a stream"));
    this.#release();
    this.#resume();
  }

  async #send(): Promise<void> {
    const pieces = this.#pieces;
    await this.#turn();
    while (!this.#over) {
      let result = pieces.next();
      if (isThenable(result)) {
        // What has been gathered doesn't wait for a slow source.
        this.#commit();
        result = await result;
        if (this.#over) return;
      }
      if (result.done) break;
      await this.#add(result.value);
    }
    if (this.#over) return;
    // What was carried comes out with the end.
    this.#push(this.#encode(NOTHING, true), true);
    this.#commit();
    this.#over = true;
    this.#sender.queue.closePlace(this.#place);
    this.#sender.queued(1);
  }

  async #add(piece: Message): Promise<void> {
    const bytes = this.#encode(piece, false);
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

  #encode(piece: Message, final: boolean): Uint8Array {
    const encoder = this.#encoder ??= new PieceEncoder(
      "a stream",
      this.#binary ?? typeof piece !== "string",
      this.#rsv !== 0,
    );
    const bytes = encoder.encode(piece, final, !final);
    encoder.advance();
    return bytes;
  }

  #push(bytes: Uint8Array, fin: boolean): void {
    const first = this.#started
      ? CONTINUATION
      : this.#rsv | (this.#encoder!.binary ? BINARY : TEXT);
    this.#gathered.push((fin ? FIN : 0) | first, bytes, fin ? 1 : 0, false);
    this.#started = true;
  }

  #commit(): void {
    if (this.#gathered.empty) return;
    this.#placed = true;
    this.#place = this.#sender.queue.fillPlace(this.#place, this.#gathered);
    this.#sender.queued(0);
  }

  /** Waits until everything before the place is on its way. */
  async #turn(): Promise<void> {
    // A flush that is due at the end of this turn comes first.
    await null;
    while (!this.#over && !this.#sender.queue.isNext(this.#place)) {
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
      this.#sender.failStream(error);
    } else {
      this.#over = true;
      this.#sender.queue.closePlace(this.#place);
      this.#sender.writer.schedule();
    }
  }

  /** Tells the source that nobody wants more. */
  #release(): void {
    // The source is given up; what it says to that is nobody's concern.
    callForeign(() => this.#pieces.return?.(), () => {});
  }
}
