import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { UnsupportedError } from "../../mod.ts";
import { eventLayout } from "../../src/transport/system/libc.ts";
import type { SocketTransport } from "../../src/transport/sockets.ts";
import { makePoller } from "../../src/transport/system/system_sockets.ts";
import { systemSockets } from "../../system.ts";
import { randomBytes } from "../support/random.ts";
import { turn, until } from "../support/until.ts";
import { IMPORT, LISTEN, pair, run, SOCKETS, TCP } from "./_system.ts";
import { writeAll } from "./streams.ts";

async function readAll(from: SocketTransport): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [], buffer = new Uint8Array(10_000);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
    chunks.push(buffer.slice(0, count));
  }
}

Deno.test("system sockets: bytes are sent in both directions and in order, and each direction ends separately", async () => {
  const [client, server] = await pair();
  const bytes = randomBytes(3_000_000, 5);
  const got = readAll(server);
  await writeAll(client, bytes);
  await client.closeWrite();
  assertEquals(await got, bytes);
  await writeAll(server, bytes.subarray(0, 100));
  await server.closeWrite();
  assertEquals(await readAll(client), bytes.slice(0, 100));
  client.close();
  server.close();
  assertThrows(() => server.close(), Deno.errors.BadResource);
  await assertRejects(() => server.read(new Uint8Array(1)), Deno.errors.BadResource);
  await assertRejects(() => server.write(new Uint8Array(1)), Deno.errors.BadResource);
});

Deno.test("system sockets: writes to a peer that doesn't read wait", async () => {
  const [client, server] = await pair();
  const block = new Uint8Array(1024 * 1024);
  let written = 0, waiting = false;
  const writing = (async () => {
    for (let i = 0; i < 64; i++) {
      for (let at = 0; at < block.length;) {
        const write = client.write(block.subarray(at));
        waiting = true;
        const count = await write;
        waiting = false;
        at += count;
        written += count;
      }
    }
    await client.closeWrite();
  })();
  let last = -1;
  // The kernel accepts no more: a write is pending, and the count stays the same.
  await until(() => {
    const still = waiting && written === last;
    last = written;
    return still;
  });
  assert(written < 32 * block.length, String(written));
  assertEquals((await readAll(server)).length, 64 * block.length);
  await writing;
  client.close();
  server.close();
});

Deno.test("system sockets: tryRead and tryWrite return at once, and notices come in a later turn", async () => {
  const [client, server] = await pair();
  const into = new Uint8Array(16);
  assertEquals(server.tryRead!(into), 0);
  const notices: string[] = [];
  const readable = Promise.withResolvers<void>();
  server.whenReadable!(() => {
    notices.push("readable");
    readable.resolve();
  });
  assertEquals(client.tryWrite!(Uint8Array.of(1, 2, 3)), 3);
  await readable.promise;
  assertEquals(server.tryRead!(into), 3);
  // Readiness from before the call is reported as well, in a later turn.
  client.tryWrite!(new Uint8Array(100));
  const again = Promise.withResolvers<void>();
  server.whenReadable!(again.resolve);
  await again.promise;
  assertEquals(server.tryRead!(into), 16);
  const rest = Promise.withResolvers<void>();
  let later = false;
  server.whenReadable!(() => {
    assert(later);
    rest.resolve();
  });
  later = true;
  await rest.promise;
  const room = new Uint8Array(1024 * 1024);
  let taken = 0;
  for (let count = -1; count !== 0; taken += count) count = client.tryWrite!(room);
  const writable = Promise.withResolvers<void>();
  client.whenWritable!(writable.resolve);
  let drained = 84;
  while (drained < taken + 184 - 16 - 84) {
    const count = server.tryRead!(room);
    if (count === null) break;
    drained += count;
    if (count === 0) await turn();
    if (drained > taken) break;
  }
  await writable.promise;
  assert(client.tryWrite!(Uint8Array.of(1)) === 1);
  client.close();
  server.close();
});

Deno.test("system sockets: a reset is an error with its cause, before and during a wait", async () => {
  const [client, server] = await pair();
  await client.write(Uint8Array.of(1));
  // Closing with unread bytes makes the kernel send a reset.
  server.close();
  await assertRejects(() => client.read(new Uint8Array(10)), Deno.errors.ConnectionReset);
  client.close();
  const [waiting, other] = await pair();
  const read = waiting.read(new Uint8Array(10));
  waiting.close();
  await assertRejects(() => read, Deno.errors.BadResource);
  other.close();
});

