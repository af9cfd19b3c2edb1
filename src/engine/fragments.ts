import { InvalidStateError, type Message } from "../errors.ts";
import { BINARY, CONTINUATION, FIN, RSV1, TEXT } from "../protocol/opcode.ts";
import { NOTHING } from "../util/bytes.ts";
import { PieceEncoder } from "./piece_encoder.ts";
import { flag, group, numberRefusal } from "../util/check.ts";
import { checkRsv, type RsvBits } from "./rsv_bits.ts";
import type { Fragment, Sender } from "./sender.ts";

/**
 * Options of `sendFragment`.
 *
 * @example
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
 * conn.sendFragment("in ");
 * conn.sendFragment("parts", { final: true });
 * console.log(await conn.receive()); // "in parts"
 * ```
 */
export interface FragmentOptions {
  /** Whether the message is binary; the first fragment decides. Default: text if that fragment is a string. */
  binary?: boolean;
  /**
   * Whether this fragment ends the message.
   *
   * @default {false}
   */
  final?: boolean;
  /**
   * Whether to compress the message; the first fragment decides. Without an agreement on compression it has no effect.
   * Default: yes.
   */
  compress?: boolean;
}

/**
 * A raw data frame, for `sendFrame`.
 *
 * @experimental It may change in a minor release.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context({ allowRsv: { rsv2: true } });
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onMessage: (conn, _data, header) => void conn.send(`rsv2: ${header!.rsv2}`),
 * });
 * const conn = ctx.connect(listener.url);
 * await conn.opened;
 * conn.sendFrame({ opcode: 1, payload: "marked", rsv2: true });
 * console.log(await conn.receive());
 * ```
 */
export interface OutgoingFrame extends RsvBits {
  /** 1 for text, 2 for binary, 0 to continue the unfinished message. */
  opcode: number;
  /** The payload; a string is sent as UTF-8. Default: none. */
  payload?: Message;
  /**
   * Whether this frame ends its message.
   *
   * @default {true}
   */
  fin?: boolean;
}

/** Sends a part of a message. */
export function sendFragment(
  sender: Sender,
  data: Message,
  options: FragmentOptions,
): boolean {
  group("send a fragment", "options", options, "an object");
  const final = flag("send a fragment", "final", options.final, false);
  flag("send a fragment", "binary", options.binary, false);
  flag("send a fragment", "compress", options.compress, false);
  sender.checkOpen("send", data);
  const message: Fragment = sender.fragment ?? {
    encoder: new PieceEncoder("a fragment", options.binary ?? typeof data !== "string", false),
    started: false,
    compressed: false,
  };
  const { encoder } = message, { deflater } = sender;
  const bytes = encoder.encode(data, final, !final);
  if (bytes.length > sender.room) return sender.overflowInMessage(data);
  let first = message.started ? CONTINUATION : encoder.binary ? BINARY : TEXT;
  if (!message.started && deflater !== null) {
    // The length of the whole message isn't known yet, but one that comes in parts is rarely short.
    message.compressed = options.compress ?? (!final || deflater.wants(bytes.length, undefined));
    if (message.compressed) first |= RSV1;
  }
  if (final) first |= FIN;
  if (message.compressed) deflater!.push(first, bytes, final, typeof data === "string");
  else sender.queue.push(first, bytes, final ? 1 : 0, false);
  return queued(sender, message, final);
}

/** Sends one data frame exactly as given. */
export function sendFrame(sender: Sender, frame: OutgoingFrame): boolean {
  group("send a frame", "the frame", frame, "{ opcode, payload, … }");
  const { opcode, payload = NOTHING } = frame;
  const fin = flag("send a frame", "fin", frame.fin, true);
  if (opcode !== CONTINUATION && opcode !== TEXT && opcode !== BINARY) {
    const allowed = "0, 1 or 2, or ping, pong and close";
    throw numberRefusal("send a frame with opcode", opcode, allowed);
  }
  const rsv = checkRsv("send a frame", frame, sender.settings.allowedRsv);
  sender.checkOpen("send", payload);
  const open = sender.fragment;
  if (opcode !== CONTINUATION && open !== null) sender.refuse(payload);
  if (opcode === CONTINUATION && open === null) {
    throw new InvalidStateError("Cannot send a continuation: there is no unfinished message");
  }
  if (open?.compressed) {
    throw new InvalidStateError(
      "Cannot send a raw frame in the middle of a message that is being compressed",
    );
  }
  const message: Fragment = open ?? {
    // A payload that an extension has transformed needn't be UTF-8.
    encoder: new PieceEncoder("a frame", opcode === BINARY, rsv !== 0),
    started: false,
    compressed: false,
  };
  const bytes = message.encoder.encode(payload, fin, false);
  if (bytes.length > sender.room) {
    // Only a whole message can be dropped.
    return fin && open === null ? sender.overflow(payload) : sender.overflowInMessage(payload);
  }
  sender.queue.push((fin ? FIN : 0) | rsv | opcode, bytes, fin ? 1 : 0, false);
  return queued(sender, message, fin);
}

/** A frame of a message is queued. */
function queued(sender: Sender, message: Fragment, final: boolean): boolean {
  message.started = true;
  message.encoder.advance();
  sender.fragment = final ? null : message;
  if (final) sender.queue.resume();
  return sender.queued(final ? 1 : 0);
}
