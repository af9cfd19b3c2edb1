/**
 * 200 connections at a time echo numbered messages with hashes through a proxy that delays, splits, merges, cuts, resets and
 * stalls, with random pauses, drains, compression and closes.
 *
 *     deno task soak [--minutes N] [--seconds N] [--seed S] [--connections N]
 *
 * The exit code is 1 if a message was lost, duplicated, changed or out of order on a connection that closed with 1000, if any
 * other connection didn't report its cause, or if anything is left open at the end.
 *
 * @module
 */
import { type CloseRecord, type Connection, Context } from "../../mod.ts";
import { seeded } from "../support/random.ts";
import { FaultProxy } from "./fault_proxy.ts";
import { mayFail } from "../support/failure.ts";
import { readOptions } from "../../tools/options.ts";

/** The result of a soak. */
export interface SoakResult {
  rounds: number;
  connections: number;
  clean: number;
  faulty: number;
  messages: number;
  problems: string[];
}

/** Options of a soak. */
export interface SoakOptions {
  seconds: number;
  seed: number;
  connections: number;
}

const HEAD = 8;

/** A message of a number, a hash, and the hashed bytes. */
function numbered(n: number, length: number, random: () => number): Uint8Array {
  const bytes = new Uint8Array(HEAD + length), view = new DataView(bytes.buffer);
  const salt = Math.floor(random() * 256);
  for (let i = HEAD; i < bytes.length; i++) bytes[i] = (i * 31 + salt) & 0xff;
  view.setUint32(0, n);
  view.setUint32(4, hash(bytes));
  return bytes;
}

/** FNV-1a of the bytes after the number and the hash. */
function hash(bytes: Uint8Array): number {
  let value = 0x811c9dc5;
  for (let i = HEAD; i < bytes.length; i++) value = Math.imul(value ^ bytes[i], 0x01000193);
  return value >>> 0;
}

/** The open descriptors of this process, except pairs of Unix sockets, which the runtime opens for itself. */
function descriptors(): string[] {
  const open: string[] = [], pairs = Deno.readTextFileSync("/proc/self/net/unix");
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !pairs.includes(` ${inode}\n`)) open.push(target);
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return open;
}

const turn = (ms = 0) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Runs rounds until the time is over. */
export async function soak({ seconds, seed, connections }: SoakOptions): Promise<SoakResult> {
  const result: SoakResult = {
    rounds: 0,
    connections: 0,
    clean: 0,
    faulty: 0,
    messages: 0,
    problems: [],
  };
  // A first round, in which the runtime opens descriptors for itself.
  await round(seed, 10, result);
  const before = new Set(descriptors());
  const left = () => descriptors().filter((name) => !before.has(name));
  const end = performance.now() + seconds * 1000;
  do {
    await round(seed + result.rounds, connections, result);
    result.rounds++;
  } while (performance.now() < end && result.problems.length === 0);
  // The kernel may close a descriptor with a delay.
  for (let i = 0; i < 100 && left().length > 0; i++) await turn(10);
  if (left().length > 0) result.problems.push(`descriptors are left: ${left()}`);
  return result;
}

