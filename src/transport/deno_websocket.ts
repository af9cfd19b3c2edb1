import { headerSize, writeHeader } from "../protocol/frame_header.ts";
import { decodeClosePayload, encodeClosePayload, NO_STATUS } from "../protocol/close_code.ts";
import { MessageAssembler, type MessageSink } from "../protocol/message_assembler.ts";
import { BINARY, CLOSE, FIN, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import type { Transport } from "./transport.ts";
import { NOTHING } from "../util/bytes.ts";

/** The native socket's buffer is kept this shallow; what doesn't fit stays in our own queue. */
const MAX_BUFFERED = 128 * 1024;
/** Rounds of the event loop in which the buffer's level is looked at, before timers do it. */
const ROUNDS = 200;
const TICK = 4;
const MASK = 0x80;
const BAD_GATEWAY = 1014;

/**
 * One of Deno's own server sockets, which carries messages, as a transport of frames, so that a connection over it is
 * the same as any other: what our encoder writes is put together and sent as messages, and what arrives becomes frames,
 * masked with zero.
 */
export class DenoWebSocketTransport implements Transport, MessageSink {
  readonly messagesOnly = true;
  readonly #socket: WebSocket;
  readonly #decoder = new MessageAssembler("client", this, 0, true, 0);
  /** Frames that wait to be read. */
  #frames: Uint8Array[] = [];
  #offset = 0;
  #waiting = 0;
  #ended = false;
  #answered = false; // close frames went both ways
  #lost = false; // something could not be sent any more
  #wakeReader: (() => void) | null = null;
  #wakeWriter: (() => void) | null = null;
  /** Called with each arrival: the bytes that wait, and that nobody can tell the peer to stop. */
  onArrival: ((waiting: number) => void) | null = null;

  /** @param socket Open, with `binaryType` `"arraybuffer"`. */
  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.#arrived(TEXT, encodeUtf8(data));
      else this.#arrived(BINARY, new Uint8Array(data as ArrayBuffer));
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
    // The close event that follows tells all.
    socket.onerror = () => {};
  }

  // ---- Towards the engine -----------------------------------------------------------------------------------------

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#frames.length === 0) {
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    let filled = 0;
    while (this.#frames.length > 0 && filled < into.length) {
      const frame = this.#frames[0];
      const count = Math.min(frame.length - this.#offset, into.length - filled);
      into.set(frame.subarray(this.#offset, this.#offset + count), filled);
      filled += count;
      this.#offset += count;
      if (this.#offset === frame.length) {
        this.#frames.shift();
        this.#offset = 0;
      }
    }
    this.#waiting -= filled;
    return filled;
  }

  #arrived(opcode: number, payload: Uint8Array): void {
    if (this.#ended) return;
    const header = new Uint8Array(headerSize(payload.length, true));
    // The masking key after it stays zero.
    writeHeader(header, 0, FIN | opcode, payload.length, MASK);
    this.#frames.push(header);
    if (payload.length > 0) this.#frames.push(payload);
    this.#waiting += header.length + payload.length;
    this.#wake();
    if (opcode !== CLOSE) this.onArrival?.(this.#waiting);
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

  async write(data: Uint8Array): Promise<number> {
    if (this.#ended && !this.#answered) throw closedError();
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

  /** A round of the event loop, or a tick of a timer; there is no event that tells of the level. */
  #pause(short: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (short) {
        setImmediate(resolve);
        return;
      }
      const timer = setTimeout(done, TICK);
      const wake = this.#wakeWriter = done;
      const owner = (writer: (() => void) | null) => this.#wakeWriter = writer;
      function done() {
        clearTimeout(timer);
        if (wake === done) owner(null);
        resolve();
      }
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
    if (code === NO_STATUS) this.#socket.close();
    // The native socket doesn't know 1014, and would break off the connection.
    else this.#socket.close(code === BAD_GATEWAY ? 1011 : code, reason);
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
