import { headerSize, LONGEST_HEADER, writeHeader } from "../protocol/frame_header.ts";
import { decodeClosePayload, encodeClosePayload, NO_STATUS } from "../protocol/close_code.ts";
import { MessageAssembler, type MessageSink } from "../protocol/message_assembler.ts";
import { BINARY, CLOSE, FIN, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { Fifo } from "../util/fifo.ts";
import { startTimer } from "../util/timers.ts";
import type { Transport } from "./transport.ts";
import { NOTHING } from "../util/bytes.ts";

/** The native socket's buffer is kept this shallow; what doesn't fit stays in our own queue. */
const MAX_BUFFERED = 128 * 1024;
/** What each message that waits costs beside its payload, as in the receive queue. */
const OVERHEAD = 64;
/**
 * Messages up to here are copied one after the other: in Deno 2.9.6 the buffer that they come in keeps some 70 KB,
 * whatever their length. Longer ones are kept as they came.
 */
const SMALL = 64 * 1024;
// Memory for small ones grows with what waits: a message that is read at once must not cost more than itself.
const SMALLEST_PIECE = 512;
const LARGEST_PIECE = 64 * 1024;
/** Rounds of the event loop in which the buffer's level is looked at, before timers do it. */
const ROUNDS = 200;
const TICK = 4;
// The runtime (Deno 2.9.6) forgets a close frame that it should send if a message has come since. So it isn't asked
// for one before this many rounds of the event loop have brought no message.
const QUIET_ROUNDS = 4;
const MASK = 0x80;
const BAD_GATEWAY = 1014;

/** Frames that wait to be read, or a part of one. */
interface Piece {
  readonly bytes: Uint8Array;
  /** What is still to be read. */
  start: number;
  end: number;
  /** What that counts for; falls with every byte that is read. */
  cost: number;
}

/**
 * One of Deno's own server sockets, which carries messages, as a transport of frames, so that a connection over it is
 * the same as any other: what our encoder writes is put together and sent as messages, and what arrives becomes frames,
 * masked with zero.
 */
export class DenoWebSocketTransport implements Transport, MessageSink {
  readonly #socket: WebSocket;
  readonly #decoder = new MessageAssembler("client", this, 0, true, 0);
  readonly #pieces = new Fifo<Piece>();
  /** The last piece, if small messages may be added to it. */
  #open: Piece | null = null;
  #waiting = 0;
  /** Bytes that we were given to write. */
  #given = 0;
  #arrivals = 0;
  #ended = false;
  #answered = false; // close frames went both ways
  #lost = false; // something could not be sent any more
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;
  /** Called with each message: what waits now, each message counted with an overhead. The peer can't be held back. */
  onArrival: ((waiting: number) => void) | null = null;

  /** @param socket Open, with `binaryType` `"arraybuffer"`. */
  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#arrived(TEXT, encodeUtf8(data));
      else this.#arrived(BINARY, new Uint8Array(data as ArrayBuffer));
      this.onArrival?.(this.#waiting);
    };
    socket.onclose = ({ code, reason, wasClean }) => {
      // Whether the peer closed first or answered, its frame has been seen by now.
      if (wasClean) {
        this.#answered = true;
        this.#arrived(
          CLOSE,
          code === NO_STATUS ? NOTHING : encodeClosePayload(code, reason),
        );
      }
      this.#end();
    };
    // The close event that follows has the details.
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
    // The masking key after it stays zero.
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

  /** The last piece, with room for some bytes more. */
  #room(size: number): Piece {
    const open = this.#open;
    if (open !== null && open.end + size <= open.bytes.length) return open;
    // One of several messages to a piece wastes little of its end.
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
   * What is in the socket's own buffer hasn't been taken: it gets there at once, however slow the peer is. It leaves the
   * buffer message by message.
   */
  get bytesTaken(): number {
    return this.#given - this.#socket.bufferedAmount;
  }

  async write(data: Uint8Array): Promise<number> {
    if (this.#ended && !this.#answered) throw closedError();
    this.#given += data.length;
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.#decoder.frames.decode({ bytes: data, view }, 0, data.length);
    // The runtime has answered the peer's close frame; ours, if that is all there is to send, says the same.
    if (this.#answered && !this.#lost) return data.length;
    for (let round = 0; this.#socket.bufferedAmount > MAX_BUFFERED && !this.#ended; round++) {
      await this.#pause(round < ROUNDS);
    }
    if (this.#ended) throw closedError();
    return data.length;
  }

  /** A round of the event loop, or a tick of a timer; there is no event for the level. */
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

  /** Called by the decoder, with what was sent. */
  message(data: string | Uint8Array): void {
    if (this.#socket.readyState === WebSocket.OPEN) {
      this.#socket.send(data as string | Uint8Array<ArrayBuffer>);
    } else {
      this.#lost = true;
    }
  }

  /** Called by the decoder: a close frame. There are no pings and pongs here. */
  control(opcode: number, payload: Uint8Array): void {
    if (opcode !== CLOSE || this.#socket.readyState > WebSocket.OPEN) return;
    const { code, reason } = decodeClosePayload(payload);
    this.#closeWhenQuiet(() => {
      if (code === NO_STATUS) this.#socket.close();
      // The native socket doesn't know 1014, and would break off the connection.
      else this.#socket.close(code === BAD_GATEWAY ? 1011 : code, reason);
    });
  }

  /** Closes once the peer has nothing on its way; one that goes on for ever is given up by `close`. */
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

function closedError(): Error {
  return new Deno.errors.ConnectionReset("The WebSocket is closed");
}
