import { join, utf8 } from "../support/bytes.ts";
import type { Deflate } from "../support/deflate.ts";
import {
  BINARY,
  CLOSE,
  closeFrame,
  CONTINUATION,
  frame,
  masked,
  PING,
  PONG,
  TEXT,
} from "../support/frames.ts";
import { type ByteStream, upgradeResponse } from "../support/raw_peer.ts";
import { keyOf } from "../support/messages.ts";
import type { SentFrame } from "./frames.ts";
import type { Transcript } from "./wire.ts";

/** Violations of the protocol, each with the code of the close frame that answers it. */
export const VIOLATIONS: [what: string, code: number, bytes: () => Uint8Array][] = [
  ["reserved bits", 1002, () => frame(TEXT, "x", { rsv: 3 })],
  ["an unknown opcode", 1002, () => frame(3, "x")],
  ["a fragmented ping", 1002, () => frame(PING, "x", { fin: false })],
  ["a long ping", 1002, () => frame(PING, "x".repeat(126))],
  [
    "a continuation of nothing, or a message in the middle of another",
    1002,
    () => new Uint8Array(0),
  ],
  ["text that isn't UTF-8", 1007, () => frame(TEXT, Uint8Array.of(0xff))],
  ["a close frame of one byte", 1002, () => frame(CLOSE, "x")],
  ["a close frame with code 1006", 1002, () => closeFrame(1006)],
  ["the wrong masking", 1002, () => frame(TEXT, "x")],
];

/** A peer that follows the plan, and answers pings and close frames unless it is rude. */
export class ModelPeer {
  /** The complete messages that it has sent before it closed, violated the protocol or ended its direction. */
  readonly sent: string[] = [];
  /** The bytes of these messages, for consumers that take them in parts. */
  readonly bodies: Uint8Array[] = [];
  /** The data frames, also those of incomplete and of invalid messages. */
  readonly frames: SentFrame[] = [];
  readonly pings: string[] = [];
  close: { code: number; reason: string } | null = null;
  violated: string | null = null;
  /** Whether it ignores pings and close frames. */
  rude = false;
  /** Whether it reads. */
  reading = true;
  /** The size of the largest write. */
  chop = Infinity;
  finished = false;
  vanished = false;
  /** Whether some bytes weren't written when it disconnected. */
  lossy = false;
  /** The number of bytes that the transport has accepted. */
  written = 0;
  /** The frames that it has read. */
  readonly got: Transcript;
  /** How the other side has ended its direction; `null` while it is open. */
  ended: "end" | "reset" | null = null;
  /** The bytes to write, and the pending write. */
  #out: Uint8Array[] = [];
  #writing: Promise<void> | null = null;
  #head: string | null; // of the handshake, as far as it was read; null after it
  #part: { opcode: number; parts: Uint8Array[]; text: boolean } | null = null;
  #closed = false;
  #ended = false;
  readonly #wakers: (() => void)[] = [];

  constructor(
    readonly conn: ByteStream,
    readonly role: "client" | "server",
    got: Transcript,
    readonly deflate: Deflate | null,
    handshake: Uint8Array | "answer" | null = null,
    readonly lines: string[] = [],
  ) {
    this.got = got;
    this.#head = handshake === null ? null : "";
    if (handshake instanceof Uint8Array) this.#out.push(handshake);
  }

  /** Whether messages still count: after a close frame, a violation or an end they don't. */
  get valid(): boolean {
    return this.close === null && this.violated === null && !this.finished && !this.vanished;
  }

  /** Starts reading and writing. */
  start(): void {
    this.#flush();
    void this.#read();
  }

