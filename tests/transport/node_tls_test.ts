import { assert, assertEquals, assertMatch } from "@std/assert";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { type AdoptOptions, type CloseRecord, type Connection, Context } from "../../mod.ts";
import { failure, mayFail } from "../support/failure.ts";
import { RawPeer } from "../support/raw_peer.ts";
import { makeCertificates } from "./certificates.ts";
import { pattern } from "./streams.ts";
import { turn } from "../support/until.ts";

const certificates = makeCertificates();
const { ca, server } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** A node:https server that adopts its upgrades. */
async function host(
  ctx: Context,
  options: AdoptOptions,
): Promise<{ url: string; port: number; server: Server } & AsyncDisposable> {
  const host = createServer({ cert: server.cert, key: server.key });
  host.on("upgrade", (request, socket, head) => {
    ctx.adopt(socket, { request, initialData: head, maxMessageSize: 0, ...options });
  });
  await new Promise<void>((done) => host.listen(0, "127.0.0.1", done));
  const { port } = host.address() as AddressInfo;
  return {
    port,
    url: `wss://localhost:${port}/`,
    server: host,
    [Symbol.asyncDispose]: () => new Promise<void>((done) => host.close(() => done())),
  };
}

const MIB = 1024 * 1024;
const MORE = 24 << 20;
const OPTIONS = { tls: { caCerts: [ca] }, maxQueueBytes: 0, closeTimeout: 1000 };
const EXCEEDED =
  "More than 16777216 bytes arrived while the connection was held, and reading a node:tls socket can't be stopped";

Deno.test("fault 66: an adopted node:https socket that is held too long is terminated, with its cause", async () => {
  const ctx = new Context();
  const errors: unknown[] = [];
  const ended = Promise.withResolvers<CloseRecord>();
  await using https = await host(ctx, {
    onConnect: (conn) => conn.pause(),
    onError: (_conn, error) => void errors.push(error),
    onClose: (_conn, record) => ended.resolve(record),
  });
  const client = ctx.connect(https.url, OPTIONS);
  await client.opened;
  const chunk = pattern(64 * 1024);
  for (let sent = 0; sent < MORE; sent += chunk.length) client.send(chunk);
  const record = await ended.promise;
  assertEquals([record.code, record.wasClean], [1006, false]);
  assertEquals((record.cause as Error).message, EXCEEDED);
  assertEquals(errors, [record.cause]);
  // It has been destroyed, so the client's end is closed too.
  await client.closed;
  await ctx.shutdown({ timeout: 0 });
});

Deno.test("fault 66: the same applies while onHandshake decides", async () => {
  const ctx = new Context();
  const ended = Promise.withResolvers<CloseRecord>();
  const decision = Promise.withResolvers<boolean>();
  await using https = await host(ctx, {
    onHandshake: () => decision.promise,
    onError: () => {},
    onClose: (_conn, record) => ended.resolve(record),
  });
  const conn = await Deno.connectTls({ hostname: "localhost", port: https.port, caCerts: [ca] });
  using peer = new RawPeer(conn, "client");
  const request = peer.request();
  mayFail(request, "the server ends the connection");
  const chunk = pattern(64 * 1024);
  for (let sent = 0; sent < MORE; sent += chunk.length) {
    try {
      await peer.write(chunk);
    } catch {
      break;
    }
  }
  assertEquals(((await ended.promise).cause as Error).message, EXCEEDED);
  decision.resolve(true);
  assert(await failure(request) !== undefined);
  await ctx.shutdown({ timeout: 0 });
});

Deno.test("an adopted node:https socket that is read, or held briefly, carries any amount", async () => {
  const ctx = new Context();
  const accepted = Promise.withResolvers<Connection>();
  let received = 0, held = 0;
  const all = Promise.withResolvers<void>();
  await using https = await host(ctx, {
    readAhead: 256 * 1024,
    onConnect: (conn) => accepted.resolve(conn),
    onMessage: (conn, data) => {
      received += data.length;
      if (received === 2 * MORE) all.resolve();
      // In rounds of more than readAhead: the next MiB is on its way then, and requests another one.
      if (received % MIB === 0) {
        held++;
        conn.pause();
        conn.send("more");
        turn().then(() => conn.resume());
      }
    },
    onClose: (_conn, record) => all.reject(record.cause),
  });
  const client = ctx.connect(https.url, OPTIONS);
  await client.opened;
  const chunk = pattern(64 * 1024);
  for (let sent = 0; sent < 2 * MORE; sent += chunk.length) {
    if (sent % MIB === 0 && sent > MIB) await client.receive();
    if (!client.send(chunk)) await client.drained();
  }
  await all.promise;
  assertEquals(held, 48);
  client.close();
  assertMatch(String(await (await accepted.promise).closed), /1000/);
  await ctx.shutdown();
});
