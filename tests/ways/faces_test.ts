import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { type Connection, type ConnectionOptions, Context } from "../../mod.ts";
import { failure } from "../support/failure.ts";
import { pattern } from "../transport/streams.ts";
import { echoing, ROOM } from "./_exercise.ts";
import { standstill, until } from "../support/until.ts";

/** Opens a connection; returns its two ends. */
async function pair(
  ctx: Context,
  options: ConnectionOptions = {},
): Promise<[near: Connection, far: Connection]> {
  const accepted = Promise.withResolvers<Connection>();
  const listener = ctx.listen({
    port: 0,
    ...ROOM,
    ...options,
    onConnect: (conn) => accepted.resolve(conn),
  });
  const near = ctx.connect(listener.url, { ...ROOM });
  await near.opened;
  return [near, await accepted.promise];
}

Deno.test("a pipe from readable to writable echoes messages", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx);
  const piping = far.readable.pipeTo(far.writable).catch((error) => error);
  const writer = near.writable.getWriter();
  const reader = near.readable.getReader();
  const bytes = pattern(8 << 20);
  writer.write("text");
  writer.write(bytes);
  assertEquals((await reader.read()).value, "text");
  assertEquals(((await reader.read()).value as Uint8Array).length, bytes.length);
  await writer.close();
  assertEquals((await near.closed).code, 1000);
  assertEquals(await reader.read(), { done: true, value: undefined });
  await piping;
});

Deno.test("a readable that isn't read stops the peer, whose writable waits", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx);
  const reader = far.readable.getReader();
  const writer = near.writable.getWriter();
  const chunk = pattern(64 * 1024);
  let written = 0;
  const total = 500;
  const writing = (async () => {
    for (; written < total; written++) await writer.write(chunk);
  })();
  await standstill(() => written);
  assert(written < 300, `${written} of ${total} chunks were accepted`);
  for (let i = 0; i < total; i++) {
    assertEquals(((await reader.read()).value as Uint8Array).length, chunk.length);
  }
  await writing;
});

Deno.test("cancelling a readable closes with 1000, aborting a writable terminates", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx);
  await near.readable.cancel();
  assertEquals((await far.closed).code, 1000);
  const [one, other] = await pair(ctx);
  await one.writable.abort();
  assertEquals((await other.closed).code, 1006);
  await failure(one.writable.getWriter().closed);
});

Deno.test("a readable fails when the connection does", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx);
  const reading = failure(near.readable.getReader().read());
  far.close(4000, "no");
  assertEquals((await reading).name, "ConnectionClosedError");
});

Deno.test("a second consumer is refused", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx, echoing());
  assertThrows(() => far.readable, TypeError, "onMessage");
  assertThrows(() => far.messageStreams(), TypeError, "being taken");
  assertInstanceOf(near.readable, ReadableStream);
  assertEquals(near.readable, near.readable);
  assertThrows(() => near.messages(), TypeError, "being taken");
  assertThrows(() => near.messageStreams(), TypeError, "being taken");
  assertThrows(() => near.on({ onMessage: () => {} }), TypeError, "being taken");
  const [one] = await pair(ctx);
  one.messageStreams();
  assertThrows(() => one.readable, TypeError, "being taken");
  assertThrows(() => one.messages(), TypeError, "being taken");
  assertThrows(() => one.on({ onMessage: () => {} }), TypeError, "being taken");
});

Deno.test("incoming: large messages come as streams, in order with small ones", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx, { maxMessageSize: 0 });
  const bytes = pattern(8 << 20);
  near.send("first");
  near.send(bytes);
  near.send("ä".repeat(500_000));
  near.send("");
  near.sendFragment("one ");
  near.sendFragment("two", { final: true });
  const seen: [string, number, string][] = [];
  let chunks = 0;
  for await (const { type, stream } of far.messageStreams()) {
    let length = 0;
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      chunks++;
      length += chunk.length;
      if (type === "text") text += decoder.decode(chunk, { stream: true });
    }
    seen.push([type, length, text.slice(0, 8)]);
    if (seen.length === 5) break;
  }
  assertEquals(seen, [
    ["text", 5, "first"],
    ["binary", bytes.length, ""],
    ["text", 1_000_000, "ääääääää"],
    ["text", 0, ""],
    ["text", 7, "one two"],
  ]);
  assert(chunks > 20);
  assertEquals((await near.closed).code, 1000);
});

Deno.test("incoming: a stream that isn't read stops the peer", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx, { maxMessageSize: 0 });
  const size = 48 << 20;
  const incoming = far.messageStreams();
  near.send(pattern(size), { transfer: true });
  const { value } = await incoming.next();
  await standstill(() => near.queuedBytes);
  assert(near.queuedBytes > 16 << 20, `only ${near.queuedBytes} bytes are queued`);
  let length = 0;
  for await (const chunk of value!.stream) length += chunk.length;
  assertEquals(length, size);
});

Deno.test("incoming: cancelling discards only the rest of its message", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx, { maxMessageSize: 0 });
  near.send(pattern(8 << 20));
  near.send("next");
  const incoming = far.messageStreams();
  const first = (await incoming.next()).value!;
  const reader = first.stream.getReader();
  await reader.read();
  await reader.cancel();
  const second = (await incoming.next()).value!;
  assertEquals(await new Response(second.stream).text(), "next");
  near.close();
  assertEquals((await incoming.next()).done, true);
});

Deno.test("incoming: a message that is cut off fails its stream, and text is validated", async () => {
  await using ctx = new Context();
  const [near, far] = await pair(ctx, { maxMessageSize: 0 });
  near.sendFragment(pattern(100_000));
  const incoming = far.messageStreams();
  const { stream } = (await incoming.next()).value!;
  const reading = failure(new Response(stream).arrayBuffer());
  await until(() => far.stats().bytesReceived > 100_000);
  near.terminate();
  assertEquals((await reading).name, "ConnectionClosedError");
  assertEquals((await failure(incoming.next())).name, "ConnectionClosedError");
  assertEquals((await incoming.next()).done, true);
});
