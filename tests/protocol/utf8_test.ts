import { assert, assertEquals } from "@std/assert";
import { decodeText, decodeValidText } from "../../src/protocol/text.ts";
import { encodeUtf8, isUtf8, Utf8Validator } from "../../src/protocol/utf8.ts";
import { concat, hex, text, toHex } from "../support/bytes.ts";
import { decode } from "../support/decoding.ts";
import { frame, TEXT } from "../support/frames.ts";
import { seeded } from "../support/random.ts";

const FATAL = new TextDecoder("utf-8", { fatal: true });

const LENIENT = new TextDecoder("utf-8", { ignoreBOM: true });

function isValid(bytes: Uint8Array): boolean {
  // Throwing is slow, so only texts that contain U+FFFD need the strict decoder.
  if (!LENIENT.decode(bytes).includes("\ufffd")) return true;
  if (!toHex(bytes).includes("efbfbd")) return false;
  try {
    FATAL.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

const whole = new Utf8Validator();

/** Both validators must agree with the platform. */
function check(bytes: Uint8Array): void {
  const expected = isValid(bytes), view = new DataView(bytes.buffer, bytes.byteOffset);
  whole.reset();
  const validated = whole.push(view, 0, bytes.length) && whole.complete;
  if (isUtf8(bytes) !== expected || validated !== expected) throw new Error(toHex(bytes));
}

/** A validator for single bytes at the beginning of one buffer. */
function stepper(): { reset(): void; push(...bytes: number[]): boolean; complete(): boolean } {
  const validator = new Utf8Validator();
  const view = new DataView(new ArrayBuffer(4));
  return {
    reset: () => validator.reset(),
    push: (...bytes) => {
      for (const [at, byte] of bytes.entries()) view.setUint8(at, byte);
      return validator.push(view, 0, bytes.length);
    },
    complete: () => validator.complete,
  };
}

/** Whether a valid text can begin with these bytes, by trying up to three more bytes. */
function canContinue(bytes: Uint8Array): boolean {
  if (isValid(bytes)) return true;
  const tails = [
    "80",
    "8080",
    "808080",
    "a0",
    "a080",
    "9080",
    "90",
    "908080",
    "bf",
    "bfbf",
    "bfbfbf",
  ];
  return tails.some((tail) => isValid(concat(bytes, hex(tail))));
}

Deno.test("RFC 3629: all sequences of one and two bytes agree with the platform", () => {
  for (let a = 0; a < 256; a++) {
    check(Uint8Array.of(a));
    for (let b = 0; b < 256; b++) check(Uint8Array.of(a, b));
  }
});

Deno.test("RFC 3629: all sequences of three bytes agree with the platform", () => {
  // One decoding per pair of first and second byte: 256 texts, separated by spaces, which the first invalid one ends.
  const bytes = new Uint8Array(3);
  let valid = 0;
  const validator = new Utf8Validator(), view = new DataView(bytes.buffer);
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) {
      bytes[0] = a;
      bytes[1] = b;
      // If the first byte is invalid anywhere, later bytes don't matter, and a sample is enough.
      const step = (a < 0x80 || (a >= 0xc2 && a <= 0xf4)) ? 1 : 37;
      for (let c = 0; c < 256; c += step) {
        bytes[2] = c;
        validator.reset();
        const got = validator.push(view, 0, 3) && validator.complete;
        if (got) valid++;
        if (got !== reference3(a, b, c)) throw new Error(toHex(bytes));
      }
    }
  }
  // 2^21 texts of ASCII, 1920 two-byte characters next to 128 others on either side, and 63488 of three bytes.
  assertEquals(valid, 128 ** 3 + 2 * 128 * 1920 + (65536 - 2048 - 2048));
});

/** Sequences of three bytes by the table of the Unicode standard, as ranges and not as a state machine. */
function reference3(a: number, b: number, c: number): boolean {
  const tail = (byte: number) => byte >= 0x80 && byte <= 0xbf;
  const two = (x: number, y: number) => x >= 0xc2 && x <= 0xdf && tail(y);
  if (a < 0x80) return (b < 0x80 && c < 0x80) || two(b, c);
  if (two(a, b)) return c < 0x80;
  if (!tail(b) || !tail(c)) return false;
  if (a === 0xe0) return b >= 0xa0;
  if (a === 0xed) return b <= 0x9f;
  return a >= 0xe1 && a <= 0xef;
}

Deno.test("RFC 3629: the platform agrees with the ranges that the test above uses", () => {
  const random = seeded(33);
  const edges = [
    0x00,
    0x41,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
  ];
  edges.push(0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff);
  for (const a of edges) {
    for (const b of edges) {
      for (const c of [...edges, Math.floor(random() * 256)]) {
        const bytes = Uint8Array.of(a, b, c);
        if (isValid(bytes) !== reference3(a, b, c)) throw new Error(toHex(bytes));
      }
    }
  }
});

