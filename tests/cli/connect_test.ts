import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { turn, until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { runTool, Tool, wsServer } from "./_tool.ts";

Deno.test("connect: lines are sent, and the messages of ws are printed", async () => {
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

Deno.test("connect --json: an object is printed per event", async () => {
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

Deno.test("connect --ping: round trips are printed until Ctrl-C, which exits with 130", async () => {
  await using server = await wsServer(() => {});
  await using tool = new Tool("connect", server.url, "--ping", "0.02");
  await tool.until("stderr", /ping: [\d.]+ ms\n.*ping: /s);
  tool.interrupt();
  assertEquals(await tool.end(), 130);
  assert(!tool.stderr.includes(" at "), tool.stderr);
});

Deno.test("connect --ping: pings that fail while the connection closes aren't reported", async () => {
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
  // The server reads our close frame after several pings.
  for (let turns = 0; turns < 100; turns++) await turn();
  socket.resume();
  assertEquals(await tool.end(), 130);
  assert(!tool.stderr.includes(" at "), tool.stderr);
});

Deno.test("connect --binary: lines are sent as binary messages, and binary messages are printed unchanged", async () => {
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

Deno.test("connect: standard input is read no faster than the server accepts it", async () => {
  const line = "x".repeat(1023) + "\n", block = line.repeat(64);
  const total = 48 * 1024 * 1024;
  let typed = 0, bytes = 0, lead = 0;
  await using ctx = new Context();
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    onMessage(_, data) {
      bytes += data.length + 1;
      lead = Math.max(lead, typed - bytes);
      // A slow server: after every block it waits for a turn of the event loop.
      if (bytes % block.length === 0) return turn();
    },
  });
  await using tool = new Tool("connect", listener.url, "-q");
  for (; typed < total; typed += block.length) await tool.type(block);
  await tool.endInput();
  assertEquals(await tool.end(), 0);
  assertEquals(bytes, total);
  // The kernel's buffers on the way hold about 6 MiB.
  assert(lead < 24 * 1024 * 1024, `${lead} bytes were read ahead`);
});

Deno.test("connect: a reader that closes the pipe ends the tool with 0 and without an error", async () => {
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

Deno.test("connect: a lost connection and an abnormal close exit with 1 and name the reason", async () => {
  await using lost = await wsServer((socket) => socket.terminate());
  const first = await runTool(["connect", lost.url, "-q", "--keep-open"]);
  assertEquals(first.code, 1);
  assertMatch(first.stderr, /^sluice: Connection lost: .*no close frame received.*\n$/);
  await using bad = await wsServer((socket) => socket.close(4001, "go away"));
  const second = await runTool(["connect", bad.url, "-q", "--keep-open"]);
  assertEquals(second.code, 1);
  assertMatch(second.stderr, /^sluice: Connection lost: received 4001 .*"go away".*\n$/);
});

Deno.test("connect --message, -1: the given messages are sent, and the first answer ends the tool", async () => {
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown) => {
      for (const text of ["first", "second"]) socket.send(`${text} of ${data}`);
    })
  );
  // Standard input isn't read.
  const { code, stdout } = await runTool(
    ["connect", server.url, "-q", "-m", "a", "-1"],
    "unread\n",
  );
  assertEquals([code, stdout], [0, "first of a\n"]);
  const both = await runTool(["connect", server.url, "-q", "-m", "a", "--message=b"]);
  assertEquals(both.stdout, "first of a\nsecond of a\nfirst of b\nsecond of b\n");
});

Deno.test("connect --file: a file is sent as one message, which may be larger than the queue", async () => {
  const path = await Deno.makeTempFile();
  try {
    const size = 20 * 1024 * 1024;
    await Deno.writeFile(path, new Uint8Array(size).fill(7));
    const received = Promise.withResolvers<[type: string, length: number]>();
    await using ctx = new Context({ maxMessageSize: 0 });
    const { url } = ctx.listen({
      hostname: "127.0.0.1",
      onMessage: (_, data) => received.resolve([typeof data, data.length]),
    });
    const args = ["connect", url, "-q", "--file", path, "--binary", "--max-size", "1024"];
    const { code, stderr } = await runTool(args);
    assertEquals([code, stderr], [0, ""]);
    assertEquals(await received.promise, ["object", size]);
    const missing = await runTool(["connect", url, "-q", "--file", "no.txt"]);
    assertEquals(missing.code, 1);
    assertMatch(missing.stderr, /^sluice: Cannot read --file no\.txt: no such file\n$/);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("connect --null: messages keep their line ends in both directions", async () => {
  const received: string[] = [];
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown) => {
      received.push(String(data));
      socket.send(`${data}!\n`);
    })
  );
  const { stdout } = await runTool(["connect", server.url, "-q", "-0"], "a\r\nb\0c\0\0d");
  assertEquals(received, ["a\r\nb", "c", "", "d"]);
  assertEquals(stdout, "a\r\nb!\n\0c!\n\0!\n\0d!\n\0");
});

Deno.test("connect: the error for a line that isn't UTF-8 names it, and earlier lines have been sent", async () => {
  const received: string[] = [];
  await using server = await wsServer((socket) =>
    socket.on("message", (data: unknown) => received.push(String(data)))
  );
  const command = `printf 'one\\ntwo\\377\\nthree\\n' | "$@"`;
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", command, "sh", Deno.execPath(), "run", "-A", "--no-check", "cli.ts", "connect"]
      .concat(server.url, "-q"),
    cwd: new URL("../..", import.meta.url),
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(code, 1);
  assertEquals(
    new TextDecoder().decode(stderr),
    "sluice: Cannot send line 2 as text: it isn't valid UTF-8 (see --binary)\n",
  );
  assertEquals(received, ["one"]);
});

Deno.test("connect: --auth, --unix, --show-headers and a URL without a scheme work", async () => {
  await using ctx = new Context({ onError: () => {} });
  const handshake = {
    headers: { "X-Server": "here" },
    onHandshake: ({ headers }: Request) => {
      return headers.get("authorization") === "Basic w6RubjpzOndvcmQ=" ||
        new Response("who?", { status: 401, headers: { "WWW-Authenticate": "Basic" } });
    },
  };
  const { port } = ctx.listen({ hostname: "127.0.0.1", ...handshake });
  const auth = ["--auth", "änn:s:word", "--linger=0"];
  const shown = await runTool(["connect", `127.0.0.1:${port}`, ...auth, "--show-headers"]);
  assertEquals(shown.code, 0, shown.stderr);
  assertMatch(shown.stderr, /^connected to ws:\/\/127\.0\.0\.1:\d+\/?\n[^]*^x-server: here\n/m);
  const json = await runTool(["connect", `127.0.0.1:${port}`, ...auth, "--show-headers", "--json"]);
  const open = JSON.parse(json.stdout.split("\n")[0]);
  assertEquals(new Map(open.headers).get("x-server"), "here");
  const refused = await runTool(["connect", `127.0.0.1:${port}`, "--show-headers"]);
  assertEquals(refused.code, 5);
  assertMatch(refused.stderr, /^www-authenticate: Basic\nsluice: .*401.*: who\?\n$/m);
  const unix = `${await Deno.makeTempDir()}/socket`;
  ctx.listen({ unix, ...handshake });
  const local = await runTool(["connect", "localhost/path", ...auth, "--unix", unix]);
  assertEquals(local.code, 0, local.stderr);
});

Deno.test("connect --cert, --key: a client certificate is sent", async () => {
  using certificates = makeCertificates();
  const { server, client, ca } = certificates;
  await using ctx = new Context();
  const { port } = ctx.listen({
    hostname: "127.0.0.1",
    tls: { ...server, clientCaCerts: ca },
    onConnect: (conn) => void conn.send(`hello ${conn.peerCertificate?.subject.CN}`),
  });
  const files = ["ca", "cert", "key"].map((name) => `${certificates.dir}/of-tool.${name}`);
  const texts = [ca, client.cert, client.key];
  for (const [i, path] of files.entries()) await Deno.writeTextFile(path, texts[i]);
  const args = ["--ca", files[0], "--cert", files[1], "--key", files[2]];
  const { code, stdout, stderr } = await runTool(["connect", `wss://localhost:${port}`, ...args]);
  assertEquals([code, stdout], [0, "hello alice\n"], stderr);
});

Deno.test("connect --reconnect: lines that are read without a connection are sent over the next one", async () => {
  await using ctx = new Context();
  const heard: unknown[] = [];
  let connections = 0;
  const all = Promise.withResolvers<void>();
  const { url } = ctx.listen({
    hostname: "127.0.0.1",
    onConnect: () => void connections++,
    onMessage(conn, data) {
      heard.push(data);
      if (heard.length === 3) all.resolve();
      conn.close(1001, "restarting");
    },
  });
  await using tool = new Tool("connect", url, "--reconnect", "--json");
  for (const line of ["one", "two", "three"]) {
    await tool.type(`${line}\n`);
    const count = heard.length;
    await until(() => heard.length > count);
    // The next line is typed while the tool isn't connected.
    await tool.until("stdout", new RegExp(`(?:"retry"[^]*){${count + 1}}`));
  }
  await all.promise;
  assertEquals(heard, ["one", "two", "three"]);
  tool.interrupt();
  assertEquals(await tool.end(), 130);
  assert(connections >= 3);
  const retry = tool.stdout.split("\n").find((line) => line.includes('"retry"'))!;
  assertMatch(JSON.parse(retry).message, /has ended: .*1001.*"restarting"/);
});

Deno.test("connect --reconnect: a permanent refusal ends the tool with its exit code", async () => {
  await using ctx = new Context();
  const { url } = ctx.listen({ hostname: "127.0.0.1", onHandshake: () => false });
  const { code, stderr } = await runTool(["connect", url, "--reconnect", "--keep-open"]);
  assertEquals(code, 5);
  assertMatch(stderr, /^sluice: .*403.*\n$/);
});