Deno.test("system sockets: IPv4, IPv6, names and Unix sockets work, with their addresses", async () => {
  const [client, server] = await pair();
  assertEquals(client.remoteAddr, server.localAddr);
  assertEquals(client.localAddr, server.remoteAddr);
  client.close();
  server.close();
  const v6 = SOCKETS.listenTcp({ ...TCP, hostname: "::1" });
  assertEquals((v6.addr as Deno.NetAddr).hostname, "::1");
  const [six, sixServer] = await pair(v6);
  assertEquals((sixServer.remoteAddr as Deno.NetAddr).hostname, "::1");
  six.close();
  sixServer.close();
  const [any, anyServer] = await pair(SOCKETS.listenTcp({ ...TCP, hostname: "0.0.0.0" }));
  assertEquals(anyServer.localAddr, any.remoteAddr);
  any.close();
  anyServer.close();
  const byName = SOCKETS.listenTcp(TCP);
  const named = await SOCKETS.connectTcp("localhost", (byName.addr as Deno.NetAddr).port);
  named.close();
  (await byName.accept()).close();
  byName.close();
  const path = `${await Deno.makeTempDir()}/socket`;
  const unix = SOCKETS.listenUnix(path, 10);
  assertEquals(unix.addr, { transport: "unix", path });
  const [end, otherEnd] = await Promise.all([SOCKETS.connectUnix(path), unix.accept()]);
  await end.write(Uint8Array.of(7));
  assertEquals(await otherEnd.read(new Uint8Array(4)), 1);
  end.close();
  otherEnd.close();
  unix.close();
});

/** Asserts that both fail with the same error. */
async function sameError(ours: () => unknown, denos: () => unknown): Promise<void> {
  const told = async (call: () => unknown) => {
    const { constructor, message } = await assertRejects(async () => await call(), Error);
    return [constructor, message];
  };
  assertEquals(await told(ours), await told(denos));
}

Deno.test("system sockets: the errors of connecting and listening are those of Deno's sockets", async () => {
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = gone.addr;
  gone.close();
  const refused = { hostname: "127.0.0.1", port };
  await sameError(() => SOCKETS.connectTcp("127.0.0.1", port), () => Deno.connect(refused));
  const nowhere = { transport: "unix", path: "/nowhere/at/all" } as const;
  await sameError(() => SOCKETS.connectUnix(nowhere.path), () => Deno.connect(nowhere));
  await sameError(() => SOCKETS.listenUnix(nowhere.path, 1), () => Deno.listen(nowhere));
  await assertRejects(() => SOCKETS.connectTcp("no.such.name.invalid", 1), Error);
  const taken = SOCKETS.listenTcp(TCP);
  const again = { ...TCP, port: (taken.addr as Deno.NetAddr).port };
  const { hostname } = again;
  await sameError(
    () => SOCKETS.listenTcp(again),
    () => Deno.listen({ hostname, port: again.port }),
  );
  const accept = taken.accept();
  taken.close();
  await assertRejects(() => accept, Deno.errors.BadResource);
  await assertRejects(() => taken.accept(), Deno.errors.BadResource);
  const full = SOCKETS.listenTcp({ ...TCP, backlog: 0 });
  const aborted = AbortSignal.abort(new Error("mine"));
  await assertRejects(
    () => SOCKETS.connectTcp("127.0.0.1", (full.addr as Deno.NetAddr).port, aborted),
    Error,
    "mine",
  );
  full.close();
});

Deno.test("system sockets: the signal ends a connection attempt", async () => {
  const full = SOCKETS.listenTcp({ ...TCP, backlog: 0 });
  const { port } = full.addr as Deno.NetAddr;
  // A backlog of 0 accepts one connection; further ones have to wait.
  const first = await SOCKETS.connectTcp("127.0.0.1", port);
  const controller = new AbortController();
  const attempts = Array.from(
    { length: 4 },
    () => SOCKETS.connectTcp("127.0.0.1", port, controller.signal),
  );
  queueMicrotask(() => controller.abort(new Error("mine")));
  for (const result of await Promise.allSettled(attempts)) {
    if (result.status === "fulfilled") result.value.close();
    else assertEquals(result.reason.message, "mine");
  }
  first.close();
  full.close();
});

Deno.test("system sockets: an event of a closed descriptor doesn't reach its successor", async () => {
  for (let round = 0; round < 50; round++) {
    const [client, server] = await pair();
    await client.write(Uint8Array.of(1));
    client.close();
    // The number is reused, and an event of the old socket may still come.
    const [next, nextServer] = await pair();
    assertEquals(next.tryRead!(new Uint8Array(1)), 0);
    await nextServer.write(Uint8Array.of(9));
    const into = new Uint8Array(4);
    assertEquals([await next.read(into), into[0]], [1, 9]);
    for (const end of [server, next, nextServer]) end.close();
  }
});

