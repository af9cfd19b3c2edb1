import { assertEquals } from "@std/assert";
import { concat } from "../support/bytes.ts";
import { decode, type Event } from "../support/decoding.ts";
import { frame, headerLength, literal, masked, TEXT } from "../support/frames.ts";
import { randomBytes, seeded } from "../support/random.ts";
import { type Case, CASES } from "./rfc6455_cases.ts";

const ROLES = ["client", "server"] as const;
// Inputs up to this length are split at every index, longer ones at random indexes.
const SHORT = 400;

function framesFor(role: "client" | "server", { frames }: Case): Uint8Array[] {
  return frames.map((text) => role === "server" ? masked(literal(text)) : literal(text));
}

/** Cuts bytes at random: mostly small pieces around the borders of frames, and some large ones. */
function randomPieces(bytes: Uint8Array, random: () => number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random() ** 4 * (random() < 0.5 ? 20 : bytes.length));
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

for (const role of ROLES) {
  for (const [number, test] of CASES.entries()) {
    Deno.test(`RFC 6455 ${test.section} as a ${role}: ${test.name} [${number}]`, () => {
      const frames = framesFor(role, test);
      const bytes = concat(...frames);
      const check = (pieces: Uint8Array[], margin: number, how: string) => {
        const { events } = decode(role, pieces, test, margin);
        assertEquals(events, test.events, how);
      };
      check([bytes], 0, "whole");
      check([bytes], 3, "whole, between other bytes");
      check(Array.from(bytes, (byte) => Uint8Array.of(byte)), 0, "per byte");
      check(frames, 1, "per frame");
      if (bytes.length <= SHORT) {
        for (let cut = 1; cut < bytes.length; cut++) {
          check([bytes.subarray(0, cut), bytes.subarray(cut)], cut & 7, `cut at ${cut}`);
        }
      }
      const random = seeded(number);
      for (let round = 0; round < (bytes.length <= SHORT ? 20 : 12); round++) {
        check(randomPieces(bytes, random), round & 7, `random cuts, round ${round}`);
      }
    });
  }

  Deno.test(`RFC 6455 as a ${role}: a violation is detected at the first wrong byte`, () => {
    let checked = 0;
    for (const test of CASES) {
      if (test.failsAfter === undefined) continue;
      const frames = framesFor(role, test);
      const bytes = concat(...frames), last = frames.at(-1)!;
      const expected = role === "client"
        ? test.failsAfter
        : test.failsAfterMasked ?? test.failsAfter + 4;
      const { failedAfter } = decode(role, Array.from(bytes, (byte) => Uint8Array.of(byte)), test);
      assertEquals(failedAfter - (bytes.length - last.length), expected, test.name);
      checked++;
    }
    assertEquals(checked > 60, true);
  });

  Deno.test(`RFC 6455 5.1 as a ${role}: frames with the wrong masking are refused`, () => {
    for (const text of ["81 05|48 65 6c 6c 6f", "82 00|", "89 00|", "8a 01|00", "88 02|03 e8"]) {
      const wrong = role === "server" ? literal(text) : masked(literal(text));
      for (const pieces of [[wrong], Array.from(wrong, (byte) => Uint8Array.of(byte))]) {
        const { events } = decode(role, pieces);
        assertEquals(events, [["fail", 1002]], text);
      }
      assertEquals(decode(role, Array.from(wrong, (byte) => Uint8Array.of(byte))).failedAfter, 2);
    }
  });
}

Deno.test("RFC 6455 5.3: any masking key works, also one of zeros", () => {
  const plain = frame(TEXT, "a masked message of some length, for the words and the rest");
  const random = seeded(53);
  const keys = Array.from(
    { length: 50 },
    () => Uint8Array.from({ length: 4 }, () => random() * 256),
  );
  for (const key of [new Uint8Array(4), new Uint8Array(4).fill(255), ...keys]) {
    const bytes = masked(plain, key);
    for (let cut = 1; cut < bytes.length; cut += 3) {
      assertEquals(decode("server", [bytes.subarray(0, cut), bytes.subarray(cut)]).events, [[
        "text",
        "a masked message of some length, for the words and the rest",
      ]]);
    }
  }
});

Deno.test("RFC 6455 5: long mixed traffic is decoded the same with any cuts", () => {
  const random = seeded(5);
  const frames: Uint8Array[] = [];
  const events: Event[] = [];
  for (let n = 0; n < 300; n++) {
    const payload = randomBytes(Math.floor(random() ** 6 * 70_000), n + 1);
    const parts = 1 + Math.floor(random() * 4);
    const size = Math.ceil(payload.length / parts);
    for (let part = 0; part < parts; part++) {
      const opcode = part === 0 ? 2 : 0, fin = part === parts - 1;
      frames.push(frame(opcode, payload.subarray(part * size, (part + 1) * size), { fin }));
      if (random() < 0.3) {
        frames.push(frame(9, Uint8Array.of(n)));
        if (!fin) events.push(["ping", n.toString(16).padStart(2, "0").slice(-2)]);
      }
      if (fin) {
        events.push([
          "binary",
          Array.from(payload, (byte) => byte.toString(16).padStart(2, "0")).join(""),
        ]);
      }
    }
    if (frames.at(-1)![0] === 0x89) {
      events.push(["ping", (n & 255).toString(16).padStart(2, "0")]);
    }
  }
  for (const event of events) {
    if (event[0] === "ping") event[1] = event[1].padStart(2, "0");
  }
  for (const role of ROLES) {
    const bytes = concat(...(role === "server" ? frames.map((plain) => masked(plain)) : frames));
    for (let round = 0; round < 3; round++) {
      const pieces = randomPieces(bytes, random);
      const got = decode(role, pieces, { lend: round === 1 }).events;
      assertEquals(got.length, events.length);
      for (const [at, event] of events.entries()) {
        if (got[at][0] !== event[0] || got[at][1] !== event[1]) assertEquals(got[at], event);
      }
    }
  }
});

Deno.test("the tests' own encoder makes the headers of RFC 6455 5.2", () => {
  assertEquals(headerLength(frame(2, new Uint8Array(125))), 2);
  assertEquals(headerLength(frame(2, new Uint8Array(126))), 4);
  assertEquals(headerLength(frame(2, new Uint8Array(65536))), 10);
  assertEquals(
    masked(literal("81 05|48 65 6c 6c 6f")),
    literal("81 85 37 fa 21 3d|7f 9f 4d 51 58"),
  );
});
