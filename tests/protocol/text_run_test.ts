/** Short texts that come together, which are decoded together: they are the same as one by one. */
import { assertEquals, assertThrows } from "@std/assert";
import { MessageAssembler } from "../../src/protocol/message_assembler.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { frame, masked } from "../support/frames.ts";
import { seeded } from "../support/random.ts";

type Role = "client" | "server";

interface Receiver {
  assembler: MessageAssembler;
  got: (string | Uint8Array)[];
  /** Called with each message; returns whether to stop after it. */
  stopAfter(data: string | Uint8Array): boolean;
}

function receiver(role: Role): Receiver {
  const made: Receiver = {
    assembler: new MessageAssembler(
      role,
      {
        message(data) {
          made.got.push(data);
          if (made.stopAfter(data)) made.assembler.frames.stopRequested = true;
        },
        control: (opcode, { bytes }, start, end) =>
          void made.got.push(`${opcode} ${bytes.slice(start, end)}`),
        inflated() {},
      },
      0,
      false,
      0,
    ),
    got: [],
    stopAfter: () => false,
  };
  return made;
}

/** Reads as a connection does: into the same memory again and again, from its start. */
function reader({ assembler }: Receiver, start = 0) {
  const bytes = new Uint8Array(64 * 1024);
  const source = { bytes, view: new DataView(bytes.buffer) };
  return (input: Uint8Array) => {
    bytes.set(input, start);
    const end = start + input.length;
    for (let at = start; at < end;) {
      assembler.frames.stopRequested = false;
      at = assembler.frames.decode(source, at, end);
    }
  };
}

/** A stream of messages as a peer of `role` gets it, and what is to be delivered. */
function traffic(random: () => number, role: Role, count: number) {
  const frames: Uint8Array[] = [], expected: (string | Uint8Array)[] = [];
  const upTo = (most: number) => Math.floor(random() * (most + 1));
  const add = (bytes: Uint8Array) => {
    const key = Uint8Array.from({ length: 4 }, () => upTo(3) === 0 ? 0 : upTo(255));
    frames.push(role === "server" ? masked(bytes, key) : bytes);
  };
  const letters = (length: number) =>
    Array.from({ length }, () => String.fromCharCode(upTo(0x7f))).join("");
  for (let i = 0; i < count; i++) {
    const kind = upTo(20);
    if (kind === 0) {
      const payload = utf8(letters(upTo(100)));
      add(frame(2, payload));
      expected.push(payload);
    } else if (kind === 1) {
      add(frame(9, Uint8Array.of(i)));
      expected.push(`9 ${i & 0xff}`);
    } else if (kind === 2) {
      const text = letters(upTo(50));
      add(frame(1, text.slice(0, 9), { fin: false }));
      add(frame(0, text.slice(9)));
      expected.push(text);
    } else {
      const text = kind === 3
        ? letters(upTo(10)) + "ä€😀" + letters(upTo(10))
        : letters(kind === 4 ? 100 + upTo(100) : kind === 5 ? upTo(5000) : upTo(90));
      add(frame(1, text));
      expected.push(text);
    }
  }
  return { bytes: concat(...frames), expected };
}

for (const role of ["client", "server"] as const) {
  Deno.test(`Texts that come together to a ${role} are what was sent, however reads and stops fall`, () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seeded(seed), made = receiver(role), read = reader(made, seed % 3);
      const { bytes, expected } = traffic(random, role, 300);
      if (seed % 2 === 0) made.stopAfter = () => random() < 0.3;
      for (let at = 0; at < bytes.length;) {
        const end = at + 1 + Math.floor(random() * (seed % 5 === 0 ? 40 : 8000));
        read(bytes.subarray(at, end));
        at = end;
      }
      assertEquals(made.got, expected, `seed ${seed}`);
    }
  });
}

Deno.test("Texts that come together: one that isn't UTF-8 fails after those before it", () => {
  const made = receiver("server");
  const frames = ["one", "two", Uint8Array.of(0x61, 0xff), "four"]
    .map((payload) => masked(frame(1, payload)));
  assertThrows(() => reader(made)(concat(...frames)), Error, "UTF-8");
  assertEquals(made.got, ["one", "two"]);
});

Deno.test("Texts that come together: what isn't looked at any more is not taken for what comes", () => {
  const made = receiver("server"), bytes = new Uint8Array(1024);
  const source = { bytes, view: new DataView(bytes.buffer) };
  const texts = (...all: string[]) => concat(...all.map((text) => masked(frame(1, text))));
  const fill = (input: Uint8Array) => {
    bytes.set(input);
    made.assembler.frames.stopRequested = false;
    made.assembler.frames.decode(source, 0, input.length);
  };
  made.stopAfter = (data) => data === "a1";
  fill(texts("a1", "a2", "a3", "a4"));
  fill(texts("b1", "b2", "b3", "b4"));
  made.stopAfter = () => false;
  made.assembler.frames.stopRequested = false;
  fill(concat(masked(frame(2, "b")), texts("c2", "c3", "c4")));
  assertEquals(made.got, ["a1", "b1", "b2", "b3", "b4", utf8("b"), "c2", "c3", "c4"]);
});

Deno.test("A text that is kept is what it was, whatever its memory has afterwards", () => {
  const made = receiver("server"), read = reader(made);
  const all = Array.from({ length: 500 }, (_, i) => `text number ${i}, long enough to be cut`);
  for (let at = 0; at < all.length; at += 50) {
    read(concat(...all.slice(at, at + 50).map((text) => masked(frame(1, text)))));
  }
  assertEquals(made.got, all);
});
