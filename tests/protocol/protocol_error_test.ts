import { assertEquals } from "@std/assert";
import { Context, ProtocolError } from "../../mod.ts";
import { RawPeer } from "../support/raw_peer.ts";

// Invalid bytes of a client, the header complete and the payload masked with zeros, and the name of the violation.
const FAULTS: [reason: string, closeCode: number, bytes: number[]][] = [
  ["expected-mask", 1002, [0x81, 0x01, 0x61]],
  ["unexpected-rsv1", 1002, [0xc1, 0x80, 0, 0, 0, 0]],
  ["unexpected-rsv", 1002, [0xa1, 0x80, 0, 0, 0, 0]],
  ["unexpected-rsv", 1002, [0x91, 0x80, 0, 0, 0, 0]],
  ["invalid-opcode", 1002, [0x83, 0x80, 0, 0, 0, 0]],
  ["expected-fin", 1002, [0x09, 0x80, 0, 0, 0, 0]],
  ["invalid-control-length", 1002, [0x89, 0xfe, 0, 126]],
  ["invalid-length", 1002, [0x82, 0xfe, 0, 5, 0, 0, 0, 0]],
  ["invalid-length", 1002, [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]],
  ["invalid-length", 1009, [0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0]],
  ["unexpected-continuation", 1002, [0x80, 0x80, 0, 0, 0, 0]],
  ["expected-continuation", 1002, [0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0]],
  ["invalid-close-length", 1002, [0x88, 0x81, 0, 0, 0, 0, 3]],
  ["invalid-close-code", 1002, [0x88, 0x82, 0, 0, 0, 0, 3, 237]],
  ["invalid-utf8", 1007, [0x88, 0x83, 0, 0, 0, 0, 3, 232, 0xff]],
  ["invalid-utf8", 1007, [0x81, 0x81, 0, 0, 0, 0, 0xff]],
  ["message-too-big", 1009, [0x82, 0xfe, 0x10, 0x01, 0, 0, 0, 0]],
];

for (const [at, [reason, closeCode, bytes]] of FAULTS.entries()) {
  Deno.test(`a violation has a name (${at}): ${reason}`, async () => {
    await using ctx = new Context();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const listener = ctx.listen({
      hostname: "127.0.0.1",
      maxMessageSize: 4096,
      onMessage: () => {},
      onError: (_, error) => resolve(error),
    });
    using peer = await RawPeer.connect(listener.port);
    await peer.write(Uint8Array.from(bytes));
    const error = await promise;
    if (!(error instanceof ProtocolError)) throw error;
    assertEquals([error.reason, error.closeCode], [reason, closeCode]);
  });
}

Deno.test("the error of a violation shows its message, and no code of the library", async () => {
  await using ctx = new Context();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const listener = ctx.listen({ hostname: "127.0.0.1", onError: (_, error) => resolve(error) });
  using peer = await RawPeer.connect(listener.port);
  await peer.write(Uint8Array.of(0x83, 0x80, 0, 0, 0, 0));
  const error = await promise as ProtocolError;
  assertEquals(error.stack, `ProtocolError: ${error.message}`);
});
