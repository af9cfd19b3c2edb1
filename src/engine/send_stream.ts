import { abortError, InvalidStateError, type Message } from "../errors.ts";
import type { Block } from "../flow/block.ts";
import { SendQueue } from "../flow/send_queue.ts";
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
 * The source of a message's pieces, strings or bytes: an iterable, an async iterable, or a stream.
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
  /** Whether the message is binary. Default: text if its first piece is a string. */
  binary?: boolean;
  /** Gives up when aborted. If a part of the message has been sent, it can't be completed, and the connection fails. */
  signal?: AbortSignal;
}

type Pieces = Iterator<Message> | AsyncIterator<Message>;

// Longer pieces go out in several frames, so that a ping waits for no more than this.
const LONGEST_FRAME = 64 * 1024;
const MOST_GATHERED = 16 * LONGEST_FRAME;
// The most frames that are gathered before they move to the queue: with pieces of a byte, a frame takes many times the
// memory that is counted for it.
const MOST_FRAMES = 1024;
// Gathered even if the high-water mark is lower: a low mark must not make a frame, and a write, of every byte.
const LEAST_GATHERED = 8 * 1024;
// Bytes of a small queue that are kept for a stream, so that messages queued after it can't use them.
const LEAST_SHARE = 16 * 1024;

/** The messages of a connection that are sent from sources, each at its placeholder in the queue. */
class SendStreams implements Streams {
  readonly #sender: Sender;
  readonly #jobs = new MemberList<StreamJob>();
  /** Bytes of the queue's limit that are kept. */
  readonly #share: number;
  #gathered = 0; // by the job whose turn it is
  #waking = false;

  constructor(sender: Sender) {
    this.#sender = sender;
    const { maxQueueBytes } = sender.settings;
    this.#share = maxQueueBytes === Infinity
      ? 0
      : Math.min(LEAST_SHARE, Math.max(1, Math.floor(maxQueueBytes / 4)));
  }

  /** Starts a message after those that are queued; resolves when all of it is queued. */
  start(pieces: Pieces, options: SendStreamOptions, rsv: number): Promise<void> {
    const job = new StreamJob(this.#sender, this, pieces, options, rsv);
    this.#jobs.add(job);
    this.reserve(this.#gathered);
    return job.run();
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Keeps room in the queue for the bytes that have been gathered. */
  reserve(gathered: number): void {
    this.#gathered = gathered;
    this.#sender.reserved = this.#jobs.size === 0 ? 0 : Math.max(this.#share, gathered);
  }

  /** A job has ended. */
  left(job: StreamJob): void {
    this.#jobs.delete(job);
    this.reserve(this.#gathered);
    this.wake();
  }

  wake(): void {
    if (this.#waking || this.#jobs.size === 0) return;
    this.#waking = true;
    // Later, since the flush that follows may make room.
    queueMicrotask(this.#look);
  }

  #look = (): void => {
    this.#waking = false;
    // Their placeholders are in the same order, so only the first can have its turn.
    this.#jobs.find(() => true)?.look();
  };

  abort(): void {
    for (const job of this.#jobs) job.abort();
  }
}

/** Returns an iterator over the pieces of a source; a stream is locked. */
function piecesOf(source: SendStreamSource): Pieces {
  if (source instanceof ReadableStream) {
    // The stream's own iterator waits for a pending read before it cancels, which may be for ever.
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
 * One message that is sent from a source. It owns a placeholder in the queue, and asks its source for more only when
 * everything before the placeholder has been handed to the transport. So at most `highWaterMark` bytes of it wait, or
 * 8 KiB if that is more, apart from the write in flight, and never more than the queue has room for.
 */
class StreamJob implements Member {
  slot = -1;
  readonly #sender: Sender;
  readonly #streams: SendStreams;
  readonly #pieces: Pieces;
  readonly #rsv: number;
  readonly #signal: AbortSignal | undefined;
  // Gathers frames until they move to the placeholder together, so that small pieces share a write.
  readonly #gathered: SendQueue;
  readonly #batch: number;
  readonly #ended = Promise.withResolvers<void>();
  readonly #empty = new EmptyPieces();
  readonly #binary: boolean | undefined;
  #encoder: PieceEncoder | null = null; // made with the first piece, whose type may decide that of the message
  #placeholder: Block;
  #started = false;
  #queued = false; // a frame of it is or was in the queue
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
    this.#placeholder = sender.queue.openPlaceholder();
  }

  /** Sends the whole message. */
  run(): Promise<void> {
    this.#signal?.addEventListener("abort", this.#aborted);
    if (this.#signal?.aborted) this.#aborted();
    else this.#send().catch((error) => this.#failed(error, true));
    return this.#ended.promise;
  }

  /** Continues if it is this message's turn and there is room. */
  look(): void {
    if (this.#wake !== null && this.#hasTurn) this.#resume();
  }

  /** The connection closes. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    // After an unfinished message no other can begin (RFC 6455 5.4). If no frame of it is queued, others can.
    if (this.#queued) this.#sender.queue.cutAt(this.#placeholder);
    else this.#sender.queue.closePlaceholder(this.#placeholder);
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
        // The frames gathered so far don't wait for a slow source.
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
    // A surrogate half that was carried is encoded with the end.
    this.#push(this.#encode(NOTHING, true), true);
    this.#commit();
    this.#sender.queue.closePlaceholder(this.#placeholder);
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

  /** Bytes that may be gathered now. */
  get #room(): number {
    const { bytes, frames } = this.#gathered;
    if (frames >= MOST_FRAMES) return 0;
    return Math.min(this.#batch, this.#sender.streamRoom) - bytes;
  }

  /** Whether everything before the placeholder has been handed to the transport, and there is room for more. */
  get #hasTurn(): boolean {
    return this.#sender.queue.isNext(this.#placeholder) && this.#room > 0;
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
    this.#queued = true;
    this.#placeholder = this.#sender.queue.insertAt(this.#placeholder, this.#gathered);
    this.#streams.reserve(0);
    this.#sender.queued(0);
  }

  async #turn(): Promise<void> {
    // A flush that is due in this turn comes first.
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

  /** The source has failed, or the application has aborted. */
  #failed(error: unknown, reported: boolean): void {
    if (this.#over) return;
    this.#ended.reject(error);
    // The message can't be completed, and no other can begin before it is. Failing the connection aborts this job, too.
    if (this.#started) this.#sender.failStream(error, reported);
    if (this.#over) return;
    this.#over = true;
    this.#sender.queue.closePlaceholder(this.#placeholder);
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

  /** Ends the source; its errors are ignored. */
  #release(): void {
    callForeign(() => this.#pieces.return?.(), () => {});
  }
}
