import type { Connection, IncomingMessageStream } from "../../mod.ts";
import { join } from "../support/bytes.ts";
import { keyOf } from "../support/messages.ts";

/** What consumers of messages need of a run. */
export interface Takes {
  readonly conn: Connection;
  /** Whether our side has ended the connection. After that nothing is delivered. */
  readonly over: boolean;
  /** Tracks a promise until it has settled. */
  track<T>(label: string, promise: Promise<T>): Promise<T>;
  /** Called with a message. `late` if it was requested when none may come any more. */
  taken(data: string | Uint8Array, late: boolean): void;
  /** Called when a message begins to arrive as a stream; returns its index. */
  begun(late: boolean): number;
  /** Called when all or some bytes of a streamed message have arrived. */
  streamed(index: number, type: "text" | "binary", bytes: Uint8Array, whole: boolean): void;
  finding(what: string): void;
  note(what: string): void;
}

type Face = "receive" | "iterator" | "streams" | "readable";

interface Streamed {
  readonly index: number;
  readonly type: "text" | "binary";
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly parts: Uint8Array[];
  reading: boolean;
}

/** All ways of consuming messages other than `onMessage`. */
export class Taking {
  readonly #run: Takes;
  #face: Face | null = null;
  #receiving = 0;
  #iterator: AsyncIterableIterator<string | Uint8Array, undefined> | null = null;
  #streams: AsyncIterableIterator<IncomingMessageStream, undefined> | null = null;
  #reader: ReadableStreamDefaultReader<string | Uint8Array> | null = null;
  #current: Streamed | null = null;
  #preventClose = false;
  #streamed = false;
  readonly #aborts: AbortController[] = [];
  /** The number of requests without a result. */
  #open = 0;
  /** Whether all messages were consumed. */
  ended = false;

  constructor(run: Takes) {
    this.#run = run;
  }

  /** Whether messages are consumed as streams. */
  get streaming(): boolean {
    return this.#streamed;
  }

  /** Whether a request is pending. */
  get waits(): boolean {
    return this.#open > 0;
  }

