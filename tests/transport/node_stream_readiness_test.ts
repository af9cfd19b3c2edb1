import { assertEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { NodeStreamTransport } from "../../src/transport/node_stream.ts";

function duplex(): Duplex {
  return new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
}

/** When the transport says that there is something to read. */
function readable(transport: NodeStreamTransport): Promise<void> {
  return new Promise((resolve) => transport.whenReadable(resolve));
}

Deno.test("a node stream reports readiness: what is there, nothing yet, and the end", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  assertEquals(transport.tryRead(into), 0);
  let told = 0;
  const first = readable(transport).then(() => told++);
  stream.push(Buffer.from([1, 2, 3, 4, 5, 6]));
  assertEquals(told, 0, "not within the call");
  await first;
  assertEquals([transport.tryRead(into), ...into], [4, 1, 2, 3, 4]);
  // The rest of a chunk is there already.
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

Deno.test("a node stream reports readiness: of a failure, which it throws, and asked afterwards too", async () => {
  const stream = duplex(), transport = new NodeStreamTransport(stream), into = new Uint8Array(4);
  const told = readable(transport);
  stream.destroy(new Error("broken"));
  await told;
  assertThrows(() => transport.tryRead(into), Error, "broken");
  await readable(transport);
  assertThrows(() => transport.tryRead(into), Error, "broken");
});
