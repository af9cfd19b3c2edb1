import type { MessageDeflater } from "../deflate/message_deflater.ts";
import type { Engine } from "./engine.ts";
import type { SendQueue } from "../flow/send_queue.ts";
import { InvalidStateError, type Message, QueueFullError } from "../errors.ts";
import { BINARY, CONTINUATION, FIN, RSV1, TEXT } from "../protocol/opcode.ts";
import { encodeUtf8, isUtf8, Utf8Validator } from "../protocol/utf8.ts";
import { concat, toBytes } from "../util/bytes.ts";

/** A message that is being sent in fragments. */
export interface OpenMessage {
  readonly binary: boolean;
  /** Whether its first frame has gone out. */
  started: boolean;
  /** Whether it goes compressed. */
  packed: boolean;
  /** A high surrogate whose other half is still to come. */
  carry: string;
  /** Checks text that is given as bytes. */
  utf8: Utf8Validator;
  /** Whether its bytes aren't checked, since an extension of the application's has transformed them. */
  readonly opaque: boolean;
}

/** Sends a whole message; `opcode` fixes its type where the data don't. */
export function sendMessage(
  engine: Engine,
  data: Message,
  opcode: number,
  owned: boolean,
  compress?: boolean,
): boolean {
  checkSendable(engine, data);
  const { queue, deflater: packer, settings: { maxQueueBytes } } = engine;
  const room = roomOf(queue, maxQueueBytes);
  if (packer !== null && compress !== false) {
    return sendPacked(engine, packer, data, opcode, owned, compress, room);
  }
  if (typeof data === "string" && opcode === TEXT) {
    if (queue.pushText(FIN | TEXT, data, 1, room) < 0) return overflow(engine, data);
  } else {
    const bytes = typeof data === "string" ? encodeUtf8(data) : toBytes(data);
    if (bytes.length > room) return overflow(engine, data);
    queue.push(FIN | opcode, bytes, 1, owned);
  }
  engine.messagesSent++;
  engine.queued();
  return queue.bytes <= engine.settings.highWaterMark;
}

// Messages without payload would be free to pile up, so there may be no more messages than bytes; but so many always.
const MIN_QUEUED_MESSAGES = 1024;

/** The payload that a queue has room for; negative for not even an empty message. */
export function roomOf(queue: SendQueue, maxQueueBytes: number): number {
  if (maxQueueBytes === 0) return Infinity;
  if (queue.messages >= maxQueueBytes && queue.messages >= MIN_QUEUED_MESSAGES) return -1;
  return maxQueueBytes - queue.bytes;
}

/** Sends a whole message where compression was agreed: compressed, unless it is too short for that. */
function sendPacked(
  engine: Engine,
  packer: MessageDeflater,
  data: Message,
  opcode: number,
  owned: boolean,
  compress: boolean | undefined,
  room: number,
): boolean {
  const { queue } = engine;
  let bytes: Uint8Array;
  if (typeof data === "string") {
    if (data.length > room) return overflow(engine, data);
    bytes = packer.encode(data);
    owned = packer.isOwn(bytes);
  } else {
    bytes = toBytes(data);
  }
  if (bytes.length > room) return overflow(engine, data);
  if (packer.wants(bytes.length, compress)) {
    packer.push(FIN | RSV1 | opcode, bytes, true, owned);
  } else {
    queue.push(FIN | opcode, bytes, 1, owned);
  }
  engine.messagesSent++;
  engine.queued();
  return queue.bytes <= engine.settings.highWaterMark;
}

