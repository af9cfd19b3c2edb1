/** What system sockets leave open, in programs of their own. */
import { assert, assertEquals } from "@std/assert";
import { CONTEXT, DESCRIPTORS, IMPORT, LISTEN, run } from "./_system.ts";

Deno.test("system sockets: no descriptor is left open after a shutdown, whatever has happened before", async () => {
  const { text } = await run(
    CONTEXT + DESCRIPTORS + `
const dir = Deno.makeTempDirSync();
async function round() {
  const ctx = new Context({ sockets: systemSockets(), onError() {}, keepAlive: false });
  const echo = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data), onHandshakeError() {} });
  const unix = ctx.listen({ unix: dir + "/socket", onMessage: (conn, data) => conn.send(data) });
  const conns = [];
  for (let i = 0; i < 20; i++) conns.push(ctx.connect(i % 2 ? echo.url : "ws://unix/", i % 2 ? {} : { unix: dir + "/socket" }));
  await Promise.all(conns.map((conn) => conn.opened));
  for (const conn of conns) conn.send("x");
  await Promise.all(conns.map((conn) => conn.receive()));
  conns[0].terminate();
  conns[1].close();
  // Attempts that fail, are cancelled, or never become a WebSocket.
  await ctx.connect("ws://127.0.0.1:1/").opened.catch(() => {});
  const cancelled = ctx.connect(echo.url);
  cancelled.terminate();
  await cancelled.opened.catch(() => {});
  const aborted = new AbortController();
  const attempt = ctx.connect(echo.url, { signal: aborted.signal });
  aborted.abort();
  await attempt.opened.catch(() => {});
  const plain = await systemSockets().connectTcp("127.0.0.1", echo.port);
  await plain.write(new TextEncoder().encode("GET / HT"));
  plain.close();
  await ctx.shutdown({ timeout: 1000 });
}
await round();
const before = descriptors(), rounds = 10;
for (let i = 0; i < rounds; i++) await round();
let left = descriptors();
// A leak would occur in each round. The runtime may open a pair of sockets of its own at any time, and like the kernel it closes
// others a moment later.
const lost = () => left.length >= before.length + rounds;
for (let i = 0; i < 200 && lost(); i++) { await turn(10); left = descriptors(); }
console.log(lost() ? left.join(" ") : "none");
const polls = (all) => all.filter((name) => name.startsWith("anon_inode:")).length;
console.log(polls(before) > 0, polls(left) - polls(before));`,
    "-A",
  );
  assertEquals(text.trim(), "none\ntrue 0");
});

Deno.test("system sockets: a child process doesn't inherit them", async () => {
  const { text } = await run(
    IMPORT + LISTEN + DESCRIPTORS + `
const [client, server] = await Promise.all([sockets.connectTcp("127.0.0.1", port), listener.accept()]);
const mine = descriptors().filter((name) => name.startsWith("socket:"));
const { stdout } = await new Deno.Command("ls", { args: ["-l", "/proc/self/fd"] }).output();
const theirs = new TextDecoder().decode(stdout);
console.log(mine.length >= 3, mine.some((name) => theirs.includes(name)), theirs.includes("eventpoll"));
Deno.exit(0);`,
    "-A",
  );
  assertEquals(text.trim(), "true false false");
});

Deno.test("system sockets don't delay the end of the program, and a lost peer doesn't end it", async () => {
  const exit = await run(IMPORT + LISTEN + `setTimeout(() => Deno.exit(7), 20);`, "-A");
  assertEquals(exit.code, 7);
  const thrown = await run(IMPORT + LISTEN + `setTimeout(() => { throw 1 }, 20);`, "-A");
  assertEquals(thrown.code, 1);
  // SIGPIPE would end the process.
  const { text, code } = await run(
    IMPORT + LISTEN + `
const [client, server] = await Promise.all([sockets.connectTcp("127.0.0.1", port), listener.accept()]);
await client.write(new Uint8Array(1));
server.close();
let error;
for (let i = 0; i < 100 && !error; i++) {
  await client.write(new Uint8Array(1000)).catch((e) => error = e);
  await new Promise((resolve) => setTimeout(resolve, 1));
}
console.log(error.name, error.code);
client.close();
listener.close();`,
    "-A",
  );
  assertEquals(code, 0);
  assert(/^(BrokenPipe EPIPE|ConnectionReset ECONNRESET)$/.test(text.trim()), text);
});

Deno.test("system sockets: each worker has a poller, and terminating one doesn't affect others", async () => {
  const worker = CONTEXT + `
const ctx = new Context({ sockets: systemSockets() });
const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
const conn = ctx.connect(listener.url);
await conn.opened;
self.postMessage(listener.port);`;
  const { text, code } = await run(
    CONTEXT + `
const code = ${JSON.stringify(`data:text/typescript,${encodeURIComponent(worker)}`)};
const ctx = new Context({ sockets: systemSockets() });
const start = async () => {
  const worker = new Worker(code, { type: "module" });
  const port = await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
  return { worker, port };
};
const echoes = async (port) => {
  const conn = ctx.connect("ws://127.0.0.1:" + port + "/");
  await conn.opened;
  conn.send("x");
  const echo = await conn.receive();
  conn.close();
  await conn.closed;
  return echo;
};
const here = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
for (let i = 0; i < 3; i++) {
  const { worker, port } = await start();
  console.log(await echoes(port), await echoes(here.port));
  worker.terminate();
  console.log(await echoes(here.port));
}
await ctx.shutdown();
console.log("end");
Deno.exit(0);`,
    "-A",
  );
  assertEquals([code, text.trim().split(/\s+/)], [0, [..."xxxxxxxxx", "end"]]);
});

Deno.test("system sockets: silent connections use no processor time, also after traffic", async () => {
  const { text } = await run(
    CONTEXT + `
const ctx = new Context({ sockets: systemSockets(), keepAlive: false });
const listener = ctx.listen({ hostname: "127.0.0.1", onMessage: (conn, data) => conn.send(data) });
const conns = Array.from({ length: 50 }, () => ctx.connect(listener.url));
await Promise.all(conns.map((conn) => conn.opened));
for (let i = 0; i < 200; i++) for (const conn of conns) { conn.send("x"); await conn.receive(); }
// A held connection with more bytes to come than readAhead, whose peer disconnects while it is held.
const held = ctx.connect(listener.url);
await held.opened;
held.pause();
for (let i = 0; i < 100; i++) held.send(new Uint8Array(10_000));
const server = [...listener.connections].at(-1);
server.pause();
const used = () => {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(" ");
  return +fields[13] + +fields[14];
};
setTimeout(() => held.terminate(), 500);
setTimeout(() => {
  const before = used();
  setTimeout(() => {
    console.log(used() - before);
    Deno.exit(0);
  }, 1000);
}, 1500);`,
    "-A",
  );
  // In hundredths of a second of processor time per second.
  assert(Number(text.trim()) <= 3, text);
});
