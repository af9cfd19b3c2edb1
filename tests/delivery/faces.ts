import type { Connection, ConnectionOptions } from "../../mod.ts";
import { join } from "../support/bytes.ts";
import { keyOf } from "../support/messages.ts";
import { turn } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

/** One way of consuming the messages of a connection. */
export interface Face {
  readonly name: string;
  /** Options that the connection needs from the start, if its messages are claimed at once. */
  options?(got: Got): ConnectionOptions;
  /** Starts consuming the messages of an open connection. Resolves after an orderly close. */
  claim(conn: Connection, got: Got): Promise<void> | void;
}

/** The messages that were received. A consumer that handles its first message waits until the gate opens. */
export class Got {
  readonly keys: string[] = [];
  /** What the consumer waits for while it handles the first message. */
  gate: Promise<void> | null = null;

  /** Records a message; resolves when the consumer has handled it. */
  async note(key: string): Promise<void> {
    this.keys.push(key);
    if (this.keys.length === 1 && this.gate !== null) await this.gate;
  }
}

const sync = (got: Got): ConnectionOptions => ({
  onMessage: (_, data) => void got.keys.push(keyOf(data)),
});

const asynchronous = (got: Got): ConnectionOptions => ({
  onMessage: async (_, data) => {
    await got.note(keyOf(data));
    if (got.keys.length % 3 === 0) await turn();
  },
});

export const FACES: Face[] = [
  {
    name: "onMessage",
    options: sync,
    claim: (conn, got) => conn.on({ onMessage: sync(got).onMessage! }),
  },
  {
    name: "async onMessage",
    options: asynchronous,
    claim: (conn, got) => conn.on({ onMessage: asynchronous(got).onMessage! }),
  },
  {
    name: "iterator",
    async claim(conn, got) {
      for await (const data of conn) await got.note(keyOf(data));
    },
  },
  {
    name: "receive",
    async claim(conn, got) {
      for (;;) {
        const data = await mayFail(conn.receive(), "the connection has closed") ?? null;
        if (data === null) break;
        await got.note(keyOf(data));
      }
    },
  },
  {
    name: "messageStreams",
    async claim(conn, got) {
      let first = true;
      for await (const { type, stream } of conn.messageStreams()) {
        if (first && got.gate !== null) await got.gate;
        first = false;
        const bytes = join(await Array.fromAsync(stream));
        got.keys.push(keyOf(type === "text" ? new TextDecoder().decode(bytes) : bytes));
      }
    },
  },
  {
    name: "readable",
    async claim(conn, got) {
      for await (const data of conn.readable) await got.note(keyOf(data));
    },
  },
];
