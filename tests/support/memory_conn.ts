// An open byte stream for `adopt`. These two are never used.
const readable = new ReadableStream<Uint8Array<ArrayBuffer>>();
const writable = new WritableStream<Uint8Array<ArrayBufferLike>>();

/** One direction of a pipe. */
class Channel {
  readonly chunks: Uint8Array[] = [];
  held = 0;
  /** Whether the writer has ended its direction. */
  ended = false;
  /** Whether the reader has closed, or the pipe was cut. */
  broken = false;
  #waiting: (() => void)[] = [];

  constructor(readonly capacity: number) {}

  get room(): number {
    return this.capacity - this.held;
  }

  put(data: Uint8Array): number {
    if (this.broken) throw new Deno.errors.BrokenPipe("The other end is closed");
    const count = Math.min(data.length, this.room);
    if (count > 0) {
      // `slice` of a `Buffer` of Node would be a view.
      this.chunks.push(new Uint8Array(data.subarray(0, count)));
      this.held += count;
      this.wake();
    }
    return count;
  }

  take(into: Uint8Array): number {
    const chunk = this.chunks[0], count = Math.min(chunk.length, into.length);
    into.set(chunk.subarray(0, count));
    if (count === chunk.length) this.chunks.shift();
    else this.chunks[0] = chunk.subarray(count);
    this.held -= count;
    this.wake();
    return count;
  }

  /** Resolves at the next change of state. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

type MakeEnd<End> = new (incoming: Channel, outgoing: Channel) => End;

/**
 * One end of a pipe in memory, with the members of a `Deno.Conn`. Each direction holds `capacity` bytes; then writes wait,
 * as with a kernel's buffer. Tests may replace any method by a faulty one.
 */
export class MemoryConn implements Deno.Conn {
  readonly localAddr: Deno.Addr = { transport: "unix", path: "" };
  readonly remoteAddr: Deno.Addr = this.localAddr;
  readonly readable = readable;
  readonly writable = writable;
  /** The number of calls of `close`. */
  closes = 0;
  protected readonly incoming: Channel;
  protected readonly outgoing: Channel;

  constructor(incoming: Channel, outgoing: Channel) {
    this.incoming = incoming;
    this.outgoing = outgoing;
  }

  /** Makes both ends of a pipe. The other end may be of a different class. */
  static pair<End extends MemoryConn, Other extends MemoryConn = MemoryConn>(
    this: MakeEnd<End>,
    capacity = 64 * 1024,
    other: MakeEnd<Other> = MemoryConn as unknown as MakeEnd<Other>,
  ): [End, Other] {
    const there = new Channel(capacity), back = new Channel(capacity);
    return [new this(back, there), new other(there, back)];
  }

  async read(into: Uint8Array): Promise<number | null> {
    const { incoming } = this;
    while (incoming.held === 0) {
      if (this.closes > 0) throw new Deno.errors.BadResource("Bad resource ID");
      if (incoming.broken) throw new Deno.errors.ConnectionReset("Connection reset by peer");
      if (incoming.ended) return null;
      await incoming.changed();
    }
    return incoming.take(into);
  }

  async write(data: Uint8Array): Promise<number> {
    for (;;) {
      if (this.closes > 0) throw new Deno.errors.BadResource("Bad resource ID");
      const count = this.outgoing.put(data);
      if (count > 0) return count;
      await this.outgoing.changed();
    }
  }

  closeWrite(): Promise<void> {
    this.outgoing.ended = true;
    this.outgoing.wake();
    return Promise.resolve();
  }

  close(): void {
    this.closes++;
    this.outgoing.ended = true;
    this.incoming.broken = true;
    this.outgoing.wake();
    this.incoming.wake();
  }

  /** Cuts the pipe: the other end can still read what is buffered, as after a reset. */
  reset(): void {
    this.outgoing.broken = true;
    this.close();
  }

  ref(): void {}
  unref(): void {}
  [Symbol.dispose](): void {
    if (this.closes === 0) this.close();
  }
}

/** An end that reports readiness, and doesn't offer promises for reads and writes. */
export class ReadyConn extends MemoryConn {
  /** The number of calls of `tryRead`, and of those that returned nothing. */
  reads = 0;
  emptyReads = 0;
  /** Whether a reader is waiting for bytes. */
  listening = false;
  /** The number of writes that accepted bytes. */
  writes = 0;
  /** The number of calls of `whenWritable`. */
  waits = 0;
  #ready = () => {};

  override write(): Promise<number> {
    throw new Error("write() was called on a transport that reports readiness");
  }

  tryWrite(data: Uint8Array): number {
    if (this.closes > 0) throw new Deno.errors.BadResource("Bad resource ID");
    const count = this.outgoing.put(data);
    if (count > 0) this.writes++;
    return count;
  }

  whenWritable(ready: () => void): void {
    this.waits++;
    const { outgoing } = this;
    const look = async () => {
      // In a later turn, even if there is room already.
      await new Promise((resolve) => setTimeout(resolve, 0));
      while (outgoing.room === 0 && !outgoing.broken && this.closes === 0) await outgoing.changed();
      ready();
    };
    void look();
  }

  override read(): Promise<number | null> {
    throw new Error("read() was called on a transport that reports readiness");
  }

  tryRead(into: Uint8Array): number | null {
    if (this.closes > 0) throw new Deno.errors.BadResource("Bad resource ID");
    this.reads++;
    const { incoming } = this;
    if (incoming.held > 0) return incoming.take(into);
    if (incoming.broken) throw new Deno.errors.ConnectionReset("Connection reset by peer");
    if (incoming.ended) return null;
    this.emptyReads++;
    return 0;
  }

  whenReadable(ready: () => void): void {
    this.#ready = ready;
    if (this.listening) return;
    this.listening = true;
    const { incoming } = this;
    const look = async () => {
      // In a later turn, even if bytes are there already.
      await new Promise((resolve) => setTimeout(resolve, 0));
      while (incoming.held === 0 && !incoming.ended && !incoming.broken) await incoming.changed();
      this.listening = false;
      this.#ready();
    };
    void look();
  }
}
