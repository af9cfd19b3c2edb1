import type { Source } from "../protocol/source.ts";
import { headerSize, LONGEST_HEADER, writeHeader } from "../protocol/frame_header.ts";
import { decodeClosePayload, encodeClosePayload, NO_STATUS } from "../protocol/close_code.ts";
import { MessageAssembler, type MessageSink } from "../protocol/message_assembler.ts";
import { BINARY, CLOSE, FIN, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { Fifo } from "../util/fifo.ts";
import { startTimer } from "../util/timers.ts";
import type { Transport } from "./transport.ts";
import { NOTHING } from "../util/bytes.ts";

/** The most bytes in the native socket's own buffer; the rest stays in our queue. */
const MAX_BUFFERED = 128 * 1024;
/** The memory of a waiting message apart from its payload, as in the receive queue. */
const OVERHEAD = 64;
/**
 * Messages up to this length are copied into shared pieces: in Deno 2.9.6 the buffer of a short message keeps about 70 KB
 * alive. Longer ones aren't copied.
 */
const SMALL = 64 * 1024;
// The length of a piece for small messages grows with the bytes that wait, so that a message that is read at once doesn't
// cost much more than its length.
const SMALLEST_PIECE = 512;
const LARGEST_PIECE = 64 * 1024;
/** Rounds of the event loop in which the buffer's level is polled, before a timer polls it. */
const ROUNDS = 200;
const TICK = 4;
// Deno 2.9.6 doesn't send a close frame if a message arrives in the meantime. So `close` is called only after this many
// rounds of the event loop without a message.
const QUIET_ROUNDS = 4;
const MASK = 0x80;
const BAD_GATEWAY = 1014;

/** One or more frames that wait to be read, or a part of a frame. */
interface Piece {
  readonly bytes: Uint8Array;
  /** The bytes from `start` to `end` are still to be read. */
  start: number;
  end: number;
  /** The bytes that are counted for it; falls with every byte that is read. */
  cost: number;
}

/**
 * Deno's own WebSocket, which carries only messages, as a transport of frames, so that the engine needn't know the
 * difference. Frames that are written are assembled and sent as messages; received messages become frames with a masking
 * key of zero.
 */
export class DenoWebSocketTransport implements Transport, MessageSink {
  readonly #socket: WebSocket;
  readonly #decoder = new MessageAssembler("client", this, 0, true, 0);
  readonly #pieces = new Fifo<Piece>();
  /** The last piece, if small messages may be added to it. */
  #open: Piece | null = null;
  #waiting = 0;
  /** Bytes that were written to this transport. */
  #given = 0;
  #arrivals = 0;
  #ended = false;
  #answered = false; // both close frames were exchanged
  #lost = false; // a message could not be sent any more
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;
  /** Called for each received message with the bytes that wait now, overhead included: the peer can't be slowed down. */
  onArrival: ((waiting: number) => void) | null = null;

  /** @param socket An open socket with `binaryType` `"arraybuffer"`. */
  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#arrived(TEXT, encodeUtf8(data));
      else this.#arrived(BINARY, new Uint8Array(data as ArrayBuffer));
      this.onArrival?.(this.#waiting);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      // A clean close means that the peer's close frame was received.
      if (wasClean) {
        this.#answered = true;
        this.#arrived(
          CLOSE,
          code === NO_STATUS ? NOTHING : encodeClosePayload(code, reason),
        );
      }
      this.#end();
    };
    // A close event with the details follows.
    socket.onerror = () => {};
  }

  // ---- Towards the engine -----------------------------------------------------------------------------------------

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#pieces.length === 0) {
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    let filled = 0;
    while (filled < into.length) {
      const piece = this.#pieces.peek();
      if (piece === undefined) break;
      const rest = piece.end - piece.start, count = Math.min(rest, into.length - filled);
      into.set(piece.bytes.subarray(piece.start, piece.start + count), filled);
      filled += count;
      piece.start += count;
      const cost = count === rest ? piece.cost : Math.floor(piece.cost * count / rest);
      piece.cost -= cost;
      this.#waiting -= cost;
      if (count < rest) break;
      this.#pieces.shift();
      if (piece === this.#open) this.#open = null;
    }
    return filled;
  }

  #arrived(opcode: number, payload: Uint8Array): void {
    if (this.#ended) return;
    this.#arrivals++;
    const { length } = payload, small = length <= SMALL;
    const piece = this.#room(LONGEST_HEADER + (small ? length : 0));
    // The masking key after the header stays zero.
    writeHeader(piece.bytes, piece.end, FIN | opcode, length, MASK);
    piece.end += headerSize(length, true);
    let cost = OVERHEAD;
    if (small) {
      piece.bytes.set(payload, piece.end);
      piece.end += length;
      cost += length;
    } else {
      this.#pieces.push({ bytes: payload, start: 0, end: length, cost: length });
      this.#open = null;
      this.#waiting += length;
    }
    piece.cost += cost;
    this.#waiting += cost;
    this.#wake();
  }

  /** Returns the last piece if it has room for `size` more bytes, or else a new one. */
  #room(size: number): Piece {
    const open = this.#open;
    if (open !== null && open.end + size <= open.bytes.length) return open;
    // A large message gets a piece of its own, so that the end of a shared piece isn't wasted.
    const shared = Math.min(LARGEST_PIECE, Math.max(SMALLEST_PIECE, this.#waiting));
    const capacity = size * 4 > shared ? size : shared;
    const piece = { bytes: new Uint8Array(capacity), start: 0, end: 0, cost: 0 };
    this.#pieces.push(piece);
    return this.#open = piece;
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = null;
    wake?.();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
    this.#wakeWriter?.();
  }

  // ---- Towards the socket -----------------------------------------------------------------------------------------

  /**
   * Bytes in the socket's own buffer don't count as taken: they get there at once even if the peer is slow. The buffer is
   * emptied message by message.
   */
  get bytesTaken(): number {
    return this.#given - this.#socket.bufferedAmount;
  }

  async write(data: Uint8Array): Promise<number> {
    if (this.#ended && !this.#answered) throw socketClosed();
    this.#given += data.length;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.#decoder.frames.decode({ bytes: data, view }, 0, data.length);
    // The runtime has already answered the peer's close frame, so ours needn't be sent.
    if (this.#answered && !this.#lost) return data.length;
    for (let round = 0; this.#socket.bufferedAmount > MAX_BUFFERED && !this.#ended; round++) {
      await this.#pause(round < ROUNDS);
    }
    if (this.#ended) throw socketClosed();
    return data.length;
  }

  /** Waits for a round of the event loop, or for a timer: there is no event for the buffer's level. */
  #pause(short: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (short) {
        setImmediate(resolve);
        return;
      }
      const done = () => {
        disarm();
        this.#wakeWriter = null;
        resolve();
      };
      const disarm = startTimer(TICK, done);
      this.#wakeWriter = done;
    });
  }

  /** The decoder has assembled a message that was written. */
  message(data: string | Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(data as string | Uint8Array<ArrayBuffer>);
    } else {
      this.#lost = true;
    }
  }

  /** The decoder has read a close frame that was written. There are no pings and pongs here. */
  control(opcode: number, { bytes }: Source, start: number, end: number): void {
    if (opcode !== CLOSE || this.#socket.readyState > WebSocket.OPEN) return;
    const { code, reason } = decodeClosePayload(bytes.subarray(start, end));
    this.#closeWhenQuiet(() => {
      if (code === NO_STATUS) this.#socket.close();
      // The native socket refuses 1014, and would cut the connection.
      else this.#socket.close(code === BAD_GATEWAY ? 1011 : code, reason);
    });
  }

  /** Closes when no more messages arrive. If the peer continues for ever, the close timeout calls `close`. */
  #closeWhenQuiet(close: () => void): void {
    let arrivals = this.#arrivals, rounds = 0;
    const look = () => {
      if (this.#ended || this.#socket.readyState > WebSocket.OPEN) return;
      if (arrivals !== this.#arrivals) {
        arrivals = this.#arrivals;
        rounds = 0;
      }
      if (rounds++ === QUIET_ROUNDS) close();
      else setImmediate(look);
    };
    look();
  }

  inflated(): void {}

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#end();
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close();
  }
}

function socketClosed(): Error {
  return new Deno.errors.ConnectionReset("The WebSocket is closed");
}
