import { MemoryConn } from "./memory_conn.ts";
import type { ByteStream } from "./raw_peer.ts";
import { mayFail } from "./failure.ts";

/**
 * An end of a pipe in memory that records what is written, and every misuse: two reads or two writes at the same time, and
 * calls after `close`. If it is closed with unread input, it resets the other end, as a kernel does.
 */
export class WatchedConn extends MemoryConn {
  /** The misuses. */
  readonly misuses: string[] = [];
  /** The written bytes. */
  readonly written: Uint8Array[] = [];
  /** The number of bytes that were read. */
  bytesRead = 0;
  /** The most bytes that one read returns or one write accepts. */
  portion = Infinity;
  #reading = false;
  #writing = false;

  override async read(into: Uint8Array): Promise<number | null> {
    this.#check("read", this.#reading);
    this.#reading = true;
    try {
      const count = await super.read(into.subarray(0, this.portion));
      this.bytesRead += count ?? 0;
      return count;
    } finally {
      this.#reading = false;
    }
  }

  override async write(data: Uint8Array): Promise<number> {
    this.#check("write", this.#writing);
    if (this.outgoing.ended && this.closes === 0) this.misuses.push("write after closeWrite");
    this.#writing = true;
    try {
      const count = await super.write(data.subarray(0, this.portion));
      this.written.push(data.slice(0, count));
      return count;
    } finally {
      this.#writing = false;
    }
  }

  override closeWrite(): Promise<void> {
    this.#check("closeWrite", false);
    return super.closeWrite();
  }

  override close(): void {
    if (this.closes > 0) this.misuses.push("a second close");
    if (this.incoming.held > 0) this.outgoing.broken = true;
    super.close();
  }

  #check(what: string, again: boolean): void {
    if (this.closes > 0) this.misuses.push(`${what} after close`);
    else if (again) this.misuses.push(`a second ${what}`);
  }
}

/** Makes a pair of WHATWG streams from a connection. */
export function streamsOf(
  conn: ByteStream & { closeWrite(): Promise<void> },
): { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> } {
  const open = new Set(["in", "out"]);
  // The connection is closed after both directions have ended.
  const over = (side: string) => {
    if (open.delete(side) && open.size === 0) conn.close();
  };
  return {
    readable: new ReadableStream<Uint8Array>({
      async pull(controller) {
        const buffer = new Uint8Array(16 * 1024);
        let count: number | null;
        try {
          count = await conn.read(buffer);
        } catch (error) {
          over("in");
          throw error;
        }
        if (count !== null) controller.enqueue(buffer.subarray(0, count));
        else {
          controller.close();
          over("in");
        }
      },
      cancel: () => over("in"),
    }, { highWaterMark: 0 }),
    writable: new WritableStream<Uint8Array>({
      async write(chunk) {
        try {
          for (let at = 0; at < chunk.length;) at += await conn.write(chunk.subarray(at));
        } catch (error) {
          over("out");
          throw error;
        }
      },
      async close() {
        await mayFail(conn.closeWrite(), "the other side may have closed");
        over("out");
      },
      abort: () => over("out"),
    }),
  };
}