async function round(seed: number, count: number, result: SoakResult): Promise<void> {
  const random = seeded(seed);
  const problem = (text: string) => result.problems.push(`seed ${seed}: ${text}`);
  const serverSide = new Set<CloseRecord>();
  const settings = {
    keepAlive: { interval: 400, timeout: 400 },
    closeTimeout: 3000,
    sendTimeout: 3000,
    maxQueueBytes: 0,
    compression: { threshold: 0 },
  } as const;
  const servers = new Context({ ...settings });
  const clients = new Context({ ...settings });
  const listener = servers.listen({
    hostname: "127.0.0.1",
    compression: random() < 0.5 ? { threshold: 0 } : false,
    onMessage: (conn, data) => {
      if (random() < 0.02) pauseAWhile(conn);
      if (!conn.send(data)) conn.pause();
    },
    onDrain: (conn) => conn.resume(),
    onClose: (_, close) => void serverSide.add(close),
    onError: () => {},
    onHandshakeError: () => {},
  });
  function pauseAWhile(conn: Connection): void {
    conn.pause();
    setTimeout(() => conn.resume(), random() * 20);
  }
  const proxy = new FaultProxy({ port: listener.port, seed, faults: 0.3 });
  const one = async (number: number) => {
    const own = seeded(seed * 1000 + number);
    const amount = 1 + Math.floor(own() * 60);
    const errors: unknown[] = [];
    let sent = 0, got = 0;
    const conn = clients.connect(proxy.url, {
      compression: own() < 0.5 ? { threshold: 0 } : false,
      connectTimeout: 3000,
      onMessage: (conn, data) => {
        const bytes = data as Uint8Array;
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        if (view.getUint32(0) !== got) {
          problem(`${number}: ${view.getUint32(0)} in place of ${got}`);
        }
        if (view.getUint32(4) !== hash(bytes)) problem(`${number}: message ${got} has changed`);
        got++;
        if (own() < 0.02) pauseAWhile(conn);
        if (got === sent && sent === amount) conn.close();
      },
      onError: (_, error) => void errors.push(error),
    });
    try {
      await conn.opened;
      while (sent < amount && conn.state === "open") {
        const length = own() < 0.1 ? Math.floor(own() * 60_000) : Math.floor(own() * 500);
        const below = conn.send(numbered(sent++, length, own));
        if (own() < 0.05) mayFail(conn.ping(), "the connection may break");
        if (!below || own() < 0.05) await conn.drained();
        if (own() < 0.1) await turn(own() * 10);
      }
    } catch {
      // The close record has the cause.
    }
    const record = await conn.closed;
    result.connections++;
    result.messages += got;
    if (record.code === 1000 && record.wasClean) {
      result.clean++;
      if (got !== amount) {
        problem(`${number}: ${got} of ${amount} on a clean connection: ${record}`);
      }
      if (record.unsentMessages + record.unsentBytes > 0) {
        problem(`${number}: clean, but ${record}`);
      }
    } else {
      result.faulty++;
      // Codes like 1001 would come from the other end. Anything else has a cause, which onError got unless we have closed.
      if (record.cause === undefined) problem(`${number}: no cause: ${record}`);
      if (record.initiator !== "local" && errors.length === 0) {
        problem(`${number}: no error: ${record}`);
      }
    }
    if (conn.queuedBytes !== 0 || conn.queuedMessages !== 0) problem(`${number}: a queue is left`);
  };
  await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
  await proxy.close();
  // The proxy has closed all connections, so this doesn't have to wait.
  await servers.shutdown({ timeout: 5000 });
  await clients.shutdown();
  for (const record of serverSide) {
    if (!record.wasClean && record.cause === undefined) problem(`server: no cause: ${record}`);
  }
  for (const [name, ctx] of [["server", servers], ["client", clients]] as const) {
    const { openConnections, queuedBytes } = ctx.stats();
    if (openConnections + queuedBytes + ctx.connections.size > 0) problem(`${name}: left over`);
  }
  if (proxy.size > 0) problem("the proxy has connections left");
}

if (import.meta.main) {
  const { values } = readOptions({
    minutes: { type: "string" },
    seconds: { type: "string" },
    seed: { type: "string", default: "1" },
    connections: { type: "string", default: "200" },
  });
  const seconds = Number(values.seconds ?? Number(values.minutes ?? 1) * 60);
  const result = await soak({
    seconds,
    seed: Number(values.seed),
    connections: Number(values.connections),
  });
  const { problems, ...counts } = result;
  console.log(JSON.stringify(counts));
  for (const problem of problems.slice(0, 20)) console.log(`PROBLEM ${problem}`);
  if (problems.length > 0) Deno.exit(1);
  // Without `Deno.exit`: a timer that is left keeps the process alive, which CI notices.
}
