import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { findProgram, skip } from "../support/needs.ts";
import { CLOSE, closeFrame, frame, TEXT } from "../support/frames.ts";
import { rawListener, RawPeer, urlOf } from "../support/raw_peer.ts";
import { firstUnsafe, UNSAFE } from "../support/unsafe.ts";
import { COMMAND, runTool, Tool, wsServer } from "./_tool.ts";

const script = findProgram("script");

/** A message with every character that must not reach a terminal. */
const RUDE = UNSAFE.join("");
/** A close reason with some of them, in at most 123 bytes. */
const SHORT = "\x1b[2J\x7f\x80\x9b31m\u202e\u2066\u2028";

/** Accepts a client, and sends these texts. */
async function rudeServer(listener: Deno.TcpListener): Promise<void> {
  const peer = await RawPeer.accept(listener);
  await peer.send(frame(TEXT, RUDE), closeFrame(4001, SHORT));
  await peer.next(CLOSE);
  peer.close();
}

Deno.test("fault 52: --json escapes control characters of a peer's texts, and keeps the texts exact", async () => {
  using listener = rawListener();
  const served = rudeServer(listener);
  const { code, stdout, stderr } = await runTool([
    "connect",
    urlOf(listener),
    "--json",
    "--keep-open",
  ]);
  await served;
  assertEquals(code, 1);
  for (const text of [stdout, stderr]) assertEquals(firstUnsafe(text, "\n"), undefined);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(events.map(({ type }) => type), ["open", "text", "close", "error"]);
  assertEquals([events[1].data, events[2].reason], [RUDE, SHORT]);
  assertMatch(stderr, /"\\u001b\[2J\\u007f\\u0080\\u009b31m\\u202e\\u2066\\u2028"/);
});

