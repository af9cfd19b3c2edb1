import { assert, assertEquals, assertMatch } from "@std/assert";
import WebSocket from "ws";
import { type Connection, Context } from "../../mod.ts";
import { turn, until } from "../support/until.ts";
import { runTool, Tool, wsServer } from "./_tool.ts";

/** A client of the npm package `ws`, with the messages that it has received. */
async function wsClient(url: string, protocols: string[] = []) {
  const socket = new WebSocket(url, protocols);
  const received: string[] = [];
  socket.on("message", (data: unknown) => received.push(String(data)));
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.on("close", (code: number, reason: unknown) => resolve({ code, reason: String(reason) }))
  );
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  return { socket, received, closed };
}

Deno.test("listen: clients of ws and of this library get echoes, and Ctrl-C closes with 1001 and exits with 0", async () => {
  await using tool = new Tool("listen", "0");
  const url = await tool.url();
  const client = await wsClient(url);
  client.socket.send("hello");
  client.socket.send("again");
  await until(() => client.received.length === 2);
  assertEquals(client.received, ["hello", "again"]);
  await using ctx = new Context();
  const conn = ctx.connect(url);
  await conn.opened;
  conn.send(new Uint8Array([1, 2, 3]));
  assertEquals(await conn.receive(), new Uint8Array([1, 2, 3]));
  tool.interrupt();
  assertEquals((await client.closed).code, 1001);
  assertEquals((await conn.closed).code, 1001);
  assertEquals(await tool.end(), 0);
  assertMatch(tool.stderr, /1: 127\.0\.0\.1:\d+ has connected\n/);
});

Deno.test("listen --trust-proxy, --proxy-protocol: the address of the client is shown", async () => {
  await using ctx = new Context();
  await using believing = new Tool("listen", "0", "--trust-proxy", "127.0.0.0/8");
  const headers = { "x-forwarded-for": "192.0.2.7" };
  await ctx.connect(await believing.url(), { headers }).opened;
  await until(() => believing.stderr.includes("has connected"));
  assertMatch(believing.stderr, /1: 192\.0\.2\.7 has connected\n/);
  await using balanced = new Tool("listen", "0", "--proxy-protocol", "127.0.0.1");
  const { port } = new URL(await balanced.url());
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await conn.write(
    new TextEncoder().encode("PROXY TCP4 192.0.2.8 10.0.0.1 4711 80\r\nGET / rubbish\r\n\r\n"),
  );
  await until(() => balanced.stderr.includes("handshake with"));
  assertMatch(balanced.stderr, /handshake with 192\.0\.2\.8:4711 failed: /);
  const { code, stderr } = await runTool(["listen", "0", "--trust-proxy", "everybody"]);
  assertEquals(code, 2);
  assertMatch(stderr, /trustProxy "everybody"/);
});

Deno.test("listen --broadcast: a message reaches all other clients", async () => {
  await using tool = new Tool("listen", "0", "--broadcast", "-q");
  const url = await tool.url();
  const [one, two, three] = await Promise.all([1, 2, 3].map(() => wsClient(url)));
  one.socket.send("hello");
  await until(() => two.received.length === 1 && three.received.length === 1);
  two.socket.send("reply");
  await until(() => one.received.length === 1);
  assertEquals(one.received, ["reply"]);
  tool.interrupt();
  assertEquals(await tool.end(), 0);
  assertEquals(tool.stderr, "");
});

Deno.test("listen --exec: messages are lines of a command's input and output, and its end closes the connection", async () => {
  await using tool = new Tool("listen", "0", "--exec", "read a; read b; echo $b $a; echo bye");
  const client = await wsClient(await tool.url());
  client.socket.send("one");
  client.socket.send("two");
  assertEquals((await client.closed).code, 1000);
  assertEquals(client.received, ["two one", "bye"]);
  await using failing = new Tool("listen", "0", "--exec", "exit 3");
  assertEquals(await (await wsClient(await failing.url())).closed, {
    code: 1011,
    reason: "the command has ended with 3",
  });
});

