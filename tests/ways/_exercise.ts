import { assert, assertEquals } from "@std/assert";
import type { CloseRecord, Connection, ConnectionOptions } from "../../mod.ts";
import { pattern } from "../transport/streams.ts";
import { PATIENCE, standstill, turn } from "../support/until.ts";
import { mayFail } from "../support/failure.ts";

/** Options for both ends, with room for 8 MiB. */
export const ROOM = { maxMessageSize: 16 << 20, maxQueueBytes: 64 << 20 } as const;

/** Options of a server that echoes messages, and slows down clients that don't read. */
export function echoing(closed?: (record: CloseRecord) => void): ConnectionOptions {
  return {
    ...ROOM,
    onMessage: (conn, data) => {
      if (!conn.send(data)) return mayFail(conn.drained(), "the connection may end first");
    },
    onClose: (_conn, record) => closed?.(record),
  };
}

/** A client of an echo server: text, binary, 8 MiB, a paused reader, and the close code. */
export async function exercise(conn: Connection, size = 8 << 20): Promise<CloseRecord> {
  await conn.opened;
  for (const text of ["", "hello", "grüße 💧"]) {
    conn.send(text);
    assertEquals(await conn.receive(), text);
  }
  for (const length of [0, 1, 125, 126, 65535, 65536, size]) {
    const bytes = pattern(length);
    conn.send(bytes);
    const back = await conn.receive() as Uint8Array;
    assert(back instanceof Uint8Array && same(back, bytes), `${length} bytes came back changed`);
  }
  conn.pause();
  const count = 32;
  for (let i = 0; i < count; i++) conn.send(pattern(65536 + i));
  await standstill(() => conn.stats().bytesReceived);
  conn.resume();
  for (let i = 0; i < count; i++) {
    assertEquals((await conn.receive()).length, 65536 + i);
  }
  conn.close(4001, "bye");
  const record = await conn.closed;
  assertEquals([record.code, record.reason, record.wasClean], [4001, "bye", true]);
  return record;
}

const HELD = 48 << 20;

/**
 * Pauses a reader. Both sides have to wait, so most of the bytes stay in the queue of the sender, and all of them arrive when
 * the reader resumes. Without a `writer`, the reader sends to a peer that echoes.
 */
export async function holdBack(reader: Connection, writer = reader): Promise<void> {
  await reader.opened;
  reader.pause();
  const message = pattern(64 * 1024), count = HELD / message.length;
  for (let i = 0; i < count; i++) writer.send(message);
  // The kernels between the ends accept some bytes. After that no program on the way accepts more.
  const before = await standstill(() => writer.queuedBytes);
  assert(before > HELD / 4, `only ${before} of ${HELD} bytes stayed queued`);
  reader.resume();
  for (let i = 0; i < count; i++) assertEquals((await reader.receive()).length, message.length);
  reader.close();
  assert((await reader.closed).wasClean);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

/** Finds an installed program, or returns `null`; in CI each must be installed. */
export function findProgram(name: string): string | null {
  const found = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"]
    .map((dir) => `${dir}/${name}`).find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
  if (found === undefined && Deno.env.get("CI")) throw new Error(`${name} isn't installed`);
  return found ?? null;
}

/** Starts a program that serves on a port, and waits until it does. Disposing ends it. */
export async function startServer(
  program: string,
  args: string[],
  port: number,
): Promise<AsyncDisposable> {
  const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
  for (const start = Date.now();;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch (error) {
      if (Date.now() - start > PATIENCE) throw error;
      await turn();
    }
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
