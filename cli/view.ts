import type { CloseRecord, Connection, HandshakeError, ReceivedMessage } from "../mod.ts";
import { printable } from "../src/util/quote.ts";
import { failureOf } from "./failure.ts";
import { hexLine, jsonMessage } from "./format.ts";
import { oneLine } from "./lines.ts";
import type { Terminal } from "./terminal.ts";

/** Shows the events of `sluice connect`. A returned promise settles when there is room for more output. */
export interface View {
  opened(conn: Connection): void;
  message(data: ReceivedMessage): Promise<void> | undefined;
  roundTrip(ms: number): void;
  closed(close: CloseRecord): void;
  retry(error: unknown, delay: number): void;
  /** The handshake was refused, and headers are to be shown. */
  refused(error: HandshakeError): void;
}

/** Options of a view. */
export interface ViewOptions {
  readonly binary: boolean;
  /** The byte that ends each message. */
  readonly end: number;
  readonly headers: boolean;
}

/** Prints a line per message on standard output, and remarks on standard error. */
export class PlainView implements View {
  protected readonly terminal: Terminal;
  protected readonly options: ViewOptions;
  // A server's text must not control the terminal; a pipe gets it unchanged.
  readonly #tame = Deno.stdout.isTerminal();
  readonly #end: Uint8Array;

  constructor(terminal: Terminal, options: ViewOptions) {
    this.terminal = terminal;
    this.options = options;
    this.#end = new Uint8Array([options.end]);
  }

  opened(conn: Connection): void {
    const { url, protocol, extensions } = conn;
    const agreed = [protocol && `subprotocol ${protocol}`, extensions].filter(Boolean).join(", ");
    this.remark(`connected to ${url}${agreed && ` (${agreed})`}`);
    if (this.options.headers) this.#showHeaders(conn.responseHeaders);
  }

  message(data: ReceivedMessage): Promise<void> | undefined {
    const { binary, end } = this.options;
    const { out } = this.terminal;
    if (typeof data !== "string") return binary ? out.write(data.slice()) : out.line(hexLine(data));
    if (end === 0) {
      out.write(new TextEncoder().encode(data));
      return out.write(this.#end);
    }
    return out.line(this.#tame ? printable(oneLine(data)) : oneLine(data));
  }

  roundTrip(ms: number): void {
    this.remark(`ping: ${ms.toFixed(2)} ms`);
  }

  closed(close: CloseRecord): void {
    this.remark(`closed: ${close}`);
  }

  retry(error: unknown, delay: number): void {
    this.remark(`${failureOf(error).message}; again in ${(delay / 1000).toFixed(1)} s`);
  }

  refused({ headers }: HandshakeError): void {
    this.#showHeaders(headers);
  }

  /** Prints a remark. */
  protected remark(text: string): void {
    this.terminal.note(text);
  }

  #showHeaders(headers: Headers | null): void {
    for (const [name, value] of headers ?? []) this.remark(`${name}: ${value}`);
  }
}

/** Prints an object per event on standard output. */
export class JsonView implements View {
  readonly #terminal: Terminal;
  readonly #options: ViewOptions;

  constructor(terminal: Terminal, options: ViewOptions) {
    this.#terminal = terminal;
    this.#options = options;
  }

  opened({ url, protocol, extensions, responseHeaders }: Connection): void {
    const headers = this.#options.headers ? { headers: [...responseHeaders ?? []] } : {};
    this.#terminal.event({ type: "open", url, protocol, extensions, ...headers });
    this.#terminal.note(`connected to ${url}`);
  }

  message(data: ReceivedMessage): Promise<void> | undefined {
    return this.#terminal.event(jsonMessage(data));
  }

  roundTrip(roundTrip: number): void {
    this.#terminal.event({ type: "ping", roundTrip });
  }

  closed(close: CloseRecord): void {
    const { code, reason, wasClean, unsentMessages, undelivered } = close;
    this.#terminal.event({ type: "close", code, reason, wasClean, unsentMessages, undelivered });
  }

  retry(error: unknown, delay: number): void {
    this.#terminal.event({ type: "retry", message: failureOf(error).message, delay });
  }

  refused({ status, headers }: HandshakeError): void {
    this.#terminal.event({ type: "refused", status, headers: [...headers] });
  }
}
