import { assert, assertEquals } from "@std/assert";
import { acquire, LARGEST, release, SIZES } from "../../src/memory/buffer_pool.ts";
import { ControlQueue, encodeControl, MAX_REQUESTED } from "../../src/flow/control_queue.ts";
import { sourceOf } from "../../src/protocol/source.ts";
import { ReceiveQueue } from "../../src/flow/receive_queue.ts";
import { concat, hex, toHex } from "../support/bytes.ts";
import { FrameReader } from "../support/frames.ts";

Deno.test("RFC 6455 5.5: control frames are encoded, plain and masked", () => {
  assertEquals(toHex(encodeControl(9, hex("01 02"), null)), "89020102");
  assertEquals(toHex(encodeControl(10, new Uint8Array(0), null)), "8a00");
  const key = new DataView(hex("37 fa 21 3d").buffer).getInt32(0, true);
  assertEquals(toHex(encodeControl(9, hex("48 65 6c 6c 6f"), key)), "898537fa213d7f9f4d5158");
  const reader = new FrameReader();
  reader.push(encodeControl(10, new Uint8Array(125).fill(7), key));
  assertEquals(reader.next()!.payload, new Uint8Array(125).fill(7));
});

Deno.test("answers are taken in order, before frames of the application", () => {
  const queue = new ControlQueue();
  assert(queue.empty);
  const answer = (byte: number) => queue.answer(sourceOf(Uint8Array.of(byte)), 0, 1, null);
  for (const byte of [1, 2, 3]) answer(byte);
  assertEquals(toHex(queue.take()), "8a0101" + "8a0102" + "8a0103");
  answer(1);
  queue.request(Uint8Array.of(9));
  answer(2);
  assertEquals(toHex(queue.take()), "8a0101" + "8a0102" + "09");
  assert(queue.empty);
});

for (const [role, key] of [["server", null], ["client", 0x3d21fa37]] as const) {
  for (const length of [0, 1, 30, 125]) {
    Deno.test(`a ${role} answers the latest 64 pings with ${length} bytes`, () => {
      const queue = new ControlQueue();
      const payloads = Array.from({ length: 300 }, (_, i) => new Uint8Array(length).fill(i));
      for (const total of [1, 64, 65, 129, 300]) {
        for (const payload of payloads.slice(0, total)) {
          queue.answer(sourceOf(payload), 0, payload.length, key);
        }
        const latest = payloads.slice(Math.max(0, total - 64), total);
        const expected = latest.map((payload) => encodeControl(10, payload, key));
        assertEquals(queue.take(), concat(...expected));
        assert(queue.empty);
      }
    });
  }
}

Deno.test("control frames of the application are limited in number and keep their order", () => {
  const queue = new ControlQueue();
  const frames = Array.from({ length: MAX_REQUESTED }, (_, at) => Uint8Array.of(at));
  for (const frame of frames) {
    assert(!queue.full);
    queue.request(frame);
  }
  assert(queue.full);
  assertEquals(queue.take(), concat(...frames));
  assert(!queue.full && queue.empty);
});

Deno.test("the receive queue is first in, first out, and counts waiting messages", () => {
  const inbox = new ReceiveQueue();
  inbox.push("abc");
  inbox.push(new Uint8Array(1000));
  inbox.push("");
  assertEquals(inbox.length, 3);
  const full = inbox.bytes;
  assert(full > 1003, "empty messages must count");
  assertEquals(inbox.shift(), "abc");
  inbox.push("d");
  assertEquals((inbox.shift() as Uint8Array).length, 1000);
  assertEquals([inbox.shift(), inbox.shift()], ["", "d"]);
  assertEquals([inbox.length, inbox.bytes], [0, 0]);
  inbox.push("x");
  inbox.push("y");
  assertEquals(inbox.clear(), 2);
  assertEquals([inbox.length, inbox.bytes], [0, 0]);
});

Deno.test("pooled buffers never overlap, and are reused", () => {
  const taken = Array.from({ length: 300 }, () => acquire(0));
  for (const [at, buffer] of taken.entries()) {
    assertEquals([buffer.target.length, buffer.size], [SIZES[0], 0]);
    assertEquals(buffer.start, buffer.target.byteOffset);
    buffer.target.fill(at);
  }
  for (const [at, buffer] of taken.entries()) {
    assert(buffer.target.every((byte) => byte === (at & 255)), `buffer ${at} was overwritten`);
    assertEquals(buffer.view.getUint8(buffer.start), at & 255);
  }
  for (const buffer of taken) release(buffer);
  assert(taken.includes(acquire(0)));
  const large = acquire(LARGEST);
  assertEquals(large.target.length, SIZES[LARGEST]);
  release(large);
  assert(acquire(LARGEST) === large);
  // Buffers that the pool hasn't made aren't kept.
  release({ ...large, size: -1 });
  assert(acquire(LARGEST).size === LARGEST);
});
