import { assert, assertEquals } from "@std/assert";
import { costOf } from "./_support.ts";
import { terms, total } from "./formula.ts";

// Each term of the formula is reached by an attack of its own on a server in a process of its own, and not exceeded. A
// lower bound shows that the attack did reach it.

const MiB = 1024 * 1024;
const { handshake, base, read, message, held, control, http, http2, output, window } = terms();

function between(low: number, cost: number, high: number): void {
  assert(cost >= low && cost <= high, `${cost} bytes per connection, not ${low} to ${high}`);
}

Deno.test("memory: a handshake in progress, its head almost as long as it may be", async () => {
  const { perConnection, openConnections } = await costOf("head", 500, 16_000);
  assertEquals(openConnections, 0);
  between(16_000, perConnection, handshake);
});

Deno.test("memory: a silent connection", async () => {
  const { perConnection, openConnections } = await costOf("idle", 1000);
  assertEquals(openConnections, 1000);
  between(1000, perConnection, base);
});

Deno.test("memory: a connection that carries ordinary HTTP and is silent costs what silence costs", async () => {
  const { perConnection } = await costOf("kept", 1000, 0, { echo: true });
  between(1000, perConnection, base);
});

Deno.test("memory: ordinary HTTP that sends a body without end, and reads no answer", async () => {
  // So many that what the collector has left over at the moment, which they share, weighs little.
  const { perConnection } = await costOf("upload", 500, 0, { echo: true });
  between(64 * 1024, perConnection, http);
});

Deno.test("memory: a frame that is announced and never sent costs what silence costs", async () => {
  const { perConnection } = await costOf("announced", 500);
  between(1000, perConnection, base + 8 * 1024);
});

Deno.test("memory: a binary message that lacks its last byte", async () => {
  const { perConnection } = await costOf("partial", 40, MiB - 1);
  between(0.7 * MiB, perConnection, base + read + message);
});

Deno.test("memory: a text message in fragments that lacks its last one", async () => {
  const { perConnection } = await costOf("partialText", 40, MiB - 1);
  between(0.7 * MiB, perConnection, base + read + message);
});

Deno.test("memory: a compressed message without end", async () => {
  const { perConnection } = await costOf("deflated", 40, 1_000_000, { compression: true });
  between(0.7 * MiB, perConnection, base + read + message + terms({ compression: true }).codecs);
});

for (const size of [0, 1, 1000]) {
  Deno.test(`memory: a paused connection that is sent messages of ${size} bytes`, async () => {
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
  Deno.test(`memory: messageStreams() whose first one isn't read, ${kind} of ${size} bytes`, async () => {
    const cost = await costOf(kind, 40, size, { streams: true });
    assertEquals(cost.openConnections, 40);
    between(20_000, cost.perConnection, base + read + held);
  });
}

// So many MiB that the system's own buffers, which aren't ours to bound, don't take all of it.
for (const [fill, size] of [[0, 6], [1, 4], [32 * 1024, 16]]) {
  Deno.test(`memory: a full queue of messages of ${fill} bytes for a peer that reads nothing`, async () => {
    const maxQueueBytes = size * MiB;
    const cost = await costOf("idle", 10, 0, { fill, maxQueueBytes });
    between(2 * MiB, cost.perConnection, base + terms({ maxQueueBytes }).queue);
  });
}

Deno.test("memory: pings whose answers aren't read", async () => {
  const { perConnection } = await costOf("pings", 200);
  between(1000, perConnection, base + read + control);
});

Deno.test("memory: a connection over HTTP/2 without a stream", async () => {
  const { perConnection } = await costOf("h2Idle", 500, 0, { http2: true });
  between(1000, perConnection, http2);
});

Deno.test("memory: 100 WebSockets on a connection over HTTP/2 that say nothing", async () => {
  const { perConnection, openConnections } = await costOf("h2Many", 10, 100, { http2: true });
  assertEquals(openConnections, 1000);
  between(100 * 1000, perConnection, http2 + 100 * base);
});

for (const size of [0, 1, 1000]) {
  Deno.test(`memory: 100 paused WebSockets on a connection, windows full of messages of ${size} bytes`, async () => {
    const cost = await costOf("h2Held", 4, size, { http2: true, pause: true });
    assertEquals(cost.openConnections, 400);
    // What is read of a stream has been received: there is no read of 160 KiB.
    between(100 * 64_000, cost.perConnection, http2 + 100 * (base + held + window));
  });
}

Deno.test("memory: full queues of WebSockets over HTTP/2 whose windows are spent", async () => {
  const maxQueueBytes = 4 * MiB;
  const cost = await costOf("h2Many", 2, 5, { http2: true, fill: 32 * 1024, maxQueueBytes });
  assertEquals(cost.openConnections, 10);
  const { queue } = terms({ maxQueueBytes });
  between(5 * 2 * MiB, cost.perConnection, http2 + output + 5 * (base + queue));
});

Deno.test("memory: pings of HTTP/2 whose answers aren't read", async () => {
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
