import { assert, assertEquals, assertThrows } from "@std/assert";
import { MessageAssembler } from "../../src/protocol/message_assembler.ts";
import { copyPayload } from "../../src/protocol/payload_slab.ts";
import { concat, sameBytes } from "../support/bytes.ts";
import { BINARY, CONTINUATION, frame } from "../support/frames.ts";
import { randomBytes } from "../support/random.ts";

interface Got {
  data: string | Uint8Array;
  lent: boolean;
}

function collect(maxMessageSize = 0, lend = false): { assembler: MessageAssembler; got: Got[] } {
  const got: Got[] = [];
  const sink = {
    message: (data: string | Uint8Array, lent: boolean) => void got.push({ data, lent }),
    control: () => {},
    inflated: () => {},
  };
  return { assembler: new MessageAssembler("client", sink, maxMessageSize, lend, 0), got };
}

function push(assembler: MessageAssembler, bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return assembler.frames.decode({ bytes, view }, 0, bytes.length);
}

Deno.test("a message of any length survives the growth of its buffer", () => {
  for (const max of [0, 40_000]) {
    for (const length of [1, 1023, 1024, 1025, 4095, 4096, 4097, 16_384, 16_385, 40_000]) {
      const payload = randomBytes(length, length);
      for (const piece of [1, 7, 1000, 4096, 65_536]) {
        if (length / piece > 5000) continue;
        const { assembler, got } = collect(max);
        const bytes = frame(BINARY, payload);
        for (let at = 0; at < bytes.length; at += piece) {
          push(assembler, bytes.slice(at, at + piece));
        }
        assertEquals(got.length, 1);
        assert(sameBytes(got[0].data as Uint8Array, payload), `${length} in pieces of ${piece}`);
        assertEquals(assembler.buffered, 0);
      }
    }
  }
});

Deno.test("the bytes of a message that have arrived are counted, announced ones aren't", () => {
  const { assembler } = collect();
  const bytes = frame(BINARY, new Uint8Array(1_000_000));
  push(assembler, bytes.slice(0, 10));
  assertEquals(assembler.buffered, 0);
  push(assembler, bytes.slice(10, 110));
  assertEquals(assembler.buffered, 100);
  assertEquals(assembler.frames.remaining, 999_900);
  assembler.discard();
  assertEquals(assembler.buffered, 0);
});

Deno.test("small fragments need no more memory than their message", () => {
  const { assembler, got } = collect();
  const parts = Array.from({ length: 2000 }, (_, at) => {
    const opcode = at === 0 ? BINARY : CONTINUATION;
    return frame(opcode, randomBytes(64, at + 1), { fin: at === 1999 });
  });
  push(assembler, concat(...parts));
  const expected = concat(...Array.from({ length: 2000 }, (_, at) => randomBytes(64, at + 1)));
  const data = got[0].data as Uint8Array;
  assert(sameBytes(data, expected));
  assertEquals(data.byteLength, data.buffer.byteLength);
});

Deno.test("a payload that is delivered as a view shares the memory of the read, a copy doesn't", () => {
  for (const lend of [true, false]) {
    const { assembler, got } = collect(0, lend);
    const bytes = frame(BINARY, Uint8Array.of(1, 2, 3));
    push(assembler, bytes);
    const data = got[0].data as Uint8Array;
    assertEquals([got[0].lent, data.buffer === bytes.buffer], [lend, lend]);
    bytes.fill(9);
    assertEquals(data, lend ? Uint8Array.of(9, 9, 9) : Uint8Array.of(1, 2, 3));
  }
});

Deno.test("a halted decoder stops after the frame, and continues there", () => {
  const got: Got[] = [];
  const assembler = new MessageAssembler(
    "client",
    {
      message: (data, lent) => {
        got.push({ data, lent });
        assembler.frames.stopRequested = got.length === 1;
      },
      control: () => {},
      inflated: () => {},
    },
    0,
    false,
    0,
  );
  const frames = ["a", "b", "c"].map((text) => frame(1, text));
  const bytes = concat(...frames);
  const source = { bytes, view: new DataView(bytes.buffer) };
  const at = assembler.frames.decode(source, 0, bytes.length);
  assertEquals([at, got.length], [3, 1]);
  assembler.frames.stopRequested = false;
  assertEquals(assembler.frames.decode(source, at, bytes.length), bytes.length);
  assertEquals(got.map(({ data }) => data), ["a", "b", "c"]);
});

Deno.test("copies in the slab never overlap, start at multiples of 8, and may be empty", () => {
  const bytes = randomBytes(4096, 8);
  const source = { bytes, view: new DataView(bytes.buffer) };
  const copies = Array.from({ length: 600 }, (_, at) => {
    return copyPayload(source, at, at + (at * 37) % 3000);
  });
  for (const [at, copy] of copies.entries()) {
    assert(sameBytes(copy, bytes.subarray(at, at + (at * 37) % 3000)), String(at));
    assertEquals(copy.byteOffset % 8, 0);
  }
});

Deno.test("transferring the buffer of a payload doesn't affect later payloads", () => {
  const { assembler, got } = collect();
  const parts = [
    frame(BINARY, new Uint8Array(0), { fin: false }),
    frame(CONTINUATION, new Uint8Array(0)),
  ];
  const messages = [
    concat(...parts),
    frame(BINARY, new Uint8Array(0)),
    frame(BINARY, randomBytes(100, 1)),
  ];
  for (let round = 0; round < 3; round++) {
    for (const message of messages) {
      push(assembler, message);
      const { data } = got.pop()!;
      structuredClone(data, { transfer: [(data as Uint8Array).buffer as ArrayBuffer] });
    }
  }
  push(assembler, messages[2]);
  assert(sameBytes(got[0].data as Uint8Array, randomBytes(100, 1)));
});

Deno.test("text as bytes is validated, belongs to the application, and is distinguished from binary", () => {
  const got: [bytes: Uint8Array, text: boolean][] = [];
  const assembler: MessageAssembler = new MessageAssembler(
    "client",
    {
      message: (data) => void got.push([data as Uint8Array, assembler.opaque]),
      control: () => {},
      inflated: () => {},
    },
    0,
    false,
    0,
    true,
  );
  for (const text of ["", "plain", "ä€😀", "x".repeat(5000), "ä".repeat(5000)]) {
    const payload = new TextEncoder().encode(text), half = payload.length >> 1;
    const whole = frame(1, payload),
      fragments = concat(
        frame(1, payload.subarray(0, half), { fin: false }),
        frame(CONTINUATION, payload.subarray(half)),
      );
    for (const bytes of [whole, fragments, frame(BINARY, payload)]) {
      for (const piece of [1, 3, bytes.length]) {
        got.length = 0;
        const read = bytes.slice();
        for (let at = 0; at < read.length; at += piece) {
          push(assembler, read.subarray(at, at + piece));
        }
        read.fill(0xff);
        assertEquals(got.length, 1);
        assert(sameBytes(got[0][0], payload));
        assertEquals(got[0][1], (bytes[0] & 0xf) === 1);
      }
    }
  }
  for (const bad of [[0xff], [0xc3], [0xed, 0xa0, 0x80]]) {
    for (const at of [0, 20]) {
      const payload = concat(new Uint8Array(at).fill(0x61), Uint8Array.from(bad));
      assertThrows(() => push(assembler, frame(1, payload)), Error, "not UTF-8");
      assembler.discard();
    }
  }
});
