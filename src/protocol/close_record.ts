import { closeCodeName, type CloseFrame } from "./close_code.ts";
import { inspectable } from "../util/inspectable.ts";
import { printable, quote } from "../util/quote.ts";

/**
 * How a connection ended.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const listener = ctx.listen({
 *   hostname: "127.0.0.1",
 *   onConnect: (conn) => conn.close(4000, "try later"),
 * });
 * const close = await ctx.connect(listener.url).closed;
 * console.log(`${close}`); // received 4000 (private use) "try later"; sent 4000 …
 * if (close.code === 1006) console.log("lost, because of", close.cause);
 * else if (close.initiator === "remote") console.log(`the server said ${close.reason}`);
 * ```
 */
export interface CloseRecord {
  /** The received code; 1005 if the frame had none, 1006 if no close frame arrived (RFC 6455 7.1.5). */
  readonly code: number;
  /** The received reason; `""` if there was none. */
  readonly reason: string;
  /** Whether both close frames were exchanged. */
  readonly wasClean: boolean;
  /** Our close frame, or `null` if none was sent. */
  readonly sent: CloseFrame | null;
  /** The peer's close frame, or `null` if none was received. */
  readonly received: CloseFrame | null;
  /** The side that sent its close frame first; `null` if there was none. */
  readonly initiator: "local" | "remote" | null;
  /** The error that ended the connection; `undefined` if none did. */
  readonly cause: unknown;
  /** Messages accepted by `send` that the kernel had not fully taken. */
  readonly unsentMessages: number;
  /** Payload bytes accepted by `send` that the kernel had not taken. */
  readonly unsentBytes: number;
  /** Received messages that were not delivered. It falls with each message that an iterator still takes. */
  readonly undelivered: number;
  /** The record as a sentence. */
  toString(): string;
}

/** A record whose count can still fall: an iterator may take messages after the end. */
export interface LiveCloseRecord extends CloseRecord {
  undelivered: number;
}

/** Whether a connection ended as connections should: the peer closed with 1000, 1001 or no code. */
export function isOrderly({ code }: CloseRecord): boolean {
  return code === 1000 || code === 1001 || code === 1005;
}

/** The prototype of all records. */
const RECORD: object = {};
inspectable(
  RECORD,
  (record) => printable(`CloseRecord { ${(record as CloseRecord).code}: ${record} }`),
);

/** Makes the record print as a sentence. */
export function closeRecord(fields: Omit<CloseRecord, "toString">): LiveCloseRecord {
  const record: LiveCloseRecord = { ...fields, toString: sentence };
  return Object.setPrototypeOf(record, RECORD);
}

function sentence(this: CloseRecord): string {
  const frames = [
    this.sent ? `sent ${describe(this.sent)}` : "no close frame sent",
    this.received ? `received ${describe(this.received)}` : "no close frame received",
  ];
  if (this.initiator === "remote") frames.reverse();
  let text = frames.join("; ");
  if (this.cause instanceof Error) text += `: ${this.cause.message}`;
  if (this.unsentMessages > 0) text += `; ${this.unsentMessages} messages unsent`;
  if (this.undelivered > 0) text += `; ${this.undelivered} messages undelivered`;
  return text;
}

function describe({ code, reason }: CloseFrame): string {
  if (code === 1005) return "a close frame without code";
  return `${code} (${closeCodeName(code)})${reason ? ` ${quote(reason)}` : ""}`;
}