Deno.test("system sockets: options are passed to the kernel", () => {
  const sockets = systemSockets({
    sendBuffer: 20_000,
    receiveBuffer: 20_000,
    notSentLowWater: 16_384,
  });
  const listener = sockets.listenTcp(TCP);
  listener.close();
  for (
    const options of [{ sendBuffer: 0 }, { receiveBuffer: -1 }, { notSentLowWater: 1.5 }, {
      sendBuffer: "1",
    }]
  ) {
    assertThrows(() => systemSockets(options as never), Error, "Cannot make system sockets");
  }
});

Deno.test("system sockets: a small receive buffer stops the peer sooner", async () => {
  const small = systemSockets({ receiveBuffer: 8192, sendBuffer: 8192 });
  const listener = small.listenTcp(TCP);
  const { port } = listener.addr as Deno.NetAddr;
  const [client, server] = await Promise.all([
    small.connectTcp("127.0.0.1", port),
    listener.accept(),
  ]);
  let taken = 0;
  for (let idle = 0; idle < 20;) {
    const count = client.tryWrite!(new Uint8Array(65536));
    taken += count;
    idle = count === 0 ? idle + 1 : 0;
    await turn();
  }
  assert(taken < 200_000, String(taken));
  client.close();
  server.close();
  listener.close();
});

Deno.test("system sockets: the layout of events depends only on the platform", () => {
  assertEquals(eventLayout("linux", "x86_64"), { size: 12, data: 4 });
  assertEquals(eventLayout("linux", "aarch64"), { size: 16, data: 8 });
  assertEquals(eventLayout("linux", "riscv64"), null);
  assertEquals(eventLayout("darwin", "aarch64"), null);
  assertEquals(eventLayout("windows", "x86_64"), null);
});

Deno.test("system sockets: the error for an unsupported platform names it", () => {
  for (const [os, arch] of [["darwin", "aarch64"], ["windows", "x86_64"], ["linux", "riscv64"]]) {
    assertThrows(
      () => makePoller({ os, arch }),
      UnsupportedError,
      `Cannot make system sockets on ${os} ${arch}: they need Linux`,
    );
  }
});

Deno.test({
  name: "system sockets: the error for a missing flag names it",
  permissions: { ffi: false },
  fn() {
    const attempt = () => makePoller({ os: "linux", arch: "x86_64" });
    assertThrows(attempt, UnsupportedError, "they need --allow-ffi");
  },
});

Deno.test({
  name:
    "system sockets: permissions are requested for each host and path, and for the addresses of a name",
  permissions: { ffi: true, net: ["localhost", "127.0.0.1:1"] },
  async fn() {
    const { NotCapable } = Deno.errors;
    assertThrows(() => SOCKETS.listenTcp(TCP), NotCapable, 'net access to "127.0.0.1:0"');
    const six = { ...TCP, hostname: "::1" };
    assertThrows(() => SOCKETS.listenTcp(six), NotCapable, 'net access to "[::1]:0"');
    assertThrows(() => SOCKETS.listenUnix("/x", 1), NotCapable, 'read access to "/x"');
    await assertRejects(() => SOCKETS.connectUnix("/x"), NotCapable, 'read access to "/x"');
    await assertRejects(() => SOCKETS.connectTcp("::1", 1), NotCapable, "[::1]:1");
    await assertRejects(() => SOCKETS.connectTcp("localhost", 2), NotCapable, ":2");
    await assertRejects(() => SOCKETS.connectTcp("127.0.0.1", 1), Deno.errors.ConnectionRefused);
  },
});

Deno.test("system sockets: listening requires an IP address or a short path", () => {
  const named = { ...TCP, hostname: "example.com" };
  assertThrows(() => SOCKETS.listenTcp(named), TypeError, 'Cannot listen on "example.com"');
  SOCKETS.listenTcp({ ...TCP, hostname: "localhost" }).close();
  const path = `/tmp/${"x".repeat(103)}`;
  assertThrows(() => SOCKETS.listenUnix(path, 1), RangeError, "108 bytes: at most 107");
});

