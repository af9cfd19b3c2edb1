import type { Engine } from "./engine.ts";
import { InvalidStateError, type Message } from "../errors.ts";
import { BINARY, CONTINUATION, FIN, RSV1, RSV2, RSV3, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8, isUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { overflow, queueFull, refuseNow } from "./sender.ts";
import { NOTHING, toBytes } from "../util/bytes.ts";

/** Reserved bits of a frame, for an extension of the application's own (RFC 6455 9). */
export interface RsvBits {
  /** The first one, which `permessage-deflate` uses. @default {false} */
  rsv1?: boolean;
  /** The second one. @default {false} */
  rsv2?: boolean;
  /** The third one. @default {false} */
  rsv3?: boolean;
}

/** A raw data frame, for `sendFrame`. */
export interface OutgoingFrame extends RsvBits {
  /** 1 for text, 2 for binary, 0 to continue the message that is unfinished. */
  opcode: number;
  /** Its payload; a string goes as its UTF-8. Default: none. */
  payload?: Message;
  /** Whether it ends its message. @default {true} */
  fin?: boolean;
}

/** The reserved bits of a frame; throws where one isn't allowed. */
export function checkRsv(engine: Engine, action: string, options: RsvBits): number {
  const rsv = (options.rsv1 ? RSV1 : 0) | (options.rsv2 ? RSV2 : 0) | (options.rsv3 ? RSV3 : 0);
  const refused = rsv & ~engine.settings.allowedRsv;
  if (refused !== 0) {
    const name = refused & RSV1 ? "rsv1" : refused & RSV2 ? "rsv2" : "rsv3";
    throw new TypeError(`Cannot ${action} with ${name} set: the connection's allowRsv lacks it`);
  }
  return rsv;
}

/** Sends one data frame as it is given. */
export function sendFrame(engine: Engine, frame: OutgoingFrame): boolean {
  const { opcode, payload = NOTHING, fin = true } = frame;
  if (opcode !== CONTINUATION && opcode !== TEXT && opcode !== BINARY) {
    throw new RangeError(
      `Cannot send a frame with opcode ${opcode}: use 0, 1 or 2, or ping, pong and close`,
    );
  }
  const rsv = checkRsv(engine, "send a frame", frame);
  if (engine.state !== "open" || engine.writeShut) refuseNow(engine, payload);
  const open = engine.openMessage;
  if (opcode !== CONTINUATION && open !== null) refuseNow(engine, payload);
  if (opcode === CONTINUATION && open === null) {
    throw new InvalidStateError("Cannot send a continuation: there is no unfinished message");
  }
  if (open?.packed) {
    throw new InvalidStateError("Cannot send a raw frame amid a message that is being compressed");
  }
  const bytes = typeof payload === "string" ? encodeUtf8(payload) : toBytes(payload);
  const { queue, settings } = engine;
  if (settings.maxQueueBytes !== 0 && queue.bytes + bytes.length > settings.maxQueueBytes) {
    // Only a whole message can be dropped.
    if (fin && open === null) return overflow(engine, payload);
    if (settings.whenQueueFull === "close") return overflow(engine, payload);
    throw queueFull(engine, payload);
  }
  const message = open ?? {
    binary: opcode === BINARY,
    started: true,
    packed: false,
    carry: "",
    utf8: new Utf8Validator(),
    // What an extension has transformed isn't text on its way.
    opaque: opcode === BINARY || rsv !== 0,
  };
  if (!message.binary && !message.opaque) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const valid = open === null && fin
      ? isUtf8(bytes)
      : message.utf8.push(view, 0, bytes.length) && (!fin || message.utf8.complete);
    if (!valid) throw new TypeError("Cannot send a frame of a text message that is not UTF-8");
  }
  message.started = true;
  queue.push((fin ? FIN : 0) | rsv | opcode, bytes, fin ? 1 : 0, false);
  engine.openMessage = fin ? null : message;
  if (fin) engine.messagesSent++;
  engine.queued();
  return queue.bytes <= settings.highWaterMark;
}
