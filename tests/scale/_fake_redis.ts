// The part of Redis that tests of its misbehaviour need: RESP3, on a port of its own, in this process.

import { Notes } from "./_notes.ts";
import { mayFail } from "../support/failure.ts";

/** The answer to a command. `null` answers nothing; `"drop"` closes the connection after earlier answers. */
export type Answer = string | null | "drop";

/** A connection of a client. */
export interface FakeClient {
  /** When it was accepted. */
  readonly since: number;
  /** Resolves when the other end has closed, or reset, the connection. */
  readonly ended: Promise<void>;
}

const OK = "+OK\r\n";
const HELLO = "%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n";

/** Answers a command as Redis does. */
export function usual(name: string, args: readonly string[]): Answer {
  switch (name) {
    case "HELLO":
      return HELLO;
    case "PING":
      return "+PONG\r\n";
    case "PUBLISH":
      return ":0\r\n";
    case "SUBSCRIBE":
    case "UNSUBSCRIBE": {
      const kind = name.toLowerCase();
      return args.map((channel) =>
        `>3\r\n$${kind.length}\r\n${kind}\r\n$${channel.length}\r\n${channel}\r\n:1\r\n`
      ).join("");
    }
    default:
      return OK;
  }
}

export class FakeRedis implements AsyncDisposable {
  readonly clients = new Notes<FakeClient>();
  readonly commands = new Notes<string>();
  readonly #listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  readonly #conns = new Set<Deno.Conn>();
  readonly #running: Promise<void>;

  /** @param answer Answers a command; it may change at any time. */
  constructor(answer: (name: string, args: readonly string[]) => Answer = usual) {
    this.#running = this.#run(answer);
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  async #run(answer: (name: string, args: readonly string[]) => Answer): Promise<void> {
    const serving = new Set<Promise<void>>();
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      const ended = this.#serve(conn, answer);
      serving.add(ended);
      this.clients.add({ since: performance.now(), ended });
    }
    await Promise.all(serving);
  }

  async #serve(
    conn: Deno.Conn,
    answer: (name: string, args: readonly string[]) => Answer,
  ): Promise<void> {
    const buffer = new Uint8Array(65_536), decoder = new TextDecoder("latin1");
    let rest = "";
    try {
      for (let count; (count = await conn.read(buffer)) !== null;) {
        rest += decoder.decode(buffer.subarray(0, count));
        for (let command; (command = parse(rest)) !== null;) {
          rest = rest.slice(command.length);
          const [name, ...args] = command.words;
          this.commands.add(name.toUpperCase());
          const said = answer(name.toUpperCase(), args);
          if (said === "drop") return;
          if (said !== null) await conn.write(new TextEncoder().encode(said));
        }
      }
    } catch {
      // A reset is an end, too.
    } finally {
      this.#conns.delete(conn);
      conn.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) {
      mayFail((conn as Deno.TcpConn).closeWrite(), "the client may have disconnected");
    }
    await this.#running;
  }
}

/** Parses a command in RESP, which is an array of strings; returns `null` if it is incomplete. */
function parse(text: string): { words: string[]; length: number } | null {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return null;
  const words: string[] = [];
  let at = head[0].length;
  for (let left = Number(head[1]); left > 0; left--) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (size === null) return null;
    at += size[0].length;
    const end = at + Number(size[1]);
    if (text.length < end + 2) return null;
    words.push(text.slice(at, end));
    at = end + 2;
  }
  return { words, length: at };
}