Deno.test("system sockets: only one read, write and accept may be pending, and none after close", async () => {
  const { Busy, BadResource } = Deno.errors;
  const listener = SOCKETS.listenTcp(TCP), accept = listener.accept();
  await assertRejects(() => listener.accept(), Busy);
  const client = await SOCKETS.connectTcp("127.0.0.1", (listener.addr as Deno.NetAddr).port);
  const server = await accept;
  const read = server.read(new Uint8Array(4));
  await assertRejects(() => server.read(new Uint8Array(4)), Busy);
  while (client.tryWrite!(new Uint8Array(65536)) > 0);
  const write = client.write(new Uint8Array(1));
  await assertRejects(() => client.write(new Uint8Array(1)), Busy);
  assertEquals(await read, 4);
  assertEquals(server.tryRead!(new Uint8Array(0)), 0);
  client.close();
  await assertRejects(() => write, BadResource);
  await assertRejects(() => client.closeWrite(), BadResource);
  assertThrows(() => client.setNoDelay!(), BadResource);
  assertEquals(client.unacknowledgedBytes, 0);
  listener.close();
  assertThrows(() => listener.close(), BadResource);
  // `using` disposes of an open object, and of a closed one.
  for (const end of [client, server, listener] as unknown as Disposable[]) end[Symbol.dispose]();
  assertThrows(() => server.close(), BadResource);
});

Deno.test("system sockets: permissions are requested from Deno", async () => {
  const plain = await run(
    IMPORT + `try { systemSockets() } catch (e) { console.log(e.name, e.message) }`,
    "--allow-net",
  );
  assert(
    plain.text.includes("UnsupportedError Cannot make system sockets: they need --allow-ffi"),
    plain.text,
  );
  assertEquals(UnsupportedError.name, "UnsupportedError");
  const listen = await run(
    IMPORT + `try { ${LISTEN} } catch (e) { console.log(e.name, e.message) }`,
    "--allow-ffi",
  );
  assert(listen.text.includes('NotCapable Requires net access to "127.0.0.1:0"'), listen.text);
  const connect = await run(
    IMPORT + `const s = systemSockets();
for (const host of ["127.0.0.1", "localhost"]) await s.connectTcp(host, 1).catch((e) => console.log(e.name, e.message));
await s.connectUnix("/tmp/x").catch((e) => console.log(e.name, e.message));`,
    "--allow-ffi",
    "--allow-net=localhost",
  );
  assertEquals(
    connect.text.match(/NotCapable Requires (net|read) access to "[^"]*"/g)?.length,
    3,
    connect.text,
  );
});

Deno.test("system sockets keep the process alive like Deno's sockets, unless unref was called", async () => {
  const ended = await run(IMPORT + LISTEN + `listener.unref(); console.log("unref");`, "-A");
  assertEquals([ended.code, ended.text.trim()], [0, "unref"]);
  const busy = await run(
    IMPORT + LISTEN + `
listener.accept().then(async (server) => {
  listener.close();
  const into = new Uint8Array(4);
  while (await server.read(into) !== null);
  server.close();
  console.log("served");
});
const client = await sockets.connectTcp("127.0.0.1", port);
client.unref();
setTimeout(async () => { await client.write(new Uint8Array(1)); client.close(); }, 0);`,
    "-A",
  );
  assertEquals([busy.code, busy.text.trim()], [0, "served"]);
  const unrefed = await run(
    IMPORT + LISTEN + `
listener.unref();
let last = 0;
listener.accept().then(async (server) => {
  server.unref();
  await server.read(new Uint8Array(4));
  console.log("read while unref'd");
  Deno.exit(0);
});
const client = await sockets.connectTcp("127.0.0.1", port);
client.unref();
client.write(new Uint8Array(1));
setTimeout(() => console.log("too late"), 5000);`,
    "-A",
  );
  assertEquals([unrefed.code, unrefed.text.trim()], [0, "read while unref'd"]);
});

Deno.test("system sockets: without work the process sleeps", async () => {
  const { text } = await run(
    IMPORT + LISTEN + `
const before = Deno.readTextFileSync("/proc/self/stat").split(" ");
setTimeout(() => {
  const after = Deno.readTextFileSync("/proc/self/stat").split(" ");
  console.log(+after[13] + +after[14] - before[13] - before[14]);
  listener.close();
}, 1000);`,
    "-A",
  );
  // In hundredths of a second of processor time per second.
  assert(Number(text.trim()) <= 3, text);
});

Deno.test("system sockets: running out of descriptors is an error, which ends when some are closed", async () => {
  const { text } = await run(
    IMPORT + LISTEN + `
const open = [];
// The runtime opens and closes files of its own at any time, so this is done before each call.
function takeAll() {
  try { for (;;) open.push(Deno.openSync("/dev/null")); } catch { return; }
}
const client = await sockets.connectTcp("127.0.0.1", port);
takeAll();
await listener.accept().catch((error) => console.log(error.message));
takeAll();
await sockets.connectTcp("127.0.0.1", port).catch((error) => console.log(error.message));
for (const file of open.splice(-10)) file.close();
const server = await listener.accept();
await server.write(new Uint8Array(3));
console.log(await client.read(new Uint8Array(8)));
Deno.exit(0);`,
    "-A",
  );
  assert(/Too many open files[^]*Too many open files[^]*3/.test(text), text);
});
