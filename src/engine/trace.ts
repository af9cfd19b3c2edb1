import { closeCodeName, decodeClosePayload } from "../protocol/close_code.ts";
import { refusal } from "../util/check.ts";
import { SendQueue } from "../flow/send_queue.ts";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  FIN,
  PING,
  RSV1,
  RSV2,
  RSV3,
  TEXT,
} from "../protocol/opcode.ts";
import { callForeign } from "../util/foreign.ts";
import { printable, quote } from "../util/quote.ts";

type Fields = Iterable<readonly [name: string, value: string]>;

/** Writes a line of a trace. */
export type TraceWriter = (line: string) => void;

// Headers whose values must not be logged.
const SECRET = /^(authorization|proxy-authorization|cookie|set-cookie)$/i;
const LONGEST_REASON = 40;

let fromEnvironment: boolean | undefined;
let counter = 0;

/** Reads the option `debug`. Without it `SLUICE_DEBUG` decides, if the variable may be read without a prompt. */
export function resolveDebug(
  action: string,
  debug: boolean | TraceWriter | undefined,
): TraceWriter | null {
  if (typeof debug === "function") return debug;
  if (debug !== undefined && typeof debug !== "boolean") {
    throw refusal(`${action} with debug`, debug, "true, false or a function");
  }
  return debug ?? (fromEnvironment ??= readEnvironment()) ? toConsole : null;
}

function readEnvironment(): boolean {
  const variable = "SLUICE_DEBUG";
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" && Deno.env.get(variable) === "1";
}

function toConsole(line: string): void {
  console.error(line);
}

/** The trace of one connection for people: a line for each event. */
export class Trace {
  readonly #write: TraceWriter;
  readonly #name: string;
  #obstacle: string | null = null;
  #sendObstacle: string | null = null;

  /** @param role Our role, which each line names, together with a number. */
  constructor(write: TraceWriter, role: string) {
    this.#write = write;
    this.#name = `[sluice ${++counter} ${role}]`;
  }

  /** Writes a line. */
  line(text: string): void {
    // Most of the text comes from the peer.
    const shown = `${this.#name} ${printable(text)}`;
    // An error in the debug function must not change what happens.
    callForeign(() => this.#write(shown), (error) => {
      console.error("A debug function failed:", error);
    });
  }

  /** The handshake is complete. */
  opened(url: string, request: Fields | null, response: Fields): void {
    this.line(`handshake ${url}`);
    if (request !== null) this.#headers("request", request);
    this.#headers("response", response);
    this.line("state open");
  }

  /** Writes a line when the reason for not reading has changed; `null` for none. */
  reading(obstacle: string | null): void {
    if (obstacle === this.#obstacle) return;
    this.#obstacle = obstacle;
    this.line(obstacle === null ? "reading continues" : `reading stops: ${obstacle}`);
  }

  /** Writes a line when the reason for not writing has changed; `null` for none. */
  writing(obstacle: string | null): void {
    if (obstacle === this.#sendObstacle) return;
    this.#sendObstacle = obstacle;
    this.line(obstacle === null ? "writing continues" : `writing stops: ${obstacle}`);
  }

  /** A frame was received, or queued to be sent. */
  frame(direction: "<-" | "->", first: number, length: number): void {
    this.line(`${direction} ${describe(first)} ${length} bytes`);
  }

  /** A control frame was received or sent; a close frame is shown with its code and reason. */
  control(direction: "<-" | "->", opcode: number, payload: Uint8Array): void {
    let text = "";
    if (opcode === CLOSE) {
      try {
        const { code, reason } = decodeClosePayload(payload);
        text = ` ${code} (${closeCodeName(code)}) ${quote(reason, LONGEST_REASON)}`;
      } catch {
        text = " malformed";
      }
    }
    this.line(`${direction} ${describe(FIN | opcode)} ${payload.length} bytes${text}`);
  }

  #headers(whose: string, headers: Fields): void {
    for (const [name, value] of headers) {
      this.line(`  ${whose} ${name.toLowerCase()}: ${SECRET.test(name) ? "(hidden)" : value}`);
    }
  }
}

/** A send queue that traces its changes. Connections without a trace use the plain queue, at no cost. */
export class TracedQueue extends SendQueue {
  readonly #trace: Trace;
  readonly #whyNotWriting: () => string | null;
  #printed = false; // a long text is pushed as bytes, and printed there

  constructor(
    nextKey: (() => number) | null,
    trace: Trace,
    whyNotWriting: () => string | null,
  ) {
    super(nextKey);
    this.#trace = trace;
    this.#whyNotWriting = whyNotWriting;
  }

  override push(first: number, payload: Uint8Array, messages: number, owned: boolean): void {
    super.push(first, payload, messages, owned);
    if ((first & 0x0f) === CLOSE) this.#trace.control("->", CLOSE, payload);
    else this.#queued(first, payload.length);
  }

  override defer(): boolean {
    return false;
  }

  override pushText(first: number, text: string, messages: number, room: number): number {
    this.#printed = false;
    const length = super.pushText(first, text, messages, room);
    if (length >= 0 && !this.#printed) this.#queued(first, length);
    return length;
  }

  override insertAt(
    ...args: Parameters<SendQueue["insertAt"]>
  ): ReturnType<SendQueue["insertAt"]> {
    const { bytes } = args[1];
    const placeholder = super.insertAt(...args);
    this.#trace.line(`-> a part of a stream, ${bytes} bytes; ${this.#state()}`);
    return placeholder;
  }

  override taken(...args: Parameters<SendQueue["taken"]>): void {
    super.taken(...args);
    this.#trace.line(this.#state());
    this.#trace.writing(this.#whyNotWriting());
  }

  #queued(first: number, length: number): void {
    this.#printed = true;
    this.#trace.frame("->", first, length);
    this.#trace.line(this.#state());
    this.#trace.writing(this.#whyNotWriting());
  }

  #state(): string {
    return `queue ${this.bytes} bytes, ${this.messages} messages`;
  }
}

function describe(first: number): string {
  const names: Record<number, string> = {
    [CONTINUATION]: "continuation",
    [TEXT]: "text",
    [BINARY]: "binary",
    [CLOSE]: "close",
    [PING]: "ping",
  };
  let text = names[first & 0x0f] ?? "pong";
  if ((first & FIN) === 0) text += " unfinished";
  if ((first & RSV1) !== 0) text += " rsv1";
  if ((first & RSV2) !== 0) text += " rsv2";
  if ((first & RSV3) !== 0) text += " rsv3";
  return text;
}
