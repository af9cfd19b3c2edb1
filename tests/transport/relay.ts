import { join } from "../support/bytes.ts";
import { writeAll } from "./streams.ts";
import { turn } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

/** A direction: towards the server or towards the client. */
export type Direction = "up" | "down";

/** A relay for one TCP connection that records the bytes, and can change them. */
export class Relay implements Disposable {
  /** The port that it listens on. */
  readonly port: number;
  /** Resolves when both directions have ended. */
  readonly over: Promise<void>;
  /** Changes passing bytes; by default it doesn't. */
  change: (direction: Direction, bytes: Uint8Array) => Uint8Array = (_direction, bytes) => bytes;
  /** If it is set, this number of bytes is passed towards the server at a time, with `rest` in between. */
  drip = 0;
  /** What is awaited between two pieces. */
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

  /** The bytes that were passed in a direction. */
  passed(direction: Direction): Uint8Array {
    return join(this.#passed[direction]);
  }

  /** Clears the recorded bytes. */
  forget(): void {
    this.#passed.up.length = this.#passed.down.length = 0;
  }

  /** Resolves when the end that sends in a direction has closed. */
  ended(direction: Direction): Promise<void> {
    return this.#ends[direction].promise;
  }

  /** Inserts bytes into a direction. */
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
        await mayFail(writeAll(to, piece), "the receiver may have closed");
        at += piece.length;
        if (drip > 0) await this.rest();
      }
    }
    this.#ends[direction].resolve();
    await mayFail(to.closeWrite(), "the receiver may have closed");
  }

  /** Closes both connections. */
  [Symbol.dispose](): void {
    for (const conn of this.#conns.splice(0)) conn.close();
  }
}