/** Sends a part of a message. */
export function sendFragment(
  engine: Engine,
  data: Message,
  options: { binary?: boolean; final?: boolean; compress?: boolean },
): boolean {
  if (engine.state !== "open" || engine.writeShut) refuseNow(engine, data);
  const final = options.final ?? false;
  const message = engine.openMessage ??
    {
      binary: options.binary ?? typeof data !== "string",
      started: false,
      packed: false,
      carry: "",
      utf8: new Utf8Validator(),
      opaque: false,
    };
  let carry = "", bytes: Uint8Array;
  if (typeof data === "string") {
    let text = message.carry + data;
    if (!final && !message.binary && isHighSurrogate(text.charCodeAt(text.length - 1))) {
      carry = text.slice(-1);
      text = text.slice(0, -1);
    }
    bytes = encodeUtf8(text);
  } else {
    bytes = toBytes(data);
    if (message.carry !== "") bytes = concat([encodeUtf8(message.carry), bytes]);
  }
  const { queue, settings } = engine;
  if (settings.maxQueueBytes !== 0 && queue.bytes + bytes.length > settings.maxQueueBytes) {
    // A message can't go out with a hole in it, so there is nothing to drop.
    if (settings.whenQueueFull === "close") return overflow(engine, data);
    throw queueFull(engine, data);
  }
  if (!message.binary && !message.opaque) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // On a copy: a refused fragment leaves the message as it was.
    const utf8 = message.utf8.copy();
    if (!utf8.push(view, 0, bytes.length) || (final && !utf8.complete)) {
      throw new TypeError("Cannot send a fragment of a text message that is not UTF-8");
    }
    message.utf8 = utf8;
  }
  const { deflater: packer } = engine;
  let first = message.started ? CONTINUATION : message.binary ? BINARY : TEXT;
  if (!message.started && packer !== null) {
    // How long the whole will be isn't known, but that it comes in parts says that it isn't short.
    message.packed = options.compress ?? (!final || packer.wants(bytes.length, undefined));
    if (message.packed) first |= RSV1;
  }
  if (final) first |= FIN;
  if (message.packed) packer!.push(first, bytes, final, typeof data === "string");
  else queue.push(first, bytes, final ? 1 : 0, false);
  message.started = true;
  message.carry = carry;
  engine.openMessage = final ? null : message;
  if (final) {
    engine.messagesSent++;
    queue.resume();
  }
  engine.queued();
  return queue.bytes <= settings.highWaterMark;
}

/** Bytes that are to be sent as text: they must be UTF-8. */
export function checkText(data: Message): Message {
  if (typeof data !== "string" && !isUtf8(toBytes(data))) {
    throw new TypeError("Cannot send bytes as text that are not UTF-8");
  }
  return data;
}

/** Throws unless a whole message may be sent now. */
export function checkSendable(engine: Engine, data: unknown): void {
  if (engine.state !== "open" || engine.openMessage !== null) refuseNow(engine, data);
}

/** Stands for an unfinished message for ever, where nothing can be sent any more though the connection is open. */
export const NO_MORE: OpenMessage = {
  binary: true,
  started: true,
  carry: "",
  utf8: new Utf8Validator(),
  opaque: true,
  packed: false,
};

/** Throws what says why nothing can be sent now. */
export function refuseNow(engine: Engine, data: unknown): never {
  if (engine.state !== "open" || engine.writeShut) throw engine.closedError("send", data);
  throw new InvalidStateError(
    "Cannot send amid an unfinished fragmented message: end it with sendFragment(data, { final: true })",
  );
}

/** The error of a queue that is at its limit. */
export function queueFull(engine: Engine, data: unknown): QueueFullError {
  const { queue, settings } = engine;
  return new QueueFullError(
    `Cannot queue the message: ${queue.bytes} of ${settings.maxQueueBytes} bytes are queued`,
    data,
  );
}

/** What the queue policy says about a message that doesn't fit. */
export function overflow(engine: Engine, data: unknown): false {
  const error = queueFull(engine, data);
  switch (engine.settings.whenQueueFull) {
    case "throw":
      throw error;
    case "drop":
      engine.dropped++;
      return false;
    case "close":
      engine.overflow(error);
      return false;
  }
}

/** Whether a code unit is the first half of a surrogate pair. */
export function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
