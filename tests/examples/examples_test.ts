import { assert, assertEquals, assertMatch } from "@std/assert";
import { Context } from "../../mod.ts";
import { deno } from "../support/child.ts";
import { runExample, serveExample } from "../support/example.ts";
import { until } from "../support/until.ts";

Deno.test("backpressure: every chunk arrives, and the queue never exceeds 128 KiB", async () => {
  const { code, stdout, stderr } = await runExample("backpressure");
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /received 200 chunks of 65536 bytes, in order/);
  assert(Number(/stopped (\d+) times/.exec(stdout)![1]) > 0);
  const highest = Number(/most bytes queued: (\d+)/.exec(stdout)![1]);
  assert(highest > 0 && highest <= 128 * 1024, stdout);
});

Deno.test("chat_server: messages, joins and leaves reach the other clients", async () => {
  await using server = await serveExample("chat_server");
  assertMatch(server.line, /^listening on ws:\/\/127\.0\.0\.1:\d+\/\n$/);
  await using ctx = new Context();
  const join = async (name: string) => {
    const heard: unknown[] = [];
    const conn = ctx.connect(`${server.url}?name=${name}`, {
      onMessage: (_, data) => heard.push(data),
    });
    await conn.opened;
    return { conn, heard };
  };
  const ann = await join("Ann");
  const bob = await join("Bob");
  await until(() => ann.heard.length === 1);
  const eve = await join("Eve");
  await until(() => bob.heard.length === 1);
  ann.conn.send("hello");
  await until(() => bob.heard.length === 2 && eve.heard.length === 1);
  bob.conn.close();
  await until(() => ann.heard.length === 3 && eve.heard.length === 2);
  assertEquals(ann.heard, ["Bob has joined", "Eve has joined", "Bob has left"]);
  assertEquals(bob.heard, ["Eve has joined", "Ann: hello"]);
  assertEquals(eve.heard, ["Ann: hello", "Bob has left"]);
  const refused = ctx.connect(server.url);
  assertEquals((await refused.closed).code, 1006);
});

Deno.test("echo_server: the URL is printed, and a client that doesn't read can't send 64 MiB", async () => {
  await using server = await serveExample("echo_server");
  assertMatch(server.line, /^listening on ws:\/\/127\.0\.0\.1:\d+\/\n$/);
  await using ctx = new Context({ maxMessageSize: 0, maxQueueBytes: 0 });
  const conn = ctx.connect(server.url);
  await conn.opened;
  conn.send("text");
  assertEquals(await conn.receive(), "text");
  // The echoes aren't read, so the progress stops when all buffers are full.
  for (let i = 0; i < 256; i++) conn.send(new Uint8Array(64 * 1024).fill(i));
  for (let i = 0; i < 256; i++) {
    const data = await conn.receive() as Uint8Array;
    assert(data.length === 64 * 1024 && data[0] === i);
  }
  const large = new Uint8Array(64 * 1024 * 1024).fill(7);
  conn.send(large);
  const echo = await conn.receive() as Uint8Array;
  assert(echo.length === large.length && echo.every((byte) => byte === 7));
});

Deno.test("demo: both clients exchange messages, 64 MiB are streamed, and all bounds are kept", async () => {
  const { code, stdout, stderr } = await runExample("demo");
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /echo server on ws:\/\/127\.0\.0\.1:\d+\//);
  assertMatch(stdout, /a fragmented message comes back/);
  assertMatch(stdout, /closed: sent 1000 .*; received 1000 /);
  assertMatch(stdout, /all 64\.0 MiB arrived/);
  assertMatch(stdout, /all bounds hold/);
  assert(!stdout.includes("FAILED"));
});

Deno.test("with an empty cache the demo prints only its own output", async () => {
  const cache = await Deno.makeTempDir();
  try {
    const { code, stdout, stderr } = await deno(["task", "demo"], {
      cwd: new URL("../..", import.meta.url),
      env: { DENO_DIR: cache },
    });
    const [task, ...rest] = stderr.trim().split("\n");
    assert(code === 0 && task.startsWith("Task demo "), task);
    assertEquals(rest, []);
    assertMatch(stdout, /^echo server on /);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("the tool, the demo and the examples have no dependencies", async () => {
  const root = new URL("../..", import.meta.url);
  const programs = ["cli.ts", "examples/live/main.ts", "examples/live/producer.ts"];
  for await (const { name, isFile } of Deno.readDir(new URL("examples", root))) {
    // The example for Hono needs it.
    if (isFile && name !== "hono_server.ts") programs.push(`examples/${name}`);
  }
  assert(programs.length > 20);
  await Promise.all(programs.map(async (program) => {
    const { stdout } = await deno(["info", "--json", program], { cwd: root });
    const { roots, modules } = JSON.parse(stdout);
    // Imports of types only aren't loaded.
    const loaded = new Set<string>(roots);
    for (const specifier of loaded) {
      const module = modules.find((module: { specifier: string }) =>
        module.specifier === specifier
      );
      for (const { code } of module?.dependencies ?? []) if (code) loaded.add(code.specifier);
    }
    assertEquals([...loaded].filter((name) => !/^(file|node):/.test(name)), [], program);
  }));
});

Deno.test("the index has exactly one line for every example", async () => {
  const folder = new URL("../../examples/", import.meta.url);
  const index = await Deno.readTextFile(new URL("README.md", folder));
  const listed = [...index.matchAll(/^\| \[(\S+)\]\((\S+)\) +\| \S.* \|$/gm)].map(([, name]) =>
    name
  );
  const there: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (name !== "README.md") there.push(isDirectory ? `${name}/` : name);
  }
  assertEquals(listed.toSorted(), there.toSorted());
});
