import { join } from "../support/bytes.ts";
import { writeAll } from "./streams.ts";
import { turn } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

/** A direction: towards the server or towards the client. */
export type Direction = "up" | "down";

/** A relay for one TCP connection, which keeps what passed and can change it. */
export class Relay implements Disposable {
  /** Where it listens. */
  readonly port: number;
  /** Settles when both directions have ended. */
  readonly over: Promise<void>;
  /** Changes what passes; by default nothing. */
  change: (direction: Direction, bytes: Uint8Array) => Uint8Array = (_direction, bytes) => bytes;
  /** From when it is set, this many bytes at a time pass towards the server, and `rest` comes in between. */
  drip = 0;
  /** What is waited for between two drips. */
  rest: () => Promise<void> = turn;
  readonly #passed: Record<Direction, Uint8Array[]> = { up: [], down: [] };
  readonly #ends: Record<Direction, PromiseWithResolvers<void>> = {
    up: Promise.withResolvers(),
    down: Promise.withResolvers(),
  };
  readonly #conns: Deno.Conn[] = [];

  /** @param target The port that it relays to. */
  constructor(target: number) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = listener.addr.port;
    this.over = this.#run(listener, target);
  }

  /** What has passed in a direction. */
  passed(direction: Direction): Uint8Array {
    return join(this.#passed[direction]);
  }

  /** Forgets what has passed. */
  forget(): void {
    this.#passed.up.length = this.#passed.down.length = 0;
  }

  /** Settles when the end that sends in a direction has closed. */
  ended(direction: Direction): Promise<void> {
    return this.#ends[direction].promise;
  }

  /** Puts bytes among those that pass. */
  async inject(direction: Direction, bytes: Uint8Array): Promise<void> {
    await writeAll(this.#conns[direction === "up" ? 1 : 0], bytes);
  }

  async #run(listener: Deno.TcpListener, target: number): Promise<void> {
    const near = await listener.accept();
    listener.close();
    const far = await Deno.connect({ hostname: "127.0.0.1", port: target });
    near.setNoDelay(true);
    far.setNoDelay(true);
    this.#conns.push(near, far);
    await Promise.all([this.#pass("up", near, far), this.#pass("down", far, near)]);
    this[Symbol.dispose]();
  }

  async #pass(direction: Direction, from: Deno.Conn, to: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(65536);
    for (;;) {
      const count = await mayFail(from.read(buffer), "a reset is an end") ?? null;
      if (count === null) break;
      const bytes = this.change(direction, buffer.subarray(0, count));
      this.#passed[direction].push(bytes.slice());
      for (let at = 0; at < bytes.length;) {
        const drip = direction === "up" ? this.drip : 0;
        const piece = bytes.subarray(at, drip > 0 ? at + drip : bytes.length);
        await mayFail(writeAll(to, piece), "the end it goes to may have closed");
        at += piece.length;
        if (drip > 0) await this.rest();
      }
    }
    this.#ends[direction].resolve();
    await mayFail(to.closeWrite(), "the end it goes to may have closed");
  }

  /** Closes both connections. */
  [Symbol.dispose](): void {
    for (const conn of this.#conns.splice(0)) conn.close();
  }
}
