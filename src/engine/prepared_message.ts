import type { Message } from "../errors.ts";
import { SharedFrame } from "../flow/shared_frame.ts";
import { BINARY, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8 } from "../protocol/utf8.ts";
import { toBytes } from "../util/bytes.ts";

/**
 * Anything that can be sent: a message, or a message that was encoded before.
 *
 * @see {@linkcode PreparedMessage}
 */
export type Sendable = Message | PreparedMessage;

let make: (frame: SharedFrame) => PreparedMessage;
let frameOf: (message: PreparedMessage) => SharedFrame;

/**
 * A message that was encoded once and can be sent any number of times: `ctx.prepare()` makes it, and `send`,
 * `broadcast` and `publish` take it.
 *
 * - It is a snapshot: the original data may change afterwards.
 * - Server connections share its bytes. Clients gain nothing, since they mask each frame with a new key (RFC 6455 5.3).
 *
 * @example Send the same to some
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const price = ctx.prepare(JSON.stringify({ eur: 1.08 }));
 * for (const conn of ctx.connections) conn.send(price);
 * console.log(price.type, price.byteLength); // "text" 12
 * ```
 */
export class PreparedMessage {
  static {
    make = (frame) => new PreparedMessage(frame);
    frameOf = (message) => message.#frame;
  }

  readonly #frame: SharedFrame;

  private constructor(frame: SharedFrame) {
    this.#frame = frame;
  }

  /** Whether it is a text or a binary message. */
  get type(): "text" | "binary" {
    return this.#frame.opcode === TEXT ? "text" : "binary";
  }

  /** The length of the payload in bytes. */
  get byteLength(): number {
    return this.#frame.length;
  }
}

/** Encodes a message that is to be sent later. */
export function prepareMessage(data: Message): PreparedMessage {
  return make(SharedFrame.standalone(opcodeOf(data), payloadOf(data)));
}

/** The frame of a prepared message. */
export function preparedFrame(message: PreparedMessage): SharedFrame {
  return frameOf(message);
}

/** The frame of a message that is sent to many connections now. */
export function frameForMany(data: Sendable): SharedFrame {
  return data instanceof PreparedMessage
    ? frameOf(data).copyToSlab()
    : SharedFrame.inSlab(opcodeOf(data), payloadOf(data));
}

function opcodeOf(data: Message): number {
  return typeof data === "string" ? TEXT : BINARY;
}

function payloadOf(data: Message): Uint8Array {
  return typeof data === "string" ? encodeUtf8(data) : toBytes(data);
}
