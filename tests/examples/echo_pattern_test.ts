import { assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { RawPeer } from "../support/raw_peer.ts";

const ROOT = new URL("../../", import.meta.url);

/** Runs a program of the repository that serves; returns its port, and its console output at the end. */
async function serve(args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-net", "--no-check", ...args],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  return {
    port: Number(/:(\d+)\//.exec(value!)![1]),
    async end(): Promise<string> {
      child.kill();
      await reader.cancel();
      const stderr = await new Response(child.stderr).text();
      await child.status;
      return stderr;
    },
  };
}

/** Sends a large message, a small one and a close frame at once, and reads nothing before. */
async function hurry(port: number): Promise<{ payload: Uint8Array; opcode: number }[]> {
  using raw = await RawPeer.connect(port, { "Host": `127.0.0.1:${port}` });
  const sent = (async () => {
    await raw.send(2, new Uint8Array(12 * 1024 * 1024));
    await raw.send(1, "small");
    await raw.sendClose(1000);
  })();
  const frames = await raw.frames();
  await sent;
  return frames;
}

Deno.test("fault 64: the echo server answers a large message, and doesn't send after the close", async () => {
  const server = await serve(["examples/echo_server.ts", "--port", "0"]);
  const frames = await hurry(server.port);
  assertEquals(frames.at(-1)!.opcode, 8);
  assertEquals(frames[0].payload.length, 12 * 1024 * 1024);
  assertEquals(await server.end(), "");
});

Deno.test("fault 64: the relay doesn't send after the close", async () => {
  await using ctx = new Context();
  const echo = ctx.listen({
    hostname: "127.0.0.1",
    maxMessageSize: 0,
    onMessage(conn, data) {
      if (conn.state === "open" && !conn.send(data)) conn.pause();
    },
    onDrain: (conn) => conn.resume(),
  });
  const server = await serve(["examples/relay.ts", "--port", "0", "--upstream", echo.url]);
  using raw = await RawPeer.connect(server.port, { "Host": `127.0.0.1:${server.port}` });
  for (let i = 0; i < 30; i++) void raw.send(2, new Uint8Array(512 * 1024));
  void raw.send(1, "small");
  void raw.sendClose(1000);
  assertEquals((await raw.frames()).at(-1)!.opcode, 8);
  assertEquals(await server.end(), "");
});

Deno.test("fault 64: every example that sends and pauses checks whether the connection is open", async () => {
  const unguarded: string[] = [];
  const files = ["README.md"];
  for (const folder of ["docs", "examples", "cli"]) {
    for await (const { name, isFile } of Deno.readDir(new URL(folder, ROOT))) {
      if (isFile && /\.(md|ts)$/.test(name)) files.push(`${folder}/${name}`);
    }
  }
  for (const file of files) {
    for (const line of (await Deno.readTextFile(new URL(file, ROOT))).split("\n")) {
      const guarded = /state === "open" && !\S+\.send\(/.test(line);
      if (/!\S+\.send\(.*\.pause\(\)/.test(line) && !guarded) {
        unguarded.push(`${file}: ${line.trim()}`);
      }
    }
  }
  assertEquals(unguarded, []);
});
