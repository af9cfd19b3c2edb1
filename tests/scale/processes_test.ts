import { assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { Notes } from "./_notes.ts";
import { Redis, redisTest } from "./_redis.ts";

const CLIENTS = 1000;
const TOPICS = 100;
const TOPICS_EACH = 5;
const MESSAGES = 10;
const NAMES = ["left", "right"];

/** A server process. */
class ServerProcess implements AsyncDisposable {
  readonly lines = new Notes<string>();
  readonly #process: Deno.ChildProcess;
  readonly #output: Promise<void>;

  constructor(redis: string) {
    const process = this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", new URL("./_process.ts", import.meta.url).href, redis],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#output = (async () => {
      let rest = "";
      for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) this.lines.add(line);
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.status;
    await this.#output;
  }
}

/** A client that checks the order of the messages of each topic and publisher. */
class Subscriber {
  static readonly wrong: string[] = [];
  readonly topics: string[];
  readonly conn: Connection;
  ready = Promise.withResolvers<void>();
  #next = new Map<string, number>();
  #missing = 0;
  #complete = Promise.withResolvers<void>();

  constructor(context: Context, url: string, index: number) {
    this.topics = Array.from(
      { length: TOPICS_EACH },
      (_, i) => `topic ${(index + i * (TOPICS / TOPICS_EACH)) % TOPICS}`,
    );
    this.conn = context.connect(url, {
      onConnect: (conn) => conn.send(JSON.stringify({ subscribe: this.topics })),
      onMessage: (_, data) => this.#received(data as string),
      onError: (_, error) => this.ready.reject(error),
    });
  }

  /** Expects `count` messages of each topic and publisher, numbered from `from`. */
  expect(from: number, count: number): Promise<void> {
    for (const topic of this.topics) {
      for (const name of NAMES) this.#next.set(`${topic} ${name}`, from);
    }
    this.#missing = this.topics.length * NAMES.length * count;
    this.#complete = Promise.withResolvers();
    return this.#complete.promise;
  }

  #received(text: string): void {
    if (text === "ready") return this.ready.resolve();
    const at = text.lastIndexOf(" "), key = text.slice(0, at), number = Number(text.slice(at + 1));
    if (number !== this.#next.get(key)) {
      Subscriber.wrong.push(`${text}, not ${this.#next.get(key)}`);
    }
    this.#next.set(key, number + 1);
    if (--this.#missing === 0) this.#complete.resolve();
  }
}

redisTest(
  "1,000 clients of two processes get each message of their topics once and in order",
  async () => {
    await using redis = await Redis.start();
    await using left = new ServerProcess(redis.url);
    await using right = new ServerProcess(redis.url);
    await using clients = new Context();
    const urls = await Promise.all(
      [left, right].map(({ lines }) => lines.find((line) => line.startsWith("ws:"))),
    );
    const subscribers: Subscriber[] = [];
    for (let i = 0; i < CLIENTS; i++) {
      subscribers.push(new Subscriber(clients, urls[i % 2], i >> 1));
      // The accept queue of a listener holds some hundred connections.
      if (i % 100 === 99) {
        await Promise.all(
          subscribers.slice(-100).map(({ ready }) => ready.promise),
        );
      }
    }
    const round = async (number: number) => {
      const from = number * MESSAGES;
      const complete = subscribers.map((subscriber) => subscriber.expect(from, MESSAGES));
      for (let topic = 0; topic < TOPICS; topic++) {
        NAMES.forEach((name, i) =>
          subscribers[i].conn.send(
            JSON.stringify({ publish: `topic ${topic}`, name, from, to: from + MESSAGES }),
          )
        );
      }
      await Promise.all(complete);
      assertEquals(Subscriber.wrong, []);
    };
    await round(0);
    await round(1);
    await redis.kill();
    await redis.restart();
    await Promise.all([left, right].map(({ lines }) => lines.find((line) => line === "gap")));
    await round(2);
    // The answer comes after any message that might be delivered twice.
    await Promise.all(subscribers.map((subscriber) => {
      subscriber.ready = Promise.withResolvers();
      subscriber.conn.send(JSON.stringify({ subscribe: subscriber.topics }));
      return subscriber.ready.promise;
    }));
    assertEquals(Subscriber.wrong, []);
  },
);