Deno.test("listen --exec: a command that prints without end waits for a client that doesn't read", async () => {
  await using tool = new Tool("listen", "0", "--exec", "yes 0123456789");
  await using ctx = new Context();
  const conn = ctx.connect(await tool.url());
  for (let i = 0; i < 1000; i++) assertEquals(await conn.receive(), "0123456789");
  conn.close();
  await conn.closed;
  await tool.until("stderr", /1: received 1000/);
});

Deno.test("listen: a subprotocol and compression are negotiated", async () => {
  await using tool = new Tool("listen", "0", "-s", "chat", "--compression", "--json");
  const url = JSON.parse((await tool.until("stdout", /^.*\n/))[0]).url;
  const { socket } = await wsClient(url, ["chat"]);
  assertEquals(socket.protocol, "chat");
  assert(socket.extensions.includes("permessage-deflate"));
  socket.close(4000, "enough");
  const close = await tool.until("stdout", /^\{"type":"close".*$/m);
  assertEquals(JSON.parse(close[0]), { type: "close", id: 1, code: 4000, reason: "enough" });
});

Deno.test("relay: messages, subprotocol and close codes are passed in both directions, and shown", async () => {
  let offered: string | undefined;
  await using server = await wsServer((socket, request) => {
    offered = request.headers["sec-websocket-protocol"];
    socket.on("message", (data: unknown) => {
      if (String(data) === "end") socket.close(4002, "as you say");
      else socket.send(`echo ${data}`);
    });
  });
  await using tool = new Tool("relay", "0", server.url, "-v");
  const client = await wsClient(await tool.url(), ["v2"]);
  assertEquals([offered, client.socket.protocol], ["v2", "v2"]);
  client.socket.send("hello");
  await until(() => client.received.length === 1);
  assertEquals(client.received, ["echo hello"]);
  client.socket.send("end");
  assertEquals(await client.closed, { code: 4002, reason: "as you say" });
  await tool.until("stdout", /^1 > "hello"\n1 < "echo hello"\n/m);
  tool.interrupt();
  assertEquals(await tool.end(), 0);
});

Deno.test("relay: an unreachable server leads to a 502 that says so", async () => {
  await using tool = new Tool("relay", "0", "ws://127.0.0.1:1");
  const { code, stderr } = await runTool(["connect", await tool.url()]);
  assertEquals(code, 5);
  assertMatch(stderr, /^sluice: .*502.*Connection refused.*\n$/);
});

Deno.test("relay: a peer that reads slowly slows the other one down", async () => {
  const total = 64 * 1024 * 1024, chunk = new Uint8Array(64 * 1024);
  let sent = 0, received = 0, lead = 0;
  await using ctx = new Context();
  const pump = (conn: Connection) => {
    while (sent < total) {
      sent += chunk.length;
      if (!conn.send(chunk)) return;
    }
    conn.close();
  };
  const listener = ctx.listen({ hostname: "127.0.0.1", onConnect: pump, onDrain: pump });
  await using tool = new Tool("relay", "0", listener.url);
  for await (const message of ctx.connect(await tool.url())) {
    received += message.length;
    lead = Math.max(lead, sent - received);
    await turn();
  }
  assertEquals(received, total);
  // The kernel's buffers on both ways hold about 12 MiB.
  assert(lead < 32 * 1024 * 1024, `${lead} bytes were passed to a client that doesn't read`);
});

Deno.test("bench: figures are printed as text and as JSON, against this library and ws", async () => {
  await using tool = new Tool("listen", "0", "-q");
  const text = await runTool(["bench", await tool.url(), "--seconds", "0.2", "-c", "2"]);
  assertEquals(text.code, 0, text.stderr);
  assertMatch(text.stdout, /throughput {2}[\d,]+ messages\/s, .*\nlatency {5}p50 .* max .*\n/);
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown, binary: boolean) => socket.send(data, { binary }))
  );
  const json = await runTool(
    [
      "bench",
      server.url,
      "--seconds=0.2",
      "-c",
      "2",
      "-d",
      "4",
      "--size",
      "1000",
      "--text",
      "--json",
    ],
  );
  assertEquals([json.code, json.stderr], [0, ""]);
  const result = JSON.parse(json.stdout);
  assertEquals([result.connections, result.depth, result.size], [2, 4, 1000]);
  assert(result.messages > 0 && result.latency.p50 <= result.latency.p99);
  assert(result.latency.p99 <= result.latency.max);
});

