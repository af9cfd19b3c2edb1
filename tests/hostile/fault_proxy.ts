import { seeded } from "../support/random.ts";
import { mayFail } from "../support/failure.ts";

/** What may happen to a connection on its way. */
export type Fault = "none" | "cut" | "reset" | "stall";

/** How a proxy treats its connections; chances are per connection. */
export interface FaultOptions {
  port: number;
  seed: number;
  /** The chance that a connection gets a fault at all. */
  faults: number;
}

const LONGEST_DELAY = 5;
// A cut or a stall comes after so many bytes.
const SPAN = 60_000;

/**
 * A loopback proxy between a client and a server: it delays, splits and merges what passes, and at seeded points cuts one
 * direction (half-open), resets both ends, or stalls for good.
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

  /** Where it listens. */
  get url(): string {
    return `ws://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}/`;
  }

  /** Connections that are open. */
  get size(): number {
    return this.#conns.size;
  }

  /** Ends everything, and waits until it has. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#listener.close();
    this.#close();
    for (const conn of this.#conns) this.#drop(conn);
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #run(work: Promise<void>): void {
    const settled: Promise<void> = mayFail(work, "breaking things is what it does")
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

  /** Moves bytes one way. */
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
        // Merged: what comes meanwhile is read at once.
        if (random() < 0.1) await delay(random() * LONGEST_DELAY);
        const count = await from.read(random() < 0.1 ? buffer.subarray(0, 7) : buffer);
        if (count === null) break;
        let data = buffer.subarray(0, count);
        const due = fault !== "none" && passed + count >= at;
        if (due) data = data.subarray(0, Math.max(0, at - passed));
        // Split: in two segments, with a turn of the event loop between them.
        const middle = random() < 0.3 ? Math.floor(random() * data.length) : 0;
        await writeAll(to, data.subarray(0, middle));
        if (middle > 0) await delay(0);
        await writeAll(to, data.subarray(middle));
        passed += count;
        if (!due) continue;
        if (fault === "cut") break;
        // With input unread, closing resets.
        if (fault === "reset") return both();
        // A stall: nothing passes this way any more, and whoever sends is held back until the proxy is closed.
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

async function writeAll(conn: Deno.TcpConn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length;) at += await conn.write(data.subarray(at));
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