Deno.test("RFC 3629: sequences of four bytes agree with the platform, at the edges and at random", () => {
  const random = seeded(4);
  const edges = [
    0x00,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xe0,
    0xed,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  ];
  for (const a of [...edges, 0xf1, 0xf3]) {
    for (const b of edges) {
      for (const c of edges) for (const d of edges) check(Uint8Array.of(a, b, c, d));
    }
  }
  for (let round = 0; round < 50_000; round++) {
    const lead = 0xf0 + Math.floor(random() * 6);
    check(Uint8Array.of(lead, random() * 256, 0x80 + random() * 64, 0x80 + random() * 66));
  }
});

Deno.test("RFC 6455 8.1: validation fails exactly at the first byte that can't be part of a text", () => {
  const { reset, push } = stepper();
  for (let a = 0; a < 256; a++) {
    reset();
    const first = push(a);
    assertEquals(first, canContinue(Uint8Array.of(a)), toHex(Uint8Array.of(a)));
    if (!first) continue;
    for (let b = 0; b < 256; b++) {
      reset();
      push(a);
      const second = push(b);
      assertEquals(second, canContinue(Uint8Array.of(a, b)), toHex(Uint8Array.of(a, b)));
      // The third byte has no other restriction than being a continuation, so its edge values are enough.
      for (const c of second ? [0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xff] : []) {
        reset();
        push(a, b);
        assertEquals(push(c), canContinue(Uint8Array.of(a, b, c)), toHex(Uint8Array.of(a, b, c)));
      }
    }
  }
});

// Each with the index of the first invalid byte.
const BAD: [string, number][] = [
  ["80", 0],
  ["c0 80", 0],
  ["c1 bf", 0],
  ["c3 28", 1],
  ["e0 9f bf", 1],
  ["e2 28 a1", 1],
  ["e2 82 28", 2],
  ["ed a0 80", 1],
  ["ed bf bf", 1],
  ["f0 8f bf bf", 1],
  ["f0 9f 98 c0", 3],
  ["f4 90 80 80", 1],
  ["f5 80 80 80", 0],
  ["f8 88 80 80 80", 0],
  ["fe", 0],
  ["ff", 0],
];

Deno.test("RFC 6455 8.1: validation fails at once at every cut, and in every place of the word-wise loop", () => {
  for (const [digits, at] of BAD) {
    for (let before = 0; before <= 20; before++) {
      const bytes = concat(
        new Uint8Array(before).fill(0x61),
        hex(digits),
        new Uint8Array(9).fill(0x62),
      );
      const view = new DataView(bytes.buffer);
      for (let cut = 0; cut <= bytes.length; cut++) {
        const validator = new Utf8Validator();
        const first = validator.push(view, 0, cut);
        assertEquals(first, cut <= before + at, `${digits} after ${before}, cut at ${cut}`);
        if (first) assert(!validator.push(view, cut, bytes.length));
      }
    }
  }
});

Deno.test("RFC 6455 8.1: a text frame fails at the first invalid byte, a whole frame at once", () => {
  for (const [digits, at] of BAD) {
    const payload = concat(hex("61 c3 a9"), hex(digits), new Uint8Array(20).fill(0x62));
    for (const fin of [true, false]) {
      const bytes = frame(TEXT, payload, { fin });
      assertEquals(decode("client", [bytes]).events, [["fail", 1007]]);
      const slow = decode("client", Array.from(bytes, (byte) => Uint8Array.of(byte)));
      assertEquals(slow.events, [["fail", 1007]]);
      assertEquals(slow.failedAfter, 2 + 3 + at + 1, digits);
    }
  }
});

Deno.test("text is decoded as by the platform, at every length around the word size and 2 KiB", () => {
  for (const unit of ["a", "é", "€", "😀", "\ufeff", "\0", "aé€😀"]) {
    for (
      const count of [
        0,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        15,
        16,
        17,
        31,
        33,
        100,
        500,
        700,
        1024,
        2047,
        2048,
        2049,
        3000,
      ]
    ) {
      const string = unit.repeat(count), bytes = concat(hex("ff"), encodeUtf8(string), hex("ff"));
      const view = new DataView(bytes.buffer), end = bytes.length - 1;
      assertEquals(decodeText(bytes, view, 1, end) === string, true, `${unit} × ${count}`);
      assertEquals(decodeValidText(bytes, 1, end) === string, true);
    }
  }
  for (const [digits] of BAD) {
    const bytes = hex(digits);
    assertEquals(decodeText(bytes, new DataView(bytes.buffer), 0, bytes.length), null, digits);
  }
  const cut = hex("61 e2 82");
  assertEquals(decodeText(cut, new DataView(cut.buffer), 0, 3), null);
});

Deno.test("a lone surrogate is encoded as U+FFFD", () => {
  assertEquals(text(encodeUtf8("a\ud800b\udc00")), "a\ufffdb\ufffd");
});
