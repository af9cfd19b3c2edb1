import { assertEquals } from "@std/assert";
import { Deflater } from "../../src/deflate/deflater.ts";
import { CompressedFrame } from "../../src/deflate/compressed_frame.ts";
import { FrameDecoder } from "../../src/protocol/frame_decoder.ts";
import { assertBytes, inflater, json, noise, push, TAKEOVER } from "./helpers.ts";
import { join } from "../support/bytes.ts";

/** Fills a frame with bytes in portions. */
function fill(frame: CompressedFrame, bytes: Uint8Array, portion: number): void {
  for (let at = 0; at < bytes.length;) {
    frame.makeRoom();
    const count = Math.min(portion, bytes.length - at, frame.chunk.length - frame.at);
    frame.chunk.set(bytes.subarray(at, at + count), frame.at);
    frame.advance(count);
    at += count;
  }
}

/** Decodes a frame as the peer of a role does. */
function decode(
  role: "client" | "server",
  pieces: Uint8Array[],
): { first: number; payload: Uint8Array } {
  const parts: Uint8Array[] = [];
  let first = 0;
  const decoder = new FrameDecoder(role, {
    frameStart() {
      first = (decoder.fin ? 0x80 : 0) | decoder.rsv | decoder.opcode;
    },
    frameData({ bytes }, start, end) {
      parts.push(bytes.slice(start, end));
    },
  }, 0x40);
  const bytes = join(pieces);
  decoder.decode({ bytes, view: new DataView(bytes.buffer) }, 0, bytes.length);
  return { first, payload: join(parts) };
}

const CHUNK = 64 * 1024;
const LENGTHS = [0, 1, 121, 122, 125, 126, 129, 130, 65531, 65532, 65535, 65536, 65540, 200_000];
for (let around = CHUNK - 40; around <= CHUNK; around++) LENGTHS.push(around);
for (let around = 2 * CHUNK - 40; around <= 2 * CHUNK; around++) LENGTHS.push(around);

for (const key of [null, 0x12345678, -2]) {
  Deno.test(`a frame of any length has the right header, mask and payload, key ${key}`, () => {
    for (const length of LENGTHS) {
      for (const portion of [1 << 20, 1000, 7]) {
        if (portion === 7 && length > 65540) continue;
        const payload = noise(length);
        for (const expected of [length, 10]) {
          const frame = new CompressedFrame(expected, key);
          fill(frame, payload, portion);
          assertEquals(frame.length, length);
          const read = decode(key === null ? "client" : "server", frame.finish(0xc2));
          assertEquals(read.first, 0xc2);
          assertBytes(read.payload, payload);

          const shorter = new CompressedFrame(expected, key);
          fill(shorter, payload, portion);
          if (length < 4) continue;
          shorter.dropTail();
          const cut = decode(key === null ? "client" : "server", shorter.finish(0xc2));
          assertBytes(cut.payload, payload.subarray(0, length - 4));
        }
      }
    }
  });
}

Deno.test("queued frames, short and long, stay in order", async () => {
  for (const takeover of [true, false]) {
    for (const key of [null, 77]) {
      const deflater = new Deflater({ ...TAKEOVER, takeover });
      const { inflater: codec, got } = inflater({ takeover });
      const sent = [
        json(200_000),
        json(100, 2),
        noise(300_000),
        json(0),
        json(5000, 3),
        json(70_000),
      ];
      const frames: Uint8Array[][] = [];
      await new Promise<void>((resolve) => {
        for (const message of sent) {
          const frame = new CompressedFrame(message.length, key);
          deflater.deflateInTurns(message, true, frame, () => {
            frames.push(frame.finish(0xc2));
            if (frames.length === sent.length) resolve();
          });
        }
      });
      for (let i = 0; i < sent.length; i++) {
        await push(codec, decode(key === null ? "client" : "server", frames[i]).payload);
        assertBytes(got.messages[i], sent[i]);
      }
      deflater.close();
      codec.close();
    }
  }
});
