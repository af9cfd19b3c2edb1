import { assert, assertEquals } from "@std/assert";
import { costOf } from "./_support.ts";
import { terms, total } from "./formula.ts";

// For each term of the formula an attack reaches it, on a server in a process of its own, and doesn't exceed it. A lower bound
// shows that the attack has reached it.

const MiB = 1024 * 1024;
const { handshake, base, read, message, held, control, http, http2, output, window } = terms();

function between(low: number, cost: number, high: number): void {
  assert(cost >= low && cost <= high, `${cost} bytes per connection, not ${low} to ${high}`);
}

Deno.test("memory: a handshake in progress with a head of almost the maximum size is within the formula", async () => {
  const { perConnection, openConnections } = await costOf("head", 500, 16_000);
  assertEquals(openConnections, 0);
  between(16_000, perConnection, handshake);
});

Deno.test("memory: a silent connection is within the formula", async () => {
  const { perConnection, openConnections } = await costOf("idle", 1000);
  assertEquals(openConnections, 1000);
  between(1000, perConnection, base);
});

Deno.test("memory: a silent connection after ordinary HTTP costs no more than a silent one", async () => {
  const { perConnection } = await costOf("kept", 1000, 0, { echo: true });
  between(1000, perConnection, base);
});

Deno.test("memory: ordinary HTTP with an endless body whose response isn't read is within the formula", async () => {
  // Many connections, so that uncollected garbage, which they share, has little weight.
  const { perConnection } = await costOf("upload", 500, 0, { echo: true });
  between(64 * 1024, perConnection, http);
});

Deno.test("memory: a frame that is announced and never sent costs no more than a silent connection", async () => {
  const { perConnection } = await costOf("announced", 500);
  between(1000, perConnection, base + 8 * 1024);
});

Deno.test("memory: a binary message without its last byte is within the formula", async () => {
  const { perConnection } = await costOf("partial", 40, MiB - 1);
  between(0.7 * MiB, perConnection, base + read + message);
});

Deno.test("memory: a text message without its last fragment is within the formula", async () => {
  const { perConnection } = await costOf("partialText", 40, MiB - 1);
  between(0.7 * MiB, perConnection, base + read + message);
});

Deno.test("memory: an endless compressed message is within the formula", async () => {
  const { perConnection } = await costOf("deflated", 40, 1_000_000, { compression: true });
  between(0.7 * MiB, perConnection, base + read + message + terms({ compression: true }).codecs);
});

for (const size of [0, 1, 1000]) {
  Deno.test(`memory: a paused connection that gets messages of ${size} bytes is within the formula`, async () => {
    const cost = await costOf("deafTiny", 40, size, { pause: true });
    assertEquals(cost.openConnections, 40);
    between(30_000, cost.perConnection, base + read + held);
  });
}

for (
  const [kind, size] of [["deafTiny", 0], ["deafTiny", 1], ["deafTiny", 1000], [
    "fragments",
    1,
  ]] as const
) {
  Deno.test(`memory: messageStreams() with an unread first stream is within the formula, ${kind} of ${size} bytes`, async () => {
    const cost = await costOf(kind, 40, size, { streams: true });
    assertEquals(cost.openConnections, 40);
    between(20_000, cost.perConnection, base + read + held);
  });
}

// More MiB than the kernel's own buffers accept.
for (const [fill, size] of [[0, 6], [1, 4], [32 * 1024, 16]]) {
  Deno.test(`memory: a full queue of messages of ${fill} bytes is within the formula`, async () => {
    const maxQueueBytes = size * MiB;
    const cost = await costOf("idle", 10, 0, { fill, maxQueueBytes });
    between(2 * MiB, cost.perConnection, base + terms({ maxQueueBytes }).queue);
  });
}

Deno.test("memory: pings whose answers aren't read are within the formula", async () => {
  const { perConnection } = await costOf("pings", 200);
  between(1000, perConnection, base + read + control);
});

Deno.test("memory: a connection over HTTP/2 without a stream is within the formula", async () => {
  const { perConnection } = await costOf("h2Idle", 500, 0, { http2: true });
  between(1000, perConnection, http2);
});

Deno.test("memory: 100 silent WebSockets on a connection over HTTP/2 are within the formula", async () => {
  const { perConnection, openConnections } = await costOf("h2Many", 10, 100, { http2: true });
  assertEquals(openConnections, 1000);
  between(100 * 1000, perConnection, http2 + 100 * base);
});

for (const size of [0, 1, 1000]) {
  Deno.test(`memory: 100 paused WebSockets over HTTP/2 with full windows of messages of ${size} bytes are within the formula`, async () => {
    const cost = await costOf("h2Held", 4, size, { http2: true, pause: true });
    assertEquals(cost.openConnections, 400);
    // Bytes of a stream that were read count as received, so there is no read buffer of 160 KiB.
    between(100 * 64_000, cost.perConnection, http2 + 100 * (base + held + window));
  });
}

Deno.test("memory: full queues of WebSockets over HTTP/2 with closed windows are within the formula", async () => {
  const maxQueueBytes = 4 * MiB;
  const cost = await costOf("h2Many", 2, 5, { http2: true, fill: 32 * 1024, maxQueueBytes });
  assertEquals(cost.openConnections, 10);
  const { queue } = terms({ maxQueueBytes });
  between(5 * 2 * MiB, cost.perConnection, http2 + output + 5 * (base + queue));
});

Deno.test("memory: pings over HTTP/2 whose answers aren't read are within the formula", async () => {
  const { perConnection } = await costOf("h2Pings", 30, 0, { http2: true });
  between(1000, perConnection, http2 + output);
});

Deno.test("memory: the total is the sum of its terms", () => {
  assertEquals(
    total({ maxQueueBytes: 0, maxMessageSize: 0, readAhead: 0 }),
    base + read + control + 64 * 1024,
  );
  assert(total() > terms().queue && total() < 60 * MiB);
});
