import { assert, assertEquals } from "@std/assert";
import { advanceKey, applyMask, randomKey } from "../../src/protocol/mask.ts";
import { randomBytes } from "../support/random.ts";

const KEY = Uint8Array.of(0x37, 0xfa, 0x21, 0x3d);
const WORD = new DataView(KEY.buffer).getInt32(0, true);

Deno.test("RFC 6455 5.3: masking is right for every alignment, length and phase of the key", () => {
  const plain = randomBytes(256, 3);
  for (let align = 0; align < 8; align++) {
    for (let length = 0; length <= 200; length++) {
      for (let phase = 0; phase < 4; phase++) {
        const bytes = plain.slice();
        applyMask(new DataView(bytes.buffer), align, align + length, advanceKey(WORD, phase));
        for (let at = 0; at < bytes.length; at++) {
          const inside = at >= align && at < align + length;
          const expected = inside ? plain[at] ^ KEY[(phase + at - align) & 3] : plain[at];
          if (bytes[at] !== expected) {
            throw new Error(`Byte ${at}, alignment ${align}, length ${length}, phase ${phase}`);
          }
        }
      }
    }
  }
});

Deno.test("RFC 6455 5.3: masking a view changes only its part of the buffer", () => {
  const bytes = randomBytes(64, 4), plain = bytes.slice();
  applyMask(new DataView(bytes.buffer, 5, 40), 2, 38, WORD);
  for (let at = 0; at < 64; at++) {
    assertEquals(bytes[at], at >= 7 && at < 43 ? plain[at] ^ KEY[(at - 7) & 3] : plain[at]);
  }
});

Deno.test("RFC 6455 5.3: masking in pieces gives the same result", () => {
  const plain = randomBytes(97, 5), whole = plain.slice();
  applyMask(new DataView(whole.buffer), 0, whole.length, WORD);
  for (let cut = 0; cut <= plain.length; cut++) {
    const bytes = plain.slice(), view = new DataView(bytes.buffer);
    applyMask(view, 0, cut, WORD);
    applyMask(view, cut, bytes.length, advanceKey(WORD, cut));
    assertEquals(bytes, whole);
  }
});

Deno.test("RFC 6455 10.3: masking keys differ, also after the pool is refilled", () => {
  const keys = Array.from({ length: 5000 }, randomKey);
  // 5000 of 2^32 keys: three equal ones or more have a probability that is negligible.
  assert(new Set(keys).size >= 4998);
  assert(keys.every((key) => Number.isInteger(key) && key === (key | 0)));
});
