/** The examples that reconnect: with their subscriptions, and with numbered messages that are neither lost nor duplicated. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { exampleArgs, runExample } from "../support/example.ts";
import { seeded } from "../support/random.ts";
import { until } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

Deno.test("resubscribe: each new connection subscribes to all topics again", async () => {
  const { code, stdout, stderr } = await runExample("resubscribe");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(stdout.trimEnd().split("\n"), [
    "connected, 0 times lost",
    "subscribed to news",
    "subscribed to weather",
    "news 1",
    "weather 1",
    "connected, 1 times lost",
    "subscribed to news",
    "subscribed to weather",
    "news 2",
    "weather 2",
    "done",
  ]);
});

/** The program `resume.ts serve`, which may be killed and restarted. */
class Server {
  readonly journal: string = Deno.makeTempFileSync({ prefix: "sluice-journal-" });
  #child: Deno.ChildProcess | null = null;
  port = 0;
  #more: string[];

  constructor(...more: string[]) {
    this.#more = more;
  }

  async start(): Promise<void> {
    const child = this.#child = new Deno.Command(Deno.execPath(), {
      args: [...exampleArgs("resume"), "serve"]
        .concat("--journal", this.journal, "--port", String(this.port), ...this.#more),
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.port = Number(/:(\d+)\//.exec((await reader.read()).value!)![1]);
    await reader.cancel();
  }

  async kill(): Promise<void> {
    this.#child!.kill("SIGKILL");
    await this.#child!.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await Deno.remove(this.journal);
  }
}

/** A proxy that cuts the connection after given numbers of bytes from the server. */
class CutLine {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #cuts: number[];
  readonly #port: number;
  cuts = 0;

  constructor(port: number, cuts: number[]) {
    this.#port = port;
    this.#cuts = cuts;
    mayFail(this.#accept(), "the loop ends with its listener");
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#listener.addr.port}/`;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      Deno.connect({ hostname: "127.0.0.1", port: this.#port }).then(
        (server) => this.#pass(client, server),
        () => client.close(),
      );
    }
  }

  async #pass(client: Deno.Conn, server: Deno.Conn): Promise<void> {
    const end = () => {
      for (const conn of [client, server]) {
        try {
          conn.close();
        } catch {
          // The connection is closed already.
        }
      }
    };
    client.readable.pipeTo(server.writable).catch(end);
    const cut = this.#cuts.shift() ?? Infinity, buffer = new Uint8Array(512);
    try {
      for (let passed = 0; passed < cut;) {
        const count = await server.read(buffer.subarray(0, Math.min(512, cut - passed)));
        if (count === null) break;
        passed += count;
        for (let at = 0; at < count;) at += await client.write(buffer.subarray(at, count));
      }
      if (cut !== Infinity) this.cuts++;
    } catch {
      // The other side has closed.
    }
    end();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

for (const seed of [1, 2, 3]) {
  Deno.test(`resume: no message is lost or duplicated by ten cuts and two crashes of the server (seed ${seed})`, async () => {
    await using server = new Server("--every", "1");
    await server.start();
    const random = seeded(seed);
    // From the middle of the handshake's response to hundreds of messages.
    const cuts = Array.from({ length: 10 }, () => Math.floor(20 + random() * 6000));
    using line = new CutLine(server.port, cuts);
    const COUNT = 1500;
    const child = new Deno.Command(Deno.execPath(), {
      args: [...exampleArgs("resume", 1), "follow", line.url]
        .concat("--count", String(COUNT)),
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const lines: string[] = [];
    const reading = (async () => {
      let rest = "";
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
        const parts = (rest + text).split("\n");
        rest = parts.pop()!;
        lines.push(...parts);
      }
    })();
    for (const at of [300, 900]) {
      await until(() => lines.length >= at, `${at} lines`);
      await server.kill();
      await server.start();
    }
    const [{ code }, errors] = await Promise.all([child.status, child.stderr.text(), reading]);
    assertEquals([code, errors], [0, ""]);
    assertEquals(line.cuts, 10);
    assertEquals(
      lines.map((line) => parseInt(line)),
      Array.from({ length: COUNT }, (_, i) => i + 1),
    );
    // The journal has the texts of the sent messages, not only their numbers.
    const [, ...journal] = (await Deno.readTextFile(server.journal)).split("\n");
    assertEquals(lines, journal.slice(0, COUNT));
  });
}

Deno.test("resume: numbers that the ring no longer has, or that are from another journal, are reported as lost", async () => {
  await using server = new Server("--every", "1", "--keep", "50");
  await server.start();
  await using ctx = new Context();
  const ask = async (request: unknown) => {
    const conn = ctx.connect(`ws://127.0.0.1:${server.port}/`, { onMessage: () => {} });
    await conn.opened;
    conn.send(typeof request === "string" ? request : JSON.stringify(request));
    return await conn.closed;
  };
  const numbers = async () => {
    const [stream, ...messages] = (await Deno.readTextFile(server.journal)).trimEnd().split("\n");
    // The name of the stream may begin with a digit.
    return { stream, lines: messages.length + 1, last: parseInt(messages.at(-1) ?? "0") };
  };
  let now = await numbers();
  while (!(now.last > 200)) now = await numbers();
  // The size of the journal is bounded.
  assert(now.lines <= 102, `${now.lines} lines`);
  const gone = await ask({ stream: now.stream, after: 1 });
  assertEquals(gone.code, 4410);
  assertMatch(gone.reason, /^first is \d+$/);
  assertEquals((await ask({ stream: "another", after: now.last })).code, 4410);
  for (const rubbish of ["", "{", "null", "[]", { after: -1 }, { after: 1.5 }, { after: "1" }]) {
    assertEquals((await ask(rubbish)).code, 1008, JSON.stringify(rubbish));
  }
});
