import { assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { exampleArgs } from "../support/example.ts";
import { Notes } from "./_notes.ts";
import { freePort, Redis, redisTest } from "./_redis.ts";

const SERVERS = 2;

/** Runs the example, and checks that all its servers serve, share topics, and end in order. */
async function check(...args: string[]): Promise<void> {
  const port = freePort();
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      ...exampleArgs("multicore_server", args.length === 0 ? 0 : 1),
      "--port",
      `${port}`,
      "--cores",
      `${SERVERS}`,
      ...args,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  const lines = new Notes<string>();
  const output = (async () => {
    let rest = "";
    for await (const chunk of process.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      for (const line of parts) lines.add(line);
    }
  })();
  for (let i = 0; i < SERVERS; i++) await lines.find((line) => line.startsWith(`server ${i} is`));
  await using context = new Context();
  const clients: Connection[] = [], welcomes = new Set<unknown>();
  // The kernel distributes connections by their ports, so after some of them every server has one.
  while (welcomes.size < SERVERS) {
    const client = context.connect(`ws://127.0.0.1:${port}/`);
    clients.push(client);
    welcomes.add(await client.receive());
  }
  clients[0].send("hello, all");
  for (const client of clients) assertEquals(await client.receive(), "hello, all");
  process.kill("SIGTERM");
  const codes = await Promise.all(clients.map(async ({ closed }) => (await closed).received?.code));
  assertEquals(new Set(codes), new Set([1001]));
  assertEquals((await process.status).code, 0);
  await output;
}

Deno.test("the multicore example serves with workers on one port", () => check());

redisTest(
  "the multicore example serves with processes on one port, with topics through Redis",
  async () => {
    await using redis = await Redis.start();
    await check("--processes", "--redis", redis.url);
  },
);
