import { assert, assertEquals, assertThrows } from "@std/assert";
import { PrefixedTransport } from "../../src/transport/prefixed.ts";
import { isStreamPair, WebStreamTransport } from "../../src/transport/web_stream.ts";
import { failure } from "../support/failure.ts";
import { echo, pattern, readExactly, tcpPair, writeAll } from "./streams.ts";
import { standstill } from "../support/until.ts";

/** Two transports over a pair of identity streams. */
function streamPair(): [WebStreamTransport, WebStreamTransport] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [
    new WebStreamTransport({ readable: back.readable, writable: there.writable }),
    new WebStreamTransport({ readable: there.readable, writable: back.writable }),
  ];
}

for (const size of [512, 64 * 1024]) {
  Deno.test(`an echo of 4 MiB survives streams that are read ${size} bytes at a time`, async () => {
    const [near, far] = streamPair();
    const echoing = echo(far, size);
    const bytes = pattern(4 << 20);
    const [back] = await Promise.all([readExactly(near, bytes.length), writeAll(near, bytes)]);
    assertEquals(back, bytes);
    await near.closeWrite();
    assertEquals(await near.read(new Uint8Array(1)), null);
    await echoing;
    near.close();
  });
}

Deno.test("a buffer may be reused when its write has settled", async () => {
  const through = new TransformStream<Uint8Array, Uint8Array>({}, { highWaterMark: 4 }, {
    highWaterMark: 4,
  });
  const empty = new ReadableStream<Uint8Array>();
  const writer = new WebStreamTransport({ readable: empty, writable: through.writable });
  const buffer = new Uint8Array([1]);
  await writer.write(buffer);
  buffer[0] = 2;
  await writer.write(buffer);
  writer.close();
  const chunks = await Array.fromAsync(through.readable);
  assertEquals(chunks, [new Uint8Array([1]), new Uint8Array([2])]);
});

Deno.test("a transport over the streams of a Deno.Conn stops its peer when it isn't read", async () => {
  const [near, far] = await tcpPair();
  const transport = new WebStreamTransport(near);
  const total = 32 << 20;
  let sent = 0;
  const chunk = pattern(64 * 1024);
  const sending = (async () => {
    while (sent < total) {
      await writeAll(far, chunk);
      sent += chunk.length;
    }
  })();
  await standstill(() => sent);
  assert(sent < 24 << 20, `${sent} bytes were accepted`);
  await Promise.all([sending, readExactly(transport, total)]);
  await transport.closeWrite();
  assertEquals(await far.read(new Uint8Array(1)), null);
  far.close();
  transport.close();
});

Deno.test("close settles pending reads and writes", async () => {
  const transport = new WebStreamTransport({
    readable: new ReadableStream<Uint8Array>(),
    writable: new WritableStream<Uint8Array>({ write: () => new Promise(() => {}) }),
  });
  const reading = transport.read(new Uint8Array(1));
  const writing = transport.write(new Uint8Array(1));
  transport.close();
  assertEquals(await reading, null);
  await failure(writing);
  transport.close();
});

Deno.test("errors of the streams are the errors of read and write", async () => {
  const transport = new WebStreamTransport({
    readable: new ReadableStream<Uint8Array>({ start: (c) => c.error(new Error("in")) }),
    writable: new WritableStream<Uint8Array>({
      write: () => {
        throw new Error("out");
      },
    }),
  });
  assertEquals((await failure(transport.read(new Uint8Array(1)))).message, "in");
  assertEquals((await failure(transport.write(new Uint8Array(1)))).message, "out");
  transport.close();
});

Deno.test("chunks that aren't bytes are refused", async () => {
  const readable = ReadableStream.from(["text"]) as unknown as ReadableStream<Uint8Array>;
  const transport = new WebStreamTransport({ readable, writable: new WritableStream() });
  assertEquals(
    (await failure(transport.read(new Uint8Array(1)))).message,
    "Cannot read from a stream pair: a chunk is string, not bytes",
  );
  transport.close();
});

Deno.test("a locked stream throws, and both streams stay unchanged", () => {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const reader = readable.getReader();
  assertThrows(
    () => new WebStreamTransport({ readable, writable }),
    TypeError,
    "readable is locked",
  );
  assert(!writable.locked);
  reader.releaseLock();
  writable.getWriter();
  assertThrows(
    () => new WebStreamTransport({ readable, writable }),
    TypeError,
    "writable is locked",
  );
  assert(!readable.locked);
});

Deno.test("isStreamPair distinguishes pairs from other objects", () => {
  assert(isStreamPair(new TransformStream()));
  for (const value of [null, undefined, 1, {}, { readable: true, writable: true }]) {
    assert(!isStreamPair(value));
  }
});

Deno.test("a prefix is read first, in pieces of any size", async () => {
  const [near, far] = await tcpPair();
  const transport = new PrefixedTransport(new TextEncoder().encode("early"), near);
  await writeAll(far, "late");
  assertEquals(new TextDecoder().decode(await readExactly(transport, 2)), "ea");
  assertEquals(new TextDecoder().decode(await readExactly(transport, 7)), "rlylate");
  assertEquals(transport.localAddr, near.localAddr);
  assertEquals(transport.remoteAddr, near.remoteAddr);
  await writeAll(transport, "x");
  await transport.closeWrite();
  assertEquals((await readExactly(far, 1))[0], 0x78);
  assertEquals(await far.read(new Uint8Array(1)), null);
  transport.close();
  far.close();
});
