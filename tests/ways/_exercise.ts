import { assert, assertEquals } from "@std/assert";
import type { CloseRecord, Connection, ConnectionOptions } from "../../mod.ts";
import { sameBytes } from "../support/bytes.ts";
import { pattern } from "../transport/streams.ts";
import { standstill } from "../support/until.ts";
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
    assert(
      back instanceof Uint8Array && sameBytes(back, bytes),
      `${length} bytes came back changed`,
    );
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
