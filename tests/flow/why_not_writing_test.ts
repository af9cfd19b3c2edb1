import { assertEquals } from "@std/assert";
import type { ConnectionOptions } from "../../mod.ts";
import { SendQueue } from "../../src/flow/send_queue.ts";
import { WritePump } from "../../src/flow/write_pump.ts";
import { MemoryConn } from "../support/memory_conn.ts";
import { type RawPair, rawPeer } from "../support/pair.ts";
import { turn, until } from "../support/until.ts";

const IN_FLIGHT = "a write is in flight: the kernel has not taken all of it";

/** The lines of a connection's trace that name why it doesn't write, in order. */
async function obstacles(
  options: ConnectionOptions,
  act: (peer: RawPair) => void | Promise<void>,
  last: string,
): Promise<string[]> {
  const lines: string[] = [];
  await using peer = await rawPeer({
    onMessage() {},
    ...options,
    debug: (line) => {
      const text = line.replace(/^\[.*?\] /, "");
      if (text.startsWith("writing ")) lines.push(text);
    },
  });
  await act(peer);
  await until(() => lines.at(-1) === last);
  return lines;
}

Deno.test("debug prints once why nothing is written, and when writing continues: pauseSending", async () => {
  const lines = await obstacles({}, async ({ conn }) => {
    conn.send("before");
    await conn.drained();
    conn.pauseSending();
    for (let i = 0; i < 5; i++) conn.send("held");
    await turn();
    conn.resumeSending();
  }, "writing continues");
  assertEquals(lines, ["writing stops: pauseSending() was called", "writing continues"]);
});

Deno.test("debug prints why nothing is written: a peer that doesn't read", async () => {
  const lines = await obstacles({ maxQueueBytes: 0 }, async ({ conn, raw }) => {
    for (let i = 0; i < 20; i++) {
      conn.send(new Uint8Array(1024 * 1024));
      await turn();
    }
    let frames = 0;
    while (frames < 20) if (await raw.frame() !== null) frames++;
  }, "writing continues");
  assertEquals(lines[0], `writing stops: ${IN_FLIGHT}`);
});

Deno.test("debug prints why nothing is written: a stream whose source has no data yet", async () => {
  const given = Promise.withResolvers<void>();
  const words = "the next message is being compressed, or waits for its source";
  const lines = await obstacles({}, async ({ conn }) => {
    const sent = conn.sendStream((async function* () {
      await given.promise;
      yield "late";
    })());
    await turn();
    conn.send("behind it");
    given.resolve();
    await sent;
  }, "writing continues");
  assertEquals(lines[0], `writing stops: ${words}`);
});

Deno.test("the pump names why nothing is written in each of its states", async () => {
  const queue = new SendQueue(null);
  const [ours] = MemoryConn.pair(10);
  const pump = new WritePump(queue, { wrote() {}, writeFailed() {} });
  assertEquals(pump.whyNotWriting(), null);
  queue.push(0x82, new Uint8Array(100), 1, false);
  assertEquals(pump.whyNotWriting(), "the handshake is not complete");
  pump.held = true;
  pump.start(ours);
  assertEquals(pump.whyNotWriting(), "pauseSending() was called");
  pump.held = false;
  assertEquals(pump.whyNotWriting(), null);
  pump.flush();
  await turn();
  assertEquals(pump.whyNotWriting(), IN_FLIGHT);
  pump.stop();
  assertEquals(pump.whyNotWriting(), null);
  const waiting = new SendQueue(null);
  const other = new WritePump(waiting, { wrote() {}, writeFailed() {} });
  other.start(MemoryConn.pair()[0]);
  waiting.openPlaceholder();
  waiting.push(0x82, new Uint8Array(1), 1, false);
  assertEquals(
    other.whyNotWriting(),
    "the next message is being compressed, or waits for its source",
  );
});
