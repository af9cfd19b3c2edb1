import { decodeClosePayload } from "../../src/protocol/close_code.ts";
import { MessageAssembler } from "../../src/protocol/message_assembler.ts";
import { CLOSE, PING, type Role } from "../../src/protocol/opcode.ts";
import { ProtocolError } from "../../src/protocol/protocol_error.ts";
import { toHex } from "./bytes.ts";

/** An event of the core, in a form that compares and prints well. */
export type Event =
  | ["text", string]
  | ["binary", string]
  | ["ping" | "pong", string]
  | ["close", number, string]
  | ["fail", number];

/** Limits and extensions of the decoder. */
export interface DecodeOptions {
  maxMessageSize?: number;
  allowedRsv?: number;
  lend?: boolean;
}

/** Runs the sans-I/O core, and records its events. Nothing is decoded after a close frame or a failure. */
export class Decoding {
  readonly events: Event[] = [];
  /** The number of bytes that were passed when decoding failed. */
  failedAfter = -1;
  /** The error with which decoding failed. */
  error: ProtocolError | null = null;
  readonly assembler: MessageAssembler;
  #given = 0;
  #over = false;

  constructor(
    role: Role,
    { maxMessageSize = 0, allowedRsv = 0, lend = false }: DecodeOptions = {},
  ) {
    this.assembler = new MessageAssembler(
      role,
      {
        message: (data) => {
          this.events.push(
            typeof data === "string" ? ["text", data] : ["binary", toHex(data)],
          );
        },
        control: (opcode, { bytes }, start, end) => {
          const payload = bytes.slice(start, end);
          if (opcode === CLOSE) {
            const { code, reason } = decodeClosePayload(payload);
            this.events.push(["close", code, reason]);
            this.assembler.frames.stopRequested = true;
            this.#over = true;
          } else {
            this.events.push([opcode === PING ? "ping" : "pong", toHex(payload)]);
          }
        },
        inflated: () => {},
      },
      maxMessageSize,
      lend,
      allowedRsv,
    );
  }

  /** Decodes a piece in a buffer of its own, with `margin` bytes around it: frames are unmasked in place. */
  push(piece: Uint8Array, margin = 0): void {
    if (this.#over) return;
    this.#given += piece.length;
    const bytes = new Uint8Array(piece.length + 2 * margin).fill(0xa5);
    bytes.set(piece, margin);
    const source = { bytes, view: new DataView(bytes.buffer) };
    try {
      const end = margin + piece.length;
      const at = this.assembler.frames.decode(source, margin, end);
      if (at !== end && !this.#over) {
        throw new Error(`Stopped at ${at - margin} of ${piece.length}`);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#over = true;
      this.error = error;
      this.failedAfter = this.#given;
      this.events.push(["fail", error.closeCode]);
    }
    for (let at = 0; at < margin; at++) {
      if (bytes[at] !== 0xa5 || bytes[margin + piece.length + at] !== 0xa5) {
        throw new Error("Bytes outside the piece were changed");
      }
    }
  }
}

/** Decodes pieces in order. */
export function decode(
  role: Role,
  pieces: Iterable<Uint8Array>,
  options?: DecodeOptions,
  margin = 0,
): Decoding {
  const decoding = new Decoding(role, options);
  for (const piece of pieces) decoding.push(piece, margin);
  return decoding;
}
