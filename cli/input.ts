import type { Connection } from "../mod.ts";
import { lines } from "./lines.ts";

/** A message to send. */
type Outgoing = string | Uint8Array;

/**
 * The messages of a user, in order. The input outlives a connection: a message that is read when the connection is lost is
 * sent over the next one.
 */
export class Input {
  readonly #source: AsyncIterator<Outgoing>;
  #reading = false;
  #result: IteratorResult<Outgoing, unknown> | null = null;
  #failure: { error: unknown } | null = null;
  #wake = () => {};

  /** @param source The messages. */
  constructor(source: AsyncIterator<Outgoing>) {
    this.#source = source;
  }

  /** Returns the next message without taking it; `null` if the wait was interrupted. */
  async peek(): Promise<IteratorResult<Outgoing, unknown> | null> {
    if (this.#result === null && this.#failure === null) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      if (!this.#reading) this.#read();
      await promise;
    }
    if (this.#failure !== null) throw this.#failure.error;
    return this.#result;
  }

  /** Takes the message of `peek`. */
  take(): void {
    this.#result = null;
  }

  /** Ends the waiting of `peek`. */
  interrupt(): void {
    this.#wake();
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      this.#result = await this.#source.next();
    } catch (error) {
      this.#failure = { error };
    }
    this.#reading = false;
    this.#wake();
  }
}

/** Options for reading messages from standard input. */
export interface InputOptions {
  /** Whether the messages are binary. */
  readonly binary: boolean;
  /** The byte that ends each message. */
  readonly end: number;
}

/** The messages of standard input. */
export async function* standardInput({ binary, end }: InputOptions): AsyncGenerator<Outgoing> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let number = 0;
  for await (const line of lines(Deno.stdin.readable, end)) {
    number++;
    if (binary) {
      yield line;
      continue;
    }
    let text: string;
    try {
      text = decoder.decode(line);
    } catch {
      throw new Error(`Cannot send line ${number} as text: it isn't valid UTF-8 (see --binary)`);
    }
    yield text;
  }
}

/**
 * Sends messages as fast as the server accepts them.
 *
 * @returns Whether all messages were sent; if not, the connection has ended.
 */
export async function pump(conn: Connection, input: Input): Promise<boolean> {
  conn.closed.then(() => input.interrupt());
  for (;;) {
    const next = await input.peek();
    if (conn.state !== "open") return false;
    if (next === null) continue;
    if (next.done) return true;
    input.take();
    if (!conn.send(next.value)) await conn.drained().catch(() => {});
  }
}
