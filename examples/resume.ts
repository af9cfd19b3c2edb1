/**
 * Numbered messages that survive every loss: the server keeps the latest messages in a ring buffer, and in a journal in
 * case it crashes. A client that comes back sends the last number that it had, and gets the messages that it has missed,
 * each once. If the ring no longer has them, the client learns so and has to fetch the whole state.
 *
 *     deno run --allow-net --allow-env --allow-read --allow-write examples/resume.ts serve --journal FILE [--port N]
 *         [--every MS] [--keep N]
 *     deno run --allow-net --allow-env examples/resume.ts follow URL [--count N]
 *
 * Try it: start the server with `--journal /tmp/journal --port 8080`, then
 * `deno run --allow-net --allow-env examples/resume.ts follow ws://127.0.0.1:8080`, and stop and start either of them.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Connection, ConnectionClosedError, Context } from "@sluice/websocket";

/** The close code for a client whose next message is no longer kept. */
const GONE = 4410;

const { values: args, positionals: [role, url] } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    "journal": { type: "string" },
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "0" },
    "every": { type: "string", default: "1000" },
    "keep": { type: "string", default: "10000" },
    "count": { type: "string", default: "Infinity" },
  },
});

/** The latest messages, each at the index that follows from its number. */
class Ring {
  readonly #messages: string[];
  readonly #size: number;
  /** The number of the last message. */
  last = 0;
  /** The number of the first message that is still there. */
  first = 1;

  constructor(size: number) {
    this.#size = size;
    this.#messages = new Array(size);
  }

  add(number: number, message: string): void {
    if (number !== this.last + 1) this.first = number;
    this.#messages[number % this.#size] = message;
    this.last = number;
    this.first = Math.max(this.first, number - this.#size + 1);
  }

  get(number: number): string {
    return this.#messages[number % this.#size];
  }

  /** Whether all messages after a given number are there. */
  hasAfter(number: number): boolean {
    return number >= this.first - 1 && number <= this.last;
  }
}

/** The messages on disk: the stream's name in the first line, then a message in each line, with its number in front. */
class Journal {
  readonly stream: string;
  readonly ring: Ring;
  readonly #path: string;
  #lines = 0;

  constructor(path: string, keep: number) {
    this.#path = path;
    this.ring = new Ring(keep);
    let text = "";
    try {
      text = Deno.readTextFileSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    // A crash has interrupted the last line if it has no end; no client has got that message.
    const [stream, ...lines] = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").slice(0, -1);
    // Numbers of another journal have no meaning here.
    this.stream = stream ?? crypto.randomUUID();
    for (const line of lines) this.ring.add(parseInt(line), line);
    this.#rewrite();
  }

  /** Keeps a message, on disk before any client gets it; returns it with its number. */
  add(text: string): string {
    const number = this.ring.last + 1, message = `${number} ${text}`;
    Deno.writeTextFileSync(this.#path, `${message}\n`, { append: true });
    this.ring.add(number, message);
    if (++this.#lines > 2 * (number - this.ring.first + 1)) this.#rewrite();
    return message;
  }

  /** Rewrites the journal without the messages that the ring no longer has. */
  #rewrite(): void {
    const { first, last } = this.ring, lines = [this.stream];
    for (let number = first; number <= last; number++) lines.push(this.ring.get(number));
    Deno.writeTextFileSync(`${this.#path}.new`, `${lines.join("\n")}\n`);
    Deno.renameSync(`${this.#path}.new`, this.#path);
    this.#lines = lines.length - 1;
  }
}

function serve(path: string): void {
  const journal = new Journal(path, Number(args.keep)), { ring, stream } = journal;
  const ctx = new Context();

  /** Sends the messages that a client has missed, as fast as it takes them; then the client gets the new ones. */
  async function resume(conn: Connection, after: number): Promise<void> {
    for (let next = after + 1; next <= ring.last; next++) {
      // During the wait the ring may have dropped messages.
      if (!ring.hasAfter(next - 1)) return conn.close(GONE, "too slow");
      if (!conn.send(ring.get(next))) await conn.drained();
    }
    // No message is missed between the last look at the ring and this: nothing is awaited in between.
    conn.subscribe("messages");
  }

  const listener = ctx.listen({
    hostname: args.hostname,
    port: Number(args.port),
    maxMessageSize: 1024,
    async onMessage(conn, data) {
      const asked = parseRequest(data);
      if (asked === null || conn.topics.size > 0) return conn.close(1008);
      const known = asked.after === 0 || asked.stream === stream;
      if (!known || !ring.hasAfter(asked.after)) return conn.close(GONE, `first is ${ring.first}`);
      conn.send(stream);
      // The connection may be lost by then; the client comes back.
      await resume(conn, asked.after).catch(() => {});
    },
  });
  console.log(`listening on ${listener.url}`);

  // In production, the application's events. A slow receiver is closed, and resumes when it comes back.
  setInterval(() => {
    const message = journal.add(`it is ${new Date().toISOString()}`);
    ctx.publish("messages", message, { slow: "close" });
  }, Number(args.every));
}

function parseRequest(data: unknown): { stream: string; after: number } | null {
  try {
    const { stream, after } = JSON.parse(data as string);
    return Number.isSafeInteger(after) && after >= 0 ? { stream: String(stream), after } : null;
  } catch {
    return null;
  }
}

async function follow(url: string): Promise<void> {
  const ctx = new Context(), count = Number(args.count);
  // A program that stores the results of the messages stores these two with them, in one transaction.
  let stream = "", last = 0;
  const connections = ctx.reconnect(url, {
    backoff: { initial: 20, max: 2000 },
    onError: () => {},
  });
  for await (const conn of connections) {
    try {
      conn.send(JSON.stringify({ stream, after: last }));
      stream = `${await conn.receive()}`;
      for await (const message of conn) {
        last = parseInt(`${message}`);
        console.log(message);
        if (last === count) return await ctx.shutdown().then(() => {});
      }
    } catch (error) {
      // The next connection continues after the last message, with one exception:
      if (!(error instanceof ConnectionClosedError)) throw error;
      if (error.close?.code === GONE) throw error;
    }
  }
}

if (role === "serve" && args.journal !== undefined) {
  serve(args.journal);
} else if (role === "follow" && url !== undefined) {
  await follow(url);
} else {
  console.error("usage: resume.ts serve --journal FILE | follow URL");
  Deno.exit(2);
}
