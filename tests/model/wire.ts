import { join } from "../support/bytes.ts";
import type { Deflate } from "../support/deflate.ts";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  type Frame,
  FrameReader,
  PING,
  PONG,
  readClose,
  TEXT,
} from "../support/frames.ts";
import { keyOf } from "../support/messages.ts";

/** The bytes in one direction, checked against RFC 6455 as they are read. */
export class Transcript {
  /** The complete messages. */
  readonly messages: string[] = [];
  readonly pings: string[] = [];
  readonly pongs: string[] = [];
  close: { code: number; reason: string } | null = null;
  /** The violations of the protocol. */
  readonly violations: string[] = [];
  readonly #reader = new FrameReader();
  readonly #masked: boolean;
  readonly #deflate: Deflate | null;
  #open: { opcode: number; compressed: boolean; parts: Uint8Array[] } | null = null;

  constructor(masked: boolean, deflate: Deflate | null) {
    this.#masked = masked;
    this.#deflate = deflate;
  }

  /** Whether a message or a frame is unfinished. */
  get unfinished(): boolean {
    return this.#open !== null || this.#reader.rest.length > 0;
  }

  /** Decodes bytes; returns the control frames among them. */
  push(bytes: Uint8Array): Frame[] {
    const controls: Frame[] = [];
    this.#reader.push(bytes);
    for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
      this.#check(frame);
      if (frame.opcode >= CLOSE) controls.push(frame);
    }
    return controls;
  }

  #check(frame: Frame): void {
    const { opcode, fin, rsv, masked, payload } = frame;
    const wrong = (what: string) => this.violations.push(`${what} (opcode ${opcode})`);
    if (this.close !== null) wrong("a frame after the close frame");
    if (masked !== this.#masked) wrong(masked ? "a masked frame" : "an unmasked frame");
    if (opcode >= CLOSE) {
      if (!fin || rsv !== 0 || payload.length > 125) wrong("an invalid control frame");
      if (opcode === PING) this.pings.push(keyOf(payload));
      else if (opcode === PONG) this.pongs.push(keyOf(payload));
      else if (opcode === CLOSE) this.#closing(payload, wrong);
      else wrong("an unknown opcode");
      return;
    }
    if (opcode === CONTINUATION) {
      if (this.#open === null) return void wrong("a continuation without a message");
      if (rsv !== 0) wrong("reserved bits in a continuation");
    } else {
      if (opcode !== TEXT && opcode !== BINARY) return void wrong("an unknown opcode");
      if (this.#open !== null) wrong("a message in the middle of another");
      if ((rsv & (this.#deflate === null ? 7 : 3)) !== 0) wrong("reserved bits");
      this.#open = { opcode, compressed: (rsv & 4) !== 0, parts: [] };
    }
    this.#open!.parts.push(payload);
    if (fin) this.#whole(wrong);
  }

  #whole(wrong: (what: string) => unknown): void {
    const { opcode, compressed, parts } = this.#open!;
    this.#open = null;
    let bytes = join(parts);
    try {
      if (compressed) bytes = this.#deflate!.decompress(bytes);
      this.messages.push(
        keyOf(opcode === BINARY ? bytes : new TextDecoder("utf-8", { fatal: true }).decode(bytes)),
      );
    } catch (error) {
      wrong(`a message that can't be read: ${error}`);
    }
  }

  #closing(payload: Uint8Array, wrong: (what: string) => unknown): void {
    try {
      this.close = readClose(payload);
    } catch {
      wrong("a close reason that isn't text");
      return;
    }
    const { code } = this.close;
    const legal = payload.length === 0 || (payload.length !== 1 && code >= 1000 && code < 5000 &&
      ![1004, 1005, 1006, 1015].includes(code) && !(code > 1014 && code < 3000));
    if (!legal) wrong(`a close frame with code ${code}`);
  }
}
