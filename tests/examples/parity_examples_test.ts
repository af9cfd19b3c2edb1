/** Runs the examples that correspond to those of EV::Websockets and Net::WebSocket::Server (E38, N16). */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { exampleArgs, runExample } from "../support/example.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { mayFail } from "../support/failure.ts";

function command(name: string, args: string[], stdin: "null" | "piped" = "null"): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: [...exampleArgs(name), ...args],
    env: { NO_COLOR: "1" },
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

/** Runs an example until it ends; returns the lines that it has printed. */
async function run(name: string, ...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await runExample(name, ...args);
  assertEquals(code, 0, `${name} failed: ${stderr}`);
  return stdout.trimEnd().split("\n");
}

/** A running example. */
class Running implements AsyncDisposable {
  readonly child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(name: string, args: string[], stdin: "null" | "piped" = "null") {
    this.child = command(name, args, stdin).spawn();
    this.#lines = this.child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const line = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return line;
      }
      const { done, value } = await this.#lines.read();
      if (done) throw new Error(`The example has ended: ${await this.child.stderr.text()}`);
      this.#rest += value;
    }
  }

  async url(): Promise<string> {
    const line = await this.line();
    assertMatch(line, /^listening on wss?:/);
    return line.slice("listening on ".length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.child.kill("SIGKILL");
    } catch {
      // The example has ended already.
    }
    await this.#lines.cancel();
    await mayFail(this.child.stderr.cancel(), "it may have been read already");
    await this.child.status;
  }
}

const EXPECTED: Record<string, (string | RegExp)[]> = {
  echo: [
    "sent hello, received hello",
    "sent a second message, received a second message",
    'sent 1000 (normal closure) "done"; received 1000 (normal closure) "done"',
  ],
  binary: ["3", "-4", "6.5", "20000000000"].map((number) => `doubled: ${number}`),
  headers_and_cookies: [
    "server: ada with example/1.0",
    "client: protocol chat.v2, cookies session=43; HttpOnly and theme=dark",
    "client: examples",
    "stranger: 401 log in first",
  ],
  json_protocol: [
    'asked {"id":1,"command":"add","args":[1,2,39]}, answered {"id":1,"result":42}',
    'asked {"id":2,"command":"constructor"}, answered {"id":2,"error":"no such command"}',
    'asked { nonsense, answered {"id":null,"error":"not JSON"}',
  ],
  multi_conn: [
    ...Array.from({ length: 5 }, (_, i) => `hello client ${i + 1}`),
    "10 connections, 5 of them accepted",
  ],
  relay: [
    "received through two connections",
    "at most two messages waited in between",
    "the upstream got code 4000",
  ],
  reconnect: [
    "echo of round 1 after 0 failures",
    "lost with 1001",
    "echo of round 2 after 3 failures",
    "lost with 1001",
  ],
  router: [
    "/echo: hello",
    "/upper: HELLO",
    "/rooms/blue: blue: hello",
    "/secret: refused with 403",
    "/elsewhere: refused with 404",
  ],
  state_monitor: [
    "after connect(): connecting",
    "onConnect: open",
    "after close(): closing",
    "onClose: closed",
    "after closed: closed",
    "1 sent, 1 received, 0 bytes queued",
    "sent 1000 (normal closure); received 1000 (normal closure)",
    "cancelled: closed",
  ],
  broadcast_echo: ["ada", "bob", "eve"].map((name) => `${name} heard hello from ada`),
};

for (const [name, lines] of Object.entries(EXPECTED)) {
  Deno.test(`examples/${name}.ts`, async () => {
    const printed = await run(name);
    // The two ends in one program print in any order.
    if (name === "headers_and_cookies") printed.sort(), lines.sort();
    assertEquals(printed, lines);
  });
}

Deno.test("examples/keepalive.ts", async () => {
  const lines = await run("keepalive");
  assert(lines.includes("client: a round trip was measured"));
  assertMatch(lines.join("\n"), /server: ws:.*\/alive lives/);
  assertMatch(lines.join("\n"), /server: ws:.*\/dead is gone: The peer was silent for 60 ms/);
  assertEquals(lines.at(-1), "the other one is open");
});

Deno.test("examples/clock_broadcast.ts", async () => {
  const [listening, ...ticks] = await run("clock_broadcast", "--ticks", "3", "--interval", "10");
  assertMatch(listening, /^listening on ws:/);
  assertEquals(ticks.length, 3);
  for (const [i, tick] of ticks.entries()) assertMatch(tick, new RegExp(`^${i + 1} 20\\d\\d-.*Z$`));
});

Deno.test("examples/graceful_shutdown.ts", async () => {
  await using server = new Running("graceful_shutdown", []);
  await using ctx = new Context();
  const conn = ctx.connect(await server.url());
  await conn.opened;
  conn.send("still there?");
  assertEquals(await conn.receive(), "still there?");
  server.child.kill("SIGTERM");
  assertEquals(await conn.receive(), "the server is going away");
  const { code, reason } = await conn.closed;
  assertEquals([code, reason], [1001, "restart"]);
  assertEquals(await server.line(), "closed 1 cleanly, 0 by force");
  assertEquals((await server.child.status).code, 0);
});

Deno.test("examples/broadcast_echo.ts --stdin", async () => {
  await using server = new Running("broadcast_echo", ["--port", "0", "--stdin"], "piped");
  await using ctx = new Context();
  const conn = ctx.connect(await server.url());
  await conn.opened;
  conn.send("from a client");
  assertEquals(await conn.receive(), "from a client");
  const stdin = server.child.stdin.getWriter();
  await stdin.write(new TextEncoder().encode("from the terminal\n"));
  assertEquals(await conn.receive(), "from the terminal");
  await stdin.write(new TextEncoder().encode("quit\n"));
  assertEquals((await conn.closed).code, 1001);
  // Standard input is still open, and doesn't keep the process alive.
  assertEquals((await server.child.status).code, 0);
  await mayFail(stdin.close(), "the process has ended");
});

Deno.test("examples/tls_server.ts and self_signed.ts", async () => {
  using certificates = makeCertificates();
  const { dir } = certificates;
  const files = ["--cert", `${dir}/server.pem`, "--key", `${dir}/server.key`];
  await using server = new Running("tls_server", files);
  const url = (await server.url()).replace("127.0.0.1", "localhost");
  assertEquals(await run("self_signed", url, "--ca", `${dir}/ca.pem`), [
    "by default: refused, HandshakeError",
    "insecure: received over TLS",
    "with the authority: received over TLS",
  ]);
});
