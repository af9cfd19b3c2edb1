import { assert, assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers";
import { NodeStreamTransport } from "../../src/transport/node_stream.ts";

function duplex(): Duplex {
  return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
}

/** Waits until the transport reports that it is readable. */
function readable(transport: NodeStreamTransport): Promise<void> {
  return new Promise((resolve) => transport.whenReadable(resolve));
}

Deno.test("a node stream reports readiness for bytes and for the end", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  assertEquals(transport.tryRead(into), 0);
  let told = 0;
  const first = readable(transport).then(() => told++);
  stream.push(Buffer.from([1, 2, 3, 4, 5, 6]));
  assertEquals(told, 0, "the notice must not come within the call");
  await first;
  assertEquals([transport.tryRead(into), ...into], [4, 1, 2, 3, 4]);
  // The rest of the chunk is available already.
  await readable(transport);
  assertEquals([transport.tryRead(into), into[0], into[1]], [2, 5, 6]);
  assertEquals(transport.tryRead(into), 0);
  const last = readable(transport);
  stream.push(null);
  await last;
  while (transport.tryRead(into) === 0) await readable(transport);
  assertEquals(transport.tryRead(into), null);
  transport.close();
});

Deno.test("a node stream reports readiness for a failure, which tryRead throws, also when asked afterwards", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  const told = readable(transport);
  stream.destroy(new Error("broken"));
  await told;
  assertThrows(() => transport.tryRead(into), Error, "broken");
  await readable(transport);
  assertThrows(() => transport.tryRead(into), Error, "broken");
});

Deno.test("a node stream accepts one unrequested chunk, and is then paused", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  const first = readable(transport);
  stream.push(Buffer.from([1]));
  await first;
  for (const byte of [2, 3, 4]) stream.push(Buffer.from([byte]));
  await new Promise(setImmediate);
  assert(stream.isPaused());
  const bytes: number[] = [];
  while (bytes.length < 4) {
    const count = transport.tryRead(into)!;
    bytes.push(...into.subarray(0, count));
    if (count === 0) await readable(transport);
  }
  assertEquals(bytes, [1, 2, 3, 4]);
  transport.close();
});

Deno.test("a node stream stays paused when its owner removes a listener", async () => {
  const stream = duplex();
  const look = () => {};
  stream.on("readable", look);
  const transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  stream.removeListener("readable", look);
  for (const byte of [1, 2, 3]) stream.push(Buffer.from([byte]));
  await new Promise(setImmediate);
  const bytes: number[] = [];
  while (bytes.length < 3) {
    const count = transport.tryRead(into)!;
    bytes.push(...into.subarray(0, count));
    if (count === 0) await readable(transport);
  }
  assertEquals(bytes, [1, 2, 3]);
  transport.close();
});

Deno.test("bytes that a node stream writes at once count as taken when the call returns", () => {
  const taken: number[] = [];
  const stream = duplex();
  stream._write = (chunk, _encoding, done) => {
    taken.push(...chunk);
    done();
  };
  const transport = new NodeStreamTransport(stream);
  const bytes = new Uint8Array(100_000).fill(7);
  assertEquals(transport.tryWrite(bytes), 100_000);
  assertEquals(taken.length, 100_000);
  transport.close();
});

for (const says of [true, false]) {
  const name = says ? "reports its buffered bytes" : "doesn't report them";
  Deno.test(`bytes that a node stream writes later count as taken then: a stream that ${name}`, async () => {
    const stream = duplex(), given: Uint8Array[] = [];
    let done = () => {};
    stream._write = (chunk, _encoding, callback) => {
      given.push(chunk);
      done = callback;
    };
    if (!says) Object.defineProperty(stream, "writableLength", { value: undefined });
    const transport = new NodeStreamTransport(stream), bytes = Uint8Array.of(1, 2, 3);
    assertEquals(transport.tryWrite(bytes), 0);
    let told = false;
    const first = new Promise<void>((resolve) => transport.whenWritable(resolve));
    first.then(() => told = true);
    await new Promise(setImmediate);
    assertEquals([told, transport.tryWrite(bytes)], [false, 0]);
    done();
    await first;
    assertEquals(transport.tryWrite(bytes), 3);
    assertEquals(given.map((chunk) => [...chunk]), [[1, 2, 3]]);
    const second = new Promise<void>((resolve) => transport.whenWritable(resolve));
    transport.tryWrite(bytes);
    stream.destroy(new Error("broken"));
    await second;
    assertThrows(() => transport.tryWrite(bytes), Error, "broken");
  });
}

Deno.test("a node stream with room reports it in a later turn", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream);
  const order: string[] = [];
  const told = new Promise<void>((resolve) =>
    transport.whenWritable(() => {
      order.push("told");
      resolve();
    })
  );
  queueMicrotask(() => order.push("microtask"));
  await told;
  assertEquals(order, ["microtask", "told"]);
  transport.close();
});
