import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { turn } from "../support/until.ts";
import { runTool, Tool, wsServer } from "./_tool.ts";

Deno.test("connect: sends lines and prints what comes back, from ws", async () => {
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown, binary: boolean) => socket.send(data, { binary }))
  );
  const { code, stdout, stderr } = await runTool(["connect", server.url], "one\ntwö\r\nthree");
  assertEquals(stdout, "one\ntwö\nthree\n");
  assertEquals(code, 0);
  assertMatch(stderr, /^connected to .*\nclosed: sent 1000 .*\n$/);
});

Deno.test("connect: headers, subprotocol and compression reach the server", async () => {
  const seen = Promise.withResolvers<Headers>();
  await using ctx = new Context({ compression: true });
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    protocols: ["b"],
    onHandshake: (request) => seen.resolve(request.headers),
  });
  const { code, stderr } = await runTool([
    "connect",
    listener.url,
    "-H",
    "Authorization: Bearer abc",
    "--header",
    "X-Two: a:b",
    "-s",
    "a",
    "-s",
    "b",
    "--compression",
    "--linger=0",
  ]);
  assertEquals(code, 0, stderr);
  const headers = await seen.promise;
  assertEquals(headers.get("authorization"), "Bearer abc");
  assertEquals(headers.get("x-two"), "a:b");
  assertEquals(headers.get("sec-websocket-protocol"), "a, b");
  assertMatch(stderr, /subprotocol b, permessage-deflate/);
});

Deno.test("connect --json: an object per event", async () => {
  await using server = await wsServer((socket) => {
    socket.send("text");
    socket.send(new Uint8Array([0, 255]));
    socket.close(1000, "done");
  });
  await using tool = new Tool("connect", server.url, "--json", "--ping", "0.05");
  assertEquals(await tool.end(), 0);
  const events = tool.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(events.map(({ type }) => type).filter((type) => type !== "ping"), [
    "open",
    "text",
    "binary",
    "close",
  ]);
  assertEquals(events.find(({ type }) => type === "text").data, "text");
  assertEquals(events.find(({ type }) => type === "binary").base64, "AP8=");
  assertEquals(events.at(-1).reason, "done");
});

Deno.test("connect --ping: prints round trips until Ctrl-C, which exits with 130", async () => {
  await using server = await wsServer(() => {});
  await using tool = new Tool("connect", server.url, "--ping", "0.02");
  await tool.until("stderr", /ping: [\d.]+ ms\n.*ping: /s);
  tool.interrupt();
  assertEquals(await tool.end(), 130);
  assert(!tool.stderr.includes(" at "), tool.stderr);
});

Deno.test("connect --ping: goes on trying while the connection closes, and says nothing of it", async () => {
  const paused = Promise.withResolvers<{ resume(): void }>();
  await using server = await wsServer((socket) => {
    let pings = 0;
    socket.on("ping", () => {
      if (++pings !== 2) return;
      socket.pause();
      paused.resolve(socket);
    });
  });
  await using tool = new Tool("connect", server.url, "--ping", "0.001");
  const socket = await paused.promise;
  tool.interrupt();
  // It takes the server several pings to see our close frame.
  for (let turns = 0; turns < 100; turns++) await turn();
  socket.resume();
  assertEquals(await tool.end(), 130);
  assert(!tool.stderr.includes(" at "), tool.stderr);
});

Deno.test("connect --binary: lines go as binary, and come out as they are", async () => {
  const types: boolean[] = [];
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown, binary: boolean) => {
      types.push(binary);
      socket.send(data, { binary });
    })
  );
  const { stdout } = await runTool(["connect", server.url, "-b"], "a\nb\n");
  assertEquals(stdout, "ab");
  assertEquals(types, [true, true]);
});

Deno.test("connect: standard input is read no faster than the server takes it", async () => {
  const line = "x".repeat(1023) + "\n", block = line.repeat(64);
  const total = 48 * 1024 * 1024;
  let typed = 0, bytes = 0, lead = 0;
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage(_, data) {
      bytes += data.length + 1;
      lead = Math.max(lead, typed - bytes);
      // A slow server: other things get their turn after every block.
      if (bytes % block.length === 0) return turn();
    },
  });
  await using tool = new Tool("connect", listener.url, "-q");
  for (; typed < total; typed += block.length) await tool.type(block);
  await tool.endInput();
  assertEquals(await tool.end(), 0);
  assertEquals(bytes, total);
  // What the kernel holds on the way is some 6 MiB.
  assert(lead < 24 * 1024 * 1024, `${lead} bytes were read ahead`);
});

Deno.test("connect: a reader that has enough ends it with 0, and quietly", async () => {
  await using server = await wsServer((socket) => {
    const more = () => socket.readyState === 1 && socket.send("x".repeat(1000), more);
    more();
  });
  const command = `{ "$@" </dev/null; echo "code $?" >&2; } | head -n 2`;
  const { stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", command, "sh", Deno.execPath(), "run", "-A", "--no-check", "cli.ts", "connect"]
      .concat(server.url, "-q", "--keep-open"),
    cwd: new URL("../..", import.meta.url),
    stdout: "piped",
    stderr: "piped",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), ("x".repeat(1000) + "\n").repeat(2));
  assertEquals(new TextDecoder().decode(stderr), "code 0\n");
});

Deno.test("connect: a lost connection and a bad close exit with 1 and say why", async () => {
  await using lost = await wsServer((socket) => socket.terminate());
  const first = await runTool(["connect", lost.url, "-q", "--keep-open"]);
  assertEquals(first.code, 1);
  assertMatch(first.stderr, /^sluice: Connection lost: .*no close frame received.*\n$/);
  await using bad = await wsServer((socket) => socket.close(4001, "go away"));
  const second = await runTool(["connect", bad.url, "-q", "--keep-open"]);
  assertEquals(second.code, 1);
  assertMatch(second.stderr, /^sluice: Connection lost: received 4001 .*"go away".*\n$/);
});