Deno.test("bench: a server that doesn't echo, or that disconnects, leads to an error in one line", async () => {
  await using liar = await wsServer((socket) => socket.on("message", () => socket.send("x")));
  const first = await runTool(["bench", liar.url, "--seconds", "60", "--size", "5", "--text"]);
  assertEquals(first.code, 1);
  assertMatch(
    first.stderr,
    /^sluice: The server is not an echo server: 5 bytes came back as text of 1\n$/,
  );
  await using leaver = await wsServer((socket) => socket.close(1013));
  const second = await runTool(["bench", leaver.url, "--seconds", "60"]);
  assertEquals(second.code, 1);
  assertMatch(second.stderr, /^sluice: Connection lost: received 1013 .*\n$/);
});

Deno.test("bench --rate: messages are sent at the rate, and a stalled server shows in the figures", async () => {
  await using server = new Tool("listen", "0", "-q");
  const url = await server.url();
  const args = ["bench", url, "--rate", "1000", "--seconds", "1", "-c", "2", "--json"];
  const calm = await runTool(args);
  assertEquals([calm.code, calm.stderr], [0, ""]);
  const { rate, messages, missing, depth } = JSON.parse(calm.stdout);
  assertEquals([rate, depth], [1000, undefined]);
  // On a busy machine the clock may be late at the end; messages that were due then count as missing.
  assert(messages + missing > 800 && messages + missing <= 1100, calm.stdout);

  // A server that stops reading after some messages.
  await using ctx = new Context();
  let taken = 0;
  const stalling = ctx.listen({
    hostname: "127.0.0.1",
    onMessage(conn, data) {
      if (++taken > 300) conn.pause();
      else conn.send(data);
    },
  });
  const stalled = await runTool(["bench", stalling.url, ...args.slice(2)]);
  assertEquals(stalled.code, 0, stalled.stderr);
  const result = JSON.parse(stalled.stdout);
  // All messages that were due after that count with the time until the end.
  assert(result.missing > 400, stalled.stdout);
  assert(result.latency.max > 500 && result.latency.p50 > 100, stalled.stdout);
});

Deno.test("bench: Ctrl-C ends the benchmark with the figures so far", async () => {
  await using ctx = new Context();
  const loaded = Promise.withResolvers<void>();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage(conn, data) {
      loaded.resolve();
      conn.send(data);
    },
  });
  await using tool = new Tool("bench", listener.url, "--seconds", "10");
  await loaded.promise;
  const conn = ctx.connect(listener.url);
  await conn.opened;
  // The measurement begins after a tenth of the time.
  const start = performance.now();
  while (performance.now() - start < 2000) await conn.ping();
  tool.interrupt();
  assertEquals(await tool.end(), 130);
  assertMatch(tool.stdout, /^throughput {2}[\d,]+ messages\/s/m);
  assertMatch(tool.stdout, /^ +[\d.]+ to +[\d.]+ ms +[\d.]+ % {2}█+$/m);
});

Deno.test("listen --verbose: a line or an object is printed per message", async () => {
  await using plain = new Tool("listen", "0", "-v");
  const client = await wsClient(await plain.url());
  client.socket.send("hello\nthere");
  client.socket.send(new Uint8Array([1, 255]));
  client.socket.send("x".repeat(1234));
  await plain.until(
    "stdout",
    /^1 > "hello\\nthere"\n1 > \(binary, 2 bytes\) 01 ff\n1 > "x{60}"… \(1,234 characters\)\n/m,
  );
  await using json = new Tool("listen", "0", "-v", "--json");
  const url = JSON.parse((await json.until("stdout", /^.*\n/))[0]).url;
  const other = await wsClient(url);
  other.socket.send("hello");
  const [line] = await json.until("stdout", /^.*"text".*$/m);
  assertEquals(JSON.parse(line), { id: 1, type: "text", data: "hello" });
});
