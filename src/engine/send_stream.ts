import { abortError, InvalidStateError, type Message } from "../errors.ts";
import { type Block, SendQueue } from "../flow/send_queue.ts";
import { BINARY, CONTINUATION, FIN, TEXT } from "../protocol/opcode.ts";
import { callForeign, EmptyPieces, isThenable } from "../util/foreign.ts";
import { NOTHING } from "../util/bytes.ts";
import { checkSignal } from "../util/check.ts";
import { type Member, MemberList } from "../util/member_list.ts";
import { PieceEncoder } from "./piece_encoder.ts";
import { flag, group } from "../util/check.ts";
import { checkRsv, type RsvBits } from "./rsv_bits.ts";
import type { Sender, Streams } from "./sender.ts";

/**
 * Where the pieces of a message come from: strings and bytes, from an iterable, an async one, or a stream.
 *
 * @see {@linkcode Connection.prototype.sendStream}
 */
export type SendStreamSource = Iterable<Message> | AsyncIterable<Message> | ReadableStream<Message>;

/**
 * Options of `sendStream`. Reserved bits are set in the first frame.
 *
 * @example A message that is made as it is sent
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onMessage: (conn, data) => void conn.send(data),
 * });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * async function* lines() {
 *   for (let line = 1; line <= 3; line++) yield `line ${line}\n`;
 * }
 * await conn.sendStream(lines(), { signal: AbortSignal.timeout(10_000) });
 * console.log(await conn.receive());
 * ```
 */
export interface SendStreamOptions extends RsvBits {
  /** The type of the message. Default: by the type of its first piece; binary if there is none. */
  binary?: boolean;
  /** Gives up when aborted. A message of which something has gone out can't be completed then: the connection fails. */
  signal?: AbortSignal;
}

type Pieces = Iterator<Message> | AsyncIterator<Message>;

// Longer pieces go out in several frames, so that a ping waits for no more than this.
const LONGEST_FRAME = 64 * 1024;
const MOST_GATHERED = 16 * LONGEST_FRAME;
// Frames that are gathered before they move to the queue: pieces of a byte must not cost many times what they count.
const MOST_FRAMES = 1024;
// This much is gathered however low the high-water mark is: it must not make a frame, and a write, of every byte.
const LEAST_GATHERED = 8 * 1024;
// The part of a small queue that is kept for a stream, whatever waits behind it.
const LEAST_SHARE = 16 * 1024;

/** The messages of a connection that are sent from sources, each at its place in the queue. */
class SendStreams implements Streams {
  readonly #sender: Sender;
  readonly #jobs = new MemberList<StreamJob>();
  /** What is kept of the queue's limit. */
  readonly #share: number;
  #gathered = 0; // by the one whose turn it is
  #waking = false;

  constructor(sender: Sender) {
    this.#sender = sender;
    const { maxQueueBytes } = sender.settings;
    this.#share = maxQueueBytes === Infinity
      ? 0
      : Math.min(LEAST_SHARE, Math.max(1, Math.floor(maxQueueBytes / 4)));
  }

