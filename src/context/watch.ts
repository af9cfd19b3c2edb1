/**
 * A stream that a context watches.
 *
 * @experimental It may change in a minor release.
 *
 * @example
 * ```ts
 * import { Context } from "@sluice/websocket";
 *
 * await using ctx = new Context();
 * const { readable, writable } = new TransformStream<string, string>();
 * const done = Promise.withResolvers<void>();
 * const writing = ctx.watchWritable(writable, async (writer) => {
 *   await writer.write("there is room");
 *   writing.unwatch(); // once is enough
 * });
 * const reading = ctx.watchReadable(readable, (chunk) => {
 *   console.log(chunk);
 *   reading.unwatch();
 *   console.log(`${ctx.watched.size} streams are watched`);
 *   done.resolve();
 * });
 * await done.promise;
 * ```
 */
export interface Watch {
  /** The stream. */
  readonly stream: ReadableStream | WritableStream;
  /** Resolves when the stream has ended or the watch was stopped; rejects with the stream's error. */
  readonly finished: Promise<void>;
  /** Stops watching and unlocks the stream, which isn't closed. */
  unwatch(): void;
}

/** The streams that a context watches. */
export class Watches {
  /** All watches. */
  readonly all: Set<Watch> = new Set();

  /** Calls back with each chunk. */
  readable<T>(stream: ReadableStream<T>, callback: (chunk: T) => unknown): Watch {
    check("watchReadable", stream instanceof ReadableStream, callback);
    return this.#add(new ReadableWatch(stream, callback));
  }

  /** Calls back when there is room to write. */
  writable<T>(
    stream: WritableStream<T>,
    callback: (writer: WritableStreamDefaultWriter<T>) => unknown,
  ): Watch {
    check("watchWritable", stream instanceof WritableStream, callback);
    return this.#add(new WritableWatch(stream, callback));
  }

  /** Ends everything, the pending read of a terminal included, which would keep the process alive. */
  end(): void {
    for (const watch of [...this.all] as StreamWatch[]) watch.end();
  }

  #add(watch: StreamWatch): Watch {
    this.all.add(watch);
    watch.forget = () => this.all.delete(watch);
    watch.start();
    return watch;
  }
}

abstract class StreamWatch implements Watch {
  abstract readonly stream: ReadableStream | WritableStream;
  readonly finished: Promise<void>;
  /** Called when the watch has ended. */
  forget: () => void = () => {};
  protected over = false;
  readonly #finish = Promise.withResolvers<void>();

  constructor() {
    this.finished = this.#finish.promise;
    this.finished.catch(() => {});
  }

  start(): void {
    this.run().then(this.#finish.resolve, (error) => {
      if (this.over) this.#finish.resolve();
      else this.#finish.reject(error);
    }).finally(() => {
      this.forget();
      this.release();
    });
  }

  unwatch(): void {
    if (this.over) return;
    this.over = true;
    this.forget();
    this.#finish.resolve();
    this.release();
  }

  /** Stops watching and ends the stream. */
  abstract end(): void;
  /** Calls the callback until `over` or the end. */
  protected abstract run(): Promise<void>;
  /** Unlocks the stream. */
  protected abstract release(): void;
}

class ReadableWatch<T> extends StreamWatch {
  readonly stream: ReadableStream<T>;
  readonly #reader: ReadableStreamDefaultReader<T>;
  readonly #callback: (chunk: T) => unknown;

  constructor(stream: ReadableStream<T>, callback: (chunk: T) => unknown) {
    super();
    this.stream = stream;
    this.#reader = stream.getReader();
    this.#callback = callback;
  }

  end(): void {
    this.over = true;
    this.#reader.cancel().catch(() => {});
  }

  protected async run(): Promise<void> {
    while (!this.over) {
      const { done, value } = await this.#reader.read();
      if (done || this.over) return;
      try {
        // Awaited, so that a slow callback holds the stream back.
        await this.#callback(value);
      } catch (error) {
        report("watchReadable", error);
      }
    }
  }

  protected release(): void {
    this.#reader.releaseLock();
  }
}

class WritableWatch<T> extends StreamWatch {
  readonly stream: WritableStream<T>;
  readonly #writer: WritableStreamDefaultWriter<T>;
  readonly #callback: (writer: WritableStreamDefaultWriter<T>) => unknown;
  #written = Promise.withResolvers<void>();

  constructor(
    stream: WritableStream<T>,
    callback: (writer: WritableStreamDefaultWriter<T>) => unknown,
  ) {
    super();
    this.stream = stream;
    this.#callback = callback;
    const writer = this.#writer = stream.getWriter();
    writer.closed.catch(() => {});
    writer.ready.catch(() => {});
    const write = writer.write.bind(writer);
    writer.write = (chunk?: T) => {
      this.#written.resolve();
      const promise = write(chunk);
      promise.catch(() => {});
      return promise;
    };
  }

  end(): void {
    this.unwatch();
  }

  protected async run(): Promise<void> {
    // The watch ends with the stream, by `close` or by `abort`.
    const closed = this.#writer.closed.then(() => true);
    closed.catch(() => {});
    while (!this.over) {
      await this.#writer.ready;
      if (this.over) return;
      this.#written = Promise.withResolvers();
      try {
        await this.#callback(this.#writer);
      } catch (error) {
        report("watchWritable", error);
      }
      // A callback that has written nothing isn't called again until other code has written, or it would be called in a
      // loop.
      if (this.over || await Promise.race([closed, this.#written.promise])) return;
    }
  }

  protected release(): void {
    this.#written.resolve();
    this.#writer.releaseLock();
  }
}

function check(action: string, isStream: boolean, callback: unknown): void {
  if (!isStream) {
    throw new TypeError(`Cannot ${action}: the first argument is not a stream of that direction`);
  }
  if (typeof callback !== "function") {
    throw new TypeError(`Cannot ${action} with a callback of type ${typeof callback}`);
  }
}

function report(action: string, error: unknown): void {
  console.error(`A callback of ${action} failed:`, error);
}