Deno.test("fault 52: texts of a server's peers are escaped, too", async () => {
  using listener = rawListener();
  const served = rudeServer(listener);
  await using relay = new Tool("relay", "0", urlOf(listener), "-v");
  await using json = new Tool("listen", "0", "--json");
  await using plain = new Tool("listen", "0");
  await using ctx = new Context();
  for (const tool of [relay, json, plain]) {
    const url = tool === json
      ? JSON.parse((await tool.until("stdout", /^.*\n/))[0]).url
      : await tool.url();
    const conn = ctx.connect(`${url}a%9b/\x9b?\u202e`);
    await conn.opened;
    if (tool !== relay) conn.close(4001, SHORT);
    await conn.closed;
    await tool.until("stderr", /1: .*4001.*\n/);
    tool.interrupt();
    assertEquals(await tool.end(), 0);
    for (const text of [tool.stdout, tool.stderr]) {
      assertEquals(firstUnsafe(text, "\n"), undefined, JSON.stringify(text));
    }
  }
  await served;
  assertMatch(relay.stdout, /1 < "\\u0000/);
  assertEquals(JSON.parse(json.stdout.trim().split("\n").at(-1)!).reason, SHORT);
});

Deno.test("fault 52: a refusal's reason phrase and body are escaped", async () => {
  using listener = rawListener();
  const running = runTool(["connect", urlOf(listener)]);
  using peer = new RawPeer(await listener.accept(), "server");
  await peer.readHead();
  const answer = "HTTP/1.1 403 \x9b31m\r\nContent-Length: 5\r\n\r\n\xc2\x9b[2J";
  await peer.write(Uint8Array.from(answer, (char) => char.charCodeAt(0)));
  peer.close();
  const { code, stderr } = await running;
  assertEquals(code, 5);
  assertMatch(stderr, /403 \\u009b31m: \\u009b\[2J\n$/);
});

Deno.test({
  name: "fault 52: a message can't control the terminal",
  ignore: skip(script, "script"),
  async fn() {
    using listener = rawListener();
    const served = rudeServer(listener);
    const sluice = [Deno.execPath(), ...COMMAND, "connect", urlOf(listener), "--keep-open"];
    const { stdout } = await new Deno.Command("script", {
      args: ["-qec", sluice.join(" "), "/dev/null"],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
    await served;
    const shown = new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout);
    // Line ends are added by the terminal. The rest draws the prompt: move to a column, and clear what follows.
    const drawing = ["\r", "\x1b[1G", "\x1b[3G", "\x1b[0J", "\x1b[J"];
    const lines = drawing.reduce((text, code) => text.replaceAll(code, ""), shown)
      .replaceAll("^D\b\b", "").trim().split("\n");
    assertEquals(lines.map((line) => firstUnsafe(line, "\t")), lines.map(() => undefined), shown);
    assert(lines.some((line) => line.includes("\\u009b") && line.includes("\\u202e")), shown);
  },
});

Deno.test("fault 53: relay and listen --exec refuse pages of other origins, unless they are named", async () => {
  await using server = await wsServer(() => {});
  await using relay = new Tool("relay", "0", server.url);
  await using exec = new Tool("listen", "0", "--exec", "cat");
  await using named = new Tool("relay", "0", server.url, "--origin", "https://a.example");
  await using all = new Tool("listen", "0", "--exec", "cat", "--origin", "*");
  await using echo = new Tool("listen", "0");
  await using strict = new Tool("listen", "0", "--origin", "https://a.example");
  const port = async (tool: Tool) => Number(new URL(await tool.url()).port);
  /** Whether a page of this origin can connect; `null` is a program without an origin. */
  const comesIn = async (tool: Tool, origin: string | null) => {
    using peer = await RawPeer.dial(await port(tool));
    const host = `Host: 127.0.0.1:${await port(tool)}\r\n`;
    await peer.write(
      `GET / HTTP/1.1\r\n${host}Upgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
        `${origin === null ? "" : `Origin: ${origin}\r\n`}\r\n`,
    );
    const status = (await peer.readHead()).split(" ")[1];
    assert(status === "101" || status === "403", status);
    return status === "101";
  };
  const own = `http://127.0.0.1:${await port(relay)}`;
  for (const tool of [relay, exec]) {
    assertEquals(await comesIn(tool, null), true);
    // An origin with the tool's own host, too: a page's host name may resolve to this machine (DNS rebinding).
    for (const origin of ["https://a.example", "null", own]) {
      assertEquals(await comesIn(tool, origin), false);
    }
  }
  for (const tool of [named, strict]) {
    assertEquals(await comesIn(tool, "https://a.example"), true);
    assertEquals(await comesIn(tool, "https://b.example"), false);
    assertEquals(await comesIn(tool, null), true);
  }
  for (const tool of [all, echo]) assertEquals(await comesIn(tool, "https://b.example"), true);
  assertMatch(relay.stderr, /refused a page of origin "https:\/\/a\.example": see --origin\n/);
});

Deno.test("fault 53: relay and listen --exec limit the number of their connections", async () => {
  await using server = await wsServer(() => {});
  await using relay = new Tool("relay", "0", server.url, "--max-connections", "2");
  await using exec = new Tool("listen", "0", "--exec", "cat", "--max-connections", "2");
  await using ctx = new Context({ onError: () => {} });
  for (const tool of [relay, exec]) {
    const url = await tool.url();
    const conns = [ctx.connect(url), ctx.connect(url)];
    await Promise.all(conns.map(({ opened }) => opened));
    const { status } = await ctx.connect(url).opened.then(
      () => ({ status: 101 }),
      (error) => error,
    );
    assertEquals(status, 503);
    conns[0].close();
    await conns[0].closed;
    // There is room again after the tool has noticed the end of a connection.
    let again = null;
    while (again === null) {
      again = await ctx.connect(url).opened.then(() => 101, (error) => {
        assertEquals(error.status, 503);
        return null;
      });
    }
  }
});

Deno.test("fault 53: commands that outlive their connections count, and end", async () => {
  const dir = await Deno.makeTempDir();
  try {
    // A command that ignores SIGTERM and the end of its input. Its child process has to end as well.
    const command = `trap "" TERM; echo $$ >> ${dir}/pids; echo started; sh -c 'trap "" TERM; ` +
      `echo $$ >> ${dir}/pids; while :; do sleep 1; done'`;
    await using tool = new Tool("listen", "0", "--exec", command, "--max-connections", "2");
    await using ctx = new Context();
    const url = await tool.url();
    for (let i = 0; i < 2; i++) {
      const conn = ctx.connect(url);
      assertEquals(await conn.receive(), "started");
      conn.close();
      await conn.closed;
    }
    const third = await ctx.connect(url).closed;
    assertEquals([third.code, third.reason], [1013, "too many commands are running"]);
    let pids: string[] = [];
    while (pids.length < 4) pids = (await Deno.readTextFile(`${dir}/pids`)).trim().split("\n");
    // The processes get SIGTERM, and then SIGKILL.
    for (let left = pids; left.length > 0;) {
      const { stdout } = await new Deno.Command("ps", {
        args: ["-o", "stat=", "-p", pids.join(",")],
      }).output();
      left = new TextDecoder().decode(stdout).split("\n").filter((stat) => /^[^Z]/.test(stat));
    }
    const conn = ctx.connect(url);
    assertEquals(await conn.receive(), "started");
    conn.close();
    tool.interrupt();
    assertEquals(await tool.end(), 0);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("fault 53: one message is one line, for a command and for readers of the output", async () => {
  await using tool = new Tool("listen", "0", "--exec", "cat -A");
  await using ctx = new Context();
  const conn = ctx.connect(await tool.url());
  await conn.opened;
  for (const text of ["a\nb", "a\r\nb\n\nc", "\n", "a\rb", "end"]) conn.send(text);
  conn.send(new TextEncoder().encode("x\r\ny\nz\n"));
  const lines = [];
  for (let i = 0; i < 6; i++) lines.push(await conn.receive());
  assertEquals(lines, ["a b$", "a b  c$", " $", "a^Mb$", "end$", "x y z $"]);
  await using server = await wsServer((socket) => {
    for (const text of ["a\nb", "c\r\nd"]) socket.send(text);
    socket.close(1000);
  });
  const { stdout } = await runTool(["connect", server.url, "--keep-open"]);
  assertEquals(stdout, "a b\nc d\n");
});

Deno.test({
  name: "fault 54: a reader that closes the pipe isn't a failure, a full disk is",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using server = await wsServer((socket) => socket.send("lost"));
    const run = async (...args: string[]) => {
      const { code, stderr } = await new Deno.Command("sh", {
        args: ["-c", '"$@" < /dev/null > /dev/full', "sh", Deno.execPath(), ...COMMAND, ...args],
        stderr: "piped",
        env: { NO_COLOR: "1" },
      }).output();
      return { code, stderr: new TextDecoder().decode(stderr) };
    };
    for (
      const args of [
        ["connect", server.url, "-q", "--keep-open"],
        ["connect", server.url, "-q", "--json"],
        ["listen", "0"],
        ["relay", "0", server.url],
        ["--help"],
        ["bench", "--help"],
      ]
    ) {
      const { code, stderr } = await run(...args);
      assertEquals(code, 1, stderr);
      assertMatch(stderr, /^sluice: Cannot write to standard output: No space left .*\n$/);
    }
    // The failure of the command itself comes first, with its own exit code.
    const { code, stderr } = await run("connect", "ws://127.0.0.1:1", "--json");
    assertEquals(code, 3);
    assertMatch(stderr, /^sluice: .*refused.*\n$/i);
  },
});

Deno.test("times above the maximum of a timer aren't shortened", async () => {
  await using server = await wsServer((socket) => {
    socket.on("message", (data: unknown, binary: boolean) => socket.send(data, { binary }));
  });
  await using bench = new Tool("bench", server.url, "--seconds", "99999999", "--json");
  await using connect = new Tool("connect", server.url, "--ping", "99999999", "--linger", "9e9");
  await connect.until("stderr", /connected/);
  await connect.type("hello\n");
  await connect.endInput();
  await connect.until("stdout", /hello\n/);
  for (const tool of [bench, connect]) {
    tool.interrupt();
    assertEquals(await tool.end(), 130);
  }
  assertEquals(bench.stdout, "");
  assert(!connect.stderr.includes("ping"));
});