  /** Starts one after what is queued; resolves when all of it is queued. */
  start(pieces: Pieces, options: SendStreamOptions, rsv: number): Promise<void> {
    const job = new StreamJob(this.#sender, this, pieces, options, rsv);
    this.#jobs.add(job);
    this.reserve(this.#gathered);
    return job.run();
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Keeps room in the queue for what has been gathered. */
  reserve(gathered: number): void {
    this.#gathered = gathered;
    this.#sender.reserved = this.#jobs.size === 0 ? 0 : Math.max(this.#share, gathered);
  }

  /** One has come to its end. */
  left(job: StreamJob): void {
    this.#jobs.delete(job);
    this.reserve(this.#gathered);
    this.wake();
  }

  wake(): void {
    if (this.#waking || this.#jobs.size === 0) return;
    this.#waking = true;
    // The flush that follows may be what makes room.
    queueMicrotask(this.#look);
  }

  #look = (): void => {
    this.#waking = false;
    // Their places are in their own order: it can't be the turn of any but the first.
    this.#jobs.find(() => true)?.look();
  };

  abort(): void {
    for (const job of this.#jobs) job.abort();
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
    "Cannot send from a source that is neither an iterable nor a stream: use send for a single message",
  );
}

/** Starts a message from a source. */
export function sendStream(
  sender: Sender,
  source: SendStreamSource,
  options: SendStreamOptions,
): Promise<void> {
  group("send a stream", "options", options, "an object");
  flag("send a stream", "binary", options.binary, false);
  const rsv = checkRsv("send a stream", options, sender.settings.allowedRsv);
  checkSignal("send a stream", options.signal);
  sender.checkOpen("send a stream");
  if (sender.fragment !== null) {
    throw new InvalidStateError(
      "Cannot send a stream in the middle of an unfinished fragmented message",
    );
  }
  const streams = (sender.streams ??= new SendStreams(sender)) as SendStreams;
  return streams.start(piecesOf(source), options, rsv);
}

/**
 * One message on its way from its source. It owns a place in the queue, and asks its source for more only when all
 * that comes before that place is on its way; so at most `highWaterMark` bytes of it wait, or 8 KiB if that is more,
 * apart from the write in flight, and never more than the queue has room for.
 */
class StreamJob implements Member {
  slot = -1;
  readonly #sender: Sender;
  readonly #streams: SendStreams;
  readonly #pieces: Pieces;
  readonly #rsv: number;
  readonly #signal: AbortSignal | undefined;
  // Gathers frames until they move to the place together, so that small pieces share a write.
  readonly #gathered: SendQueue;
  readonly #batch: number;
  readonly #ended = Promise.withResolvers<void>();
  readonly #empty = new EmptyPieces();
  readonly #binary: boolean | undefined;
  #encoder: PieceEncoder | null = null; // made with the first piece, whose type may decide
  #place: Block;
  #started = false;
  #placed = false; // a frame of it is in the queue, or was
  #over = false;
  #wake: (() => void) | null = null;

  constructor(
    sender: Sender,
    streams: SendStreams,
    pieces: Pieces,
    { binary, signal }: SendStreamOptions,
    rsv: number,
  ) {
    this.#sender = sender;
    this.#streams = streams;
    this.#pieces = pieces;
    this.#binary = binary;
    this.#signal = signal;
    this.#rsv = rsv;
    this.#gathered = new SendQueue(sender.nextKey);
    const { highWaterMark } = sender.settings;
    this.#batch = Math.min(Math.max(highWaterMark, LEAST_GATHERED), MOST_GATHERED);
    this.#place = sender.queue.openPlace();
  }

  /** Sends it all. */
  run(): Promise<void> {
    this.#signal?.addEventListener("abort", this.#aborted);
    if (this.#signal?.aborted) this.#aborted();
    else this.#send().catch((error) => this.#failed(error, true));
    return this.#ended.promise;
  }

  /** Goes on if it is its turn and there is room. */
  look(): void {
    if (this.#wake !== null && this.#hasTurn) this.#resume();
  }

  /** The connection closes. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    // Behind an unfinished message no other can begin (RFC 6455 5.4); without a frame of it, nothing has happened.
    if (this.#placed) this.#sender.queue.cutAt(this.#place);
    else this.#sender.queue.closePlace(this.#place);
    this.#ended.reject(this.#sender.stateError("finish a stream"));
    this.#leave();
    this.#release();
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
      const bytes = this.#encode(result.value, false);
      const rest = this.#empty.note(bytes.length);
      if (rest !== null) {
        await rest;
        if (this.#over) return;
      }
      for (let at = 0; at < bytes.length;) {
        const room = this.#room;
        if (room > 0) {
          const part = bytes.subarray(at, at + Math.min(room, LONGEST_FRAME));
          this.#push(part, false);
          at += part.length;
        } else {
          this.#commit();
          await this.#turn();
          if (this.#over) return;
        }
      }
    }
    if (this.#over) return;
    // What was carried comes out with the end.
    this.#push(this.#encode(NOTHING, true), true);
    this.#commit();
    this.#sender.queue.closePlace(this.#place);
    this.#sender.queued(1);
    this.#over = true;
    this.#ended.resolve();
    this.#leave();
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

  /** What may be gathered now. */
  get #room(): number {
    const { bytes, frames } = this.#gathered;
    if (frames >= MOST_FRAMES) return 0;
    return Math.min(this.#batch, this.#sender.streamRoom) - bytes;
  }

  /** Whether everything before the place is on its way, and there is room for more. */
  get #hasTurn(): boolean {
    return this.#sender.queue.isNext(this.#place) && this.#room > 0;
  }

  #push(bytes: Uint8Array, fin: boolean): void {
    const first = this.#started
      ? CONTINUATION
      : this.#rsv | (this.#encoder!.binary ? BINARY : TEXT);
    this.#gathered.push((fin ? FIN : 0) | first, bytes, fin ? 1 : 0, false);
    this.#started = true;
    this.#streams.reserve(this.#gathered.bytes);
  }

  #commit(): void {
    if (this.#gathered.empty) return;
    this.#placed = true;
    this.#place = this.#sender.queue.fillPlace(this.#place, this.#gathered);
    this.#streams.reserve(0);
    this.#sender.queued(0);
  }

  async #turn(): Promise<void> {
    // A flush that is due at the end of this turn comes first.
    await null;
    while (!this.#over && !this.#hasTurn) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  #resume(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  #aborted = (): void => {
    this.#failed(abortError("The stream was aborted", this.#signal!.reason), false);
  };

  /** The source has failed, or the application has given it up. */
  #failed(error: unknown, reported: boolean): void {
    if (this.#over) return;
    this.#ended.reject(error);
    // The message can't be completed, and nothing else can be said before it is. That aborts this one, too.
    if (this.#started) this.#sender.failStream(error, reported);
    if (this.#over) return;
    this.#over = true;
    this.#sender.queue.closePlace(this.#place);
    this.#leave();
    this.#sender.writer.schedule();
    this.#release();
  }

  #leave(): void {
    if (!this.#gathered.empty) {
      this.#gathered.drop(false);
      this.#streams.reserve(0);
    }
    this.#signal?.removeEventListener("abort", this.#aborted);
    this.#streams.left(this);
    this.#resume();
  }

  /** Ends the source; whether that fails makes no difference. */
  #release(): void {
    callForeign(() => this.#pieces.return?.(), () => {});
  }
}
