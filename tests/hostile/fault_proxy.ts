import { seeded } from "../support/random.ts";
import { mayFail } from "../support/failure.ts";
import { writeAll } from "../transport/streams.ts";

/** A fault of a connection. */
export type Fault = "none" | "cut" | "reset" | "stall";

/** Options of the proxy. Probabilities are per connection. */
export interface FaultOptions {
  port: number;
  seed: number;
  /** The probability that a connection gets a fault at all. */
  faults: number;
}

const LONGEST_DELAY = 5;
// The largest number of bytes before a cut or a stall.
const SPAN = 60_000;

/**
 * A loopback proxy between clients and a server. It delays, splits and merges segments. At seeded points it cuts one direction
 * (half-open), resets both ends, or stalls for ever.
 */
export class FaultProxy {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #options: FaultOptions;
  readonly #conns = new Set<Deno.TcpConn>();
  readonly #running = new Set<Promise<void>>();
  readonly #closing: Promise<void>;
  #close: () => void = () => {};
  #count = 0;
  #closed = false;

  constructor(options: FaultOptions) {
    this.#options = options;
    this.#closing = new Promise((resolve) => this.#close = resolve);
    this.#run(this.#accept());
  }

  /** The URL of the proxy. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}/`;
  }

  /** The number of open connections. */
  get size(): number {
    return this.#conns.size;
  }

  /** Closes all connections, and waits until they have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    this.#close();
    for (const conn of this.#conns) this.#drop(conn);
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #run(work: Promise<void>): void {
    const settled: Promise<void> = mayFail(work, "the proxy breaks connections on purpose")
      .then(() => void this.#running.delete(settled));
    this.#running.add(settled);
  }

  async #accept(): Promise<void> {
    while (!this.#closed) {
      const client = await this.#listener.accept();
      const random = seeded(this.#options.seed * 7919 + this.#count++);
      this.#run(this.#serve(client, random));
    }
  }

  async #serve(client: Deno.TcpConn, random: () => number): Promise<void> {
    this.#conns.add(client);
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.#options.port });
    } catch {
      this.#drop(client);
      return;
    }
    this.#conns.add(server);
    if (this.#closed) this.#drop(client), this.#drop(server);
    const fault: Fault = random() >= this.#options.faults
      ? "none"
      : (["cut", "reset", "stall"] as const)[Math.floor(random() * 3)];
    const upward = random() < 0.5, at = 200 + Math.floor(random() * SPAN);
    const both = () => {
      this.#drop(client);
      this.#drop(server);
    };
    await Promise.all([
      this.#pass(client, server, random, upward ? fault : "none", at, both),
      this.#pass(server, client, random, upward ? "none" : fault, at, both),
    ]);
    both();
  }

  /** Passes bytes in one direction. */
  async #pass(
    from: Deno.TcpConn,
    to: Deno.TcpConn,
    random: () => number,
    fault: Fault,
    at: number,
    both: () => void,
  ): Promise<void> {
    const buffer = new Uint8Array(32 * 1024);
    let passed = 0;
    try {
      for (;;) {
        // Merge: bytes that arrive in the meantime are read at once.
        if (random() < 0.1) await delay(random() * LONGEST_DELAY);
        const count = await from.read(random() < 0.1 ? buffer.subarray(0, 7) : buffer);
        if (count === null) break;
        let data = buffer.subarray(0, count);
        const due = fault !== "none" && passed + count >= at;
        if (due) data = data.subarray(0, Math.max(0, at - passed));
        // Split: two segments, with a turn of the event loop in between.
        const middle = random() < 0.3 ? Math.floor(random() * data.length) : 0;
        await writeAll(to, data.subarray(0, middle));
        if (middle > 0) await delay(0);
        await writeAll(to, data.subarray(middle));
        passed += count;
        if (!due) continue;
        if (fault === "cut") break;
        // Closing with unread input sends a reset.
        if (fault === "reset") return both();
        // Stall: nothing is passed in this direction any more, so the sender has to wait until the proxy is closed.
        return await this.#closing;
      }
      await to.closeWrite();
    } catch {
      both();
    }
  }

  #drop(conn: Deno.TcpConn): void {
    if (!this.#conns.delete(conn)) return;
    try {
      conn.close();
    } catch {
      // It is closed already.
    }
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
