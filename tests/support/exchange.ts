import { assert, assertEquals } from "@std/assert";
import type { Connection } from "../../mod.ts";
import { sameBytes } from "./bytes.ts";
import { randomBytes } from "./random.ts";

const LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1024 * 1024];

/** Sends text and binary messages of many lengths to a peer that echoes, and compares the echoes. */
export async function exchange(conn: Connection): Promise<void> {
  for (const text of ["", "hello", "κόσμε 😀 \ufeff\0", "€".repeat(50_000)]) {
    conn.send(text);
    assert(await conn.receive() === text, "the text came back changed");
  }
  for (const length of LENGTHS) {
    const payload = randomBytes(length, length + 1);
    conn.send(payload);
    const data = await conn.receive();
    assert(data instanceof Uint8Array && sameBytes(data, payload), `${length} bytes`);
  }
  // Many messages at once keep their order.
  for (let n = 0; n < 500; n++) conn.send(n % 2 === 0 ? `message ${n}` : Uint8Array.of(n, n >> 8));
  for (let n = 0; n < 500; n++) {
    assertEquals(await conn.receive(), n % 2 === 0 ? `message ${n}` : Uint8Array.of(n, n >> 8));
  }
}

/** Sends fragmented messages that are cut within characters, and compares the echoes, which are whole messages. */
export async function exchangeFragments(conn: Connection): Promise<void> {
  const euro = new TextEncoder().encode("€");
  conn.sendFragment("frag");
  conn.sendFragment("");
  conn.sendFragment("ments \ud83d");
  conn.sendFragment("\ude00", { final: true });
  assertEquals(await conn.receive(), "fragments 😀");
  conn.sendFragment(euro.subarray(0, 1), { binary: false });
  await conn.ping();
  conn.sendFragment(euro.subarray(1), { final: true });
  assertEquals(await conn.receive(), "€");
  conn.sendFragment(Uint8Array.of(1));
  conn.sendFragment(Uint8Array.of(2, 3), { final: true });
  assertEquals(await conn.receive(), Uint8Array.of(1, 2, 3));
}