  message(data: string | Uint8Array, compressed: boolean): void {
    if (!this.valid || this.#part !== null) return;
    const bytes = typeof data === "string" ? utf8(data) : data;
    const opcode = typeof data === "string" ? TEXT : BINARY;
    const packed = compressed && this.deflate !== null;
    this.#data(opcode, packed ? this.deflate!.compress(bytes) : bytes, true, packed ? 4 : 0);
    this.sent.push(keyOf(data));
    this.bodies.push(bytes);
  }

  /** Sends a part of a message. Text is ASCII, so that it can be cut at any byte. */
  part(bytes: Uint8Array, text: boolean, fin: boolean): void {
    if (!this.valid) return;
    const first = this.#part === null;
    this.#part ??= { opcode: text ? TEXT : BINARY, parts: [], text };
    const { opcode, parts } = this.#part;
    const body = this.#part.text ? bytes.map((byte) => 0x20 + (byte & 0x3f)) : bytes;
    parts.push(body);
    this.#data(first ? opcode : CONTINUATION, body, fin);
    if (!fin) return;
    const whole = join(parts);
    this.sent.push(keyOf(this.#part.text ? new TextDecoder().decode(whole) : whole));
    this.bodies.push(whole);
    this.#part = null;
  }

  #data(opcode: number, payload: Uint8Array, fin: boolean, rsv = 0): void {
    this.frames.push({ opcode, payload, fin, rsv });
    this.#write(frame(opcode, payload, { fin, rsv }));
  }

  /** Whether a message is unfinished. */
  get inMessage(): boolean {
    return this.#part !== null;
  }

  /** The number of bytes in the unfinished message. */
  get partial(): number {
    return this.#part === null ? 0 : this.#part.parts.reduce((sum, part) => sum + part.length, 0);
  }

  /** Sends a message above the size limit of the other side. */
  tooLarge(size: number): void {
    if (!this.valid) return;
    this.violated = "a message that is too large";
    this.#write(frame(this.#part === null ? BINARY : CONTINUATION, new Uint8Array(size)));
  }

  ping(payload: Uint8Array): void {
    if (!this.valid) return;
    this.pings.push(keyOf(payload));
    this.#write(frame(PING, payload));
  }

  pong(payload: Uint8Array): void {
    if (this.valid) this.#write(frame(PONG, payload));
  }

  sendClose(code: number | undefined, reason = ""): void {
    if (!this.valid) return;
    this.#write(closeFrame(code, reason));
    this.close = { code: code ?? 1005, reason };
  }

  violate(kind: number): number {
    if (!this.valid) return 0;
    const [what, code, make] = VIOLATIONS[kind % VIOLATIONS.length];
    this.violated = what;
    let bytes = make();
    if (bytes.length === 0) {
      bytes = this.#part === null ? frame(CONTINUATION, "x") : frame(BINARY, "x");
    }
    // The frame itself is valid.
    if (what === "text that isn't UTF-8" && this.#part === null) {
      this.frames.push({ opcode: TEXT, payload: Uint8Array.of(0xff), fin: true, rsv: 0 });
    }
    const wrong = what === "the wrong masking";
    this.#out.push((this.role === "client") !== wrong ? masked(bytes) : bytes);
    this.#flush();
    return code;
  }

  /** Ends its direction after all writes. */
  finish(): void {
    if (this.finished || this.vanished) return;
    this.finished = true;
    this.#flush();
  }

  /** Disconnects at once. If it hasn't read everything, the other side gets a reset. */
  vanish(): void {
    if (this.vanished) return;
    this.vanished = true;
    this.lossy = this.#out.length > 0;
    this.#out = [];
    this.#hangUp();
  }

  /** Continues reading. */
  listen(): void {
    this.reading = true;
    for (const wake of this.#wakers.splice(0)) wake();
  }

  /** Sends pending answers, reads and writes without limits, and ends its direction after the other side. */
  behave(): void {
    this.rude = false;
    this.chop = Infinity;
    this.listen();
    if (this.got.close !== null) this.#answerClose();
    if (this.ended !== null) this.#bye();
    this.#endIfClosed();
    this.#flush();
  }

  #hangUp(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.conn.close();
    } catch {
      // The connection is closed already.
    }
  }

  #write(bytes: Uint8Array): void {
    this.#out.push(this.role === "client" ? masked(bytes) : bytes);
    this.#flush();
  }

  #flush(): void {
    // A server sends nothing before it has read the request.
    if (this.#writing !== null || this.#closed || (this.#head !== null && this.role === "server")) {
      return;
    }
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = null;
      if (this.#out.length > 0) this.#flush();
    });
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#out.length > 0 && !this.#closed) {
        const bytes = this.#out[0];
        // Large buffers would take too long byte by byte.
        const piece = bytes.subarray(0, Math.max(this.chop, bytes.length >> 8));
        const count = await this.conn.write(piece);
        this.written += count;
        if (this.#out.length === 0) break;
        if (count === bytes.length) this.#out.shift();
        else this.#out[0] = bytes.subarray(count);
      }
      if (this.finished && !this.#ended && !this.#closed) {
        this.#ended = true;
        await this.conn.closeWrite?.();
      }
    } catch {
      this.#out = [];
    }
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(16 * 1024);
    try {
      for (;;) {
        while (!this.reading) await new Promise<void>((resolve) => this.#wakers.push(resolve));
        const count = await this.conn.read(buffer);
        if (count === null) {
          this.ended = "end";
          break;
        }
        this.#received(buffer.slice(0, count));
      }
    } catch {
      this.ended = "reset";
    }
    if (!this.rude) this.#bye();
  }

  #received(bytes: Uint8Array): void {
    if (this.#head !== null) bytes = this.#readHead(this.#head, bytes);
    for (const { opcode, payload } of this.got.push(bytes)) {
      if (this.rude) continue;
      if (opcode === PING && this.valid) this.#write(frame(PONG, payload));
      else if (opcode === CLOSE) this.#answerClose();
    }
    this.#endIfClosed();
  }

  /** Reads the handshake, and answers it as a server; returns the bytes after it. */
  #readHead(before: string, bytes: Uint8Array): Uint8Array {
    const text = before + new TextDecoder("latin1").decode(bytes);
    const end = text.indexOf("\r\n\r\n") + 4;
    this.#head = end < 4 ? text : null;
    if (end < 4) return new Uint8Array(0);
    if (this.role === "server") {
      this.#out.unshift(upgradeResponse(text.slice(0, end), ...this.lines));
      this.#flush();
    }
    return bytes.subarray(end - before.length);
  }

  #answerClose(): void {
    if (this.close !== null || this.violated !== null || this.finished || this.vanished) return;
    const { code, reason } = this.got.close!;
    this.close = { code, reason };
    this.#write(code === 1005 ? closeFrame() : closeFrame(code, reason));
  }

  /** Ends the stream after both close frames if it is the server (RFC 6455 7.1.1). */
  #endIfClosed(): void {
    if (this.rude || this.role === "client") return;
    if (this.close !== null && this.got.close !== null) this.#bye();
  }

  /** Sends the remaining bytes, and ends its direction after the other side has. */
  #bye(): void {
    this.finish();
    void (async () => {
      await this.#writing;
      this.#hangUp();
    })();
  }
}