  /** Requests the next message, in the way that was chosen first. */
  take(a: number, b: number): void {
    const faces: Face[] = ["receive", "iterator", "streams", "readable"];
    const wanted = faces[a % 4];
    this.#face ??= wanted;
    // Sometimes another way is tried, which must not disturb the first one.
    if (wanted !== this.#face && (a & 0x30) === 0x30) return this.#intrude(wanted);
    switch (this.#face) {
      case "receive":
        return this.#receive((b & 3) === 1);
      case "iterator":
        return this.#next((b & 1) === 1);
      case "streams":
        return this.#stream();
      case "readable":
        return this.#read();
    }
  }

  /** Stops consuming; returns whether that closes the connection. A consumer within a message may only cancel that. */
  leave(amid: boolean): boolean {
    const run = this.#run;
    if (this.#current !== null && !amid) {
      const { reader, index, type, parts } = this.#current;
      this.#current = null;
      run.note(`cancels message ${index}`);
      run.track("cancel of a message's stream", reader.cancel());
      run.streamed(index, type, join(parts), false);
      return false;
    }
    if (this.#iterator !== null) {
      const iterator = this.#iterator;
      this.#iterator = null;
      this.#face = null;
      run.note("leaves the iterator");
      run.track("iterator.return()", iterator.return!());
      return !this.#preventClose;
    }
    if (this.#streams !== null) {
      const streams = this.#streams;
      run.note("leaves the streams");
      // The waiting messages of a closed connection are then left to other consumers.
      this.ended = run.conn.state !== "closed";
      this.#streams = null;
      this.#face = null;
      run.track("messageStreams().return()", streams.return!());
      return true;
    }
    if (this.#reader !== null) {
      run.note("cancels readable");
      run.track("readable.cancel()", this.#reader.cancel());
      this.ended = true;
      return true;
    }
    return false;
  }

  /** Aborts the pending request, if that is possible. */
  abort(): void {
    this.#aborts.shift()?.abort();
  }

  #claimed(error: unknown, what: string): void {
    if (!(error instanceof TypeError)) {
      this.#run.finding(`${what} beside another consumer throws ${error}`);
    }
  }

  #intrude(face: Face): void {
    const { conn } = this.#run;
    // `receive()` claims the messages only until it has one, which may be at once.
    if (this.#face === "receive") return;
    if (this.ended || conn.state === "closed") return;
    try {
      if (face === "receive") this.#run.track("a second receive()", conn.receive());
      else if (face === "iterator") conn.messages();
      else if (face === "streams") conn.messageStreams();
      else void conn.readable;
    } catch (error) {
      return this.#claimed(error, face);
    }
    if (face !== "receive") this.#run.finding(`${face} beside ${this.#face} is let in`);
  }

  #receive(abortable: boolean): void {
    const { conn } = this.#run;
    if (this.#receiving > 0) return;
    const abort = abortable ? new AbortController() : null;
    if (abort !== null) this.#aborts.push(abort);
    const late = this.#run.over;
    this.#receiving++;
    this.#asked(
      "receive()",
      conn.receive({ signal: abort?.signal }).finally(() => this.#receiving--),
      (data) => this.#run.taken(data, late),
    );
  }

  #next(preventClose: boolean): void {
    if (this.#iterator === null) {
      this.#preventClose = preventClose;
      this.#iterator = this.#run.conn.messages({ preventClose });
    }
    const late = this.#run.over, iterator = this.#iterator;
    this.#asked("iterator.next()", iterator.next(), ({ done, value }) => {
      // An iterator that has returned leaves the messages to other consumers.
      if (done) this.ended ||= iterator === this.#iterator;
      else this.#run.taken(value, late);
    });
  }

  #read(): void {
    this.#reader ??= this.#run.conn.readable.getReader();
    const late = this.#run.over;
    this.#asked("readable's read()", this.#reader.read(), ({ done, value }) => {
      if (done) this.ended = true;
      else this.#run.taken(value, late);
    });
  }

  #stream(): void {
    if (this.#current !== null) return this.#chunk(this.#current);
    this.#streams ??= this.#run.conn.messageStreams();
    this.#streamed = true;
    if (this.#open > 0) return;
    const late = this.#run.over, streams = this.#streams;
    this.#asked("messageStreams().next()", streams.next(), ({ done, value }) => {
      if (done) {
        this.ended ||= streams === this.#streams;
        return;
      }
      const index = this.#run.begun(late);
      this.#current = {
        index,
        type: value.type,
        reader: value.stream.getReader(),
        parts: [],
        reading: false,
      };
    });
  }

  #chunk(current: Streamed): void {
    if (current.reading) return;
    current.reading = true;
    const { index, type, parts, reader } = current;
    const finish = (whole: boolean) => {
      if (this.#current === current) {
        this.#current = null;
        this.#run.streamed(index, type, join(parts), whole);
      }
    };
    this.#asked(`read() of message ${index}`, reader.read(), ({ done, value }) => {
      current.reading = false;
      if (done) finish(true);
      else parts.push(value);
    }, () => finish(false));
  }

  #asked<T>(
    label: string,
    promise: Promise<T>,
    got: (value: T) => void,
    failed: () => void = () => {},
  ): void {
    this.#open++;
    this.#run.track(label, promise).then((value) => {
      this.#open--;
      got(value);
    }, (error) => {
      this.#open--;
      const aborted = error instanceof DOMException && error.name === "AbortError";
      if (!aborted && label.startsWith("read() of")) failed();
      else if (!aborted) this.ended = true;
    });
  }
}

/** The message of some bytes, in the form of the other ways. */
export function streamedKey(type: "text" | "binary", bytes: Uint8Array): string {
  return keyOf(
    type === "text" ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes) : bytes,
  );
}
