import { assertEquals } from "@std/assert";
import { FrameDecoder } from "../../src/protocol/frame_decoder.ts";
import { headerSize, writeHeader } from "../../src/protocol/frame_header.ts";
import { sourceOf } from "../../src/protocol/source.ts";
import { hex, toHex } from "../support/bytes.ts";

// RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length".
const HEADERS: [length: number, header: string][] = [
  [0, "8200"],
  [1, "8201"],
  [125, "827d"],
  [126, "827e007e"],
  [127, "827e007f"],
  [255, "827e00ff"],
  [256, "827e0100"],
  [65535, "827effff"],
  [65536, "827f0000000000010000"],
  [65537, "827f0000000000010001"],
  [2 ** 31 - 1, "827f000000007fffffff"],
  [2 ** 31, "827f0000000080000000"],
  [2 ** 32 - 1, "827f00000000ffffffff"],
  [2 ** 32, "827f0000000100000000"],
  [2 ** 32 + 1, "827f0000000100000001"],
  [2 ** 52, "827f0010000000000000"],
  [2 ** 53 - 1, "827f001fffffffffffff"],
];

for (const [length, header] of HEADERS) {
  Deno.test(`RFC 6455 5.2: a frame of ${length} bytes has the shortest header`, () => {
    for (const maskBit of [0, 0x80]) {
      const into = new Uint8Array(20).fill(0xcc);
      const end = writeHeader(into, 3, 0x82, length, maskBit);
      const expected = header.slice(0, 2) +
        (parseInt(header.slice(2, 4), 16) | maskBit).toString(16).padStart(2, "0") +
        header.slice(4);
      assertEquals(toHex(into.subarray(3, end)), expected);
      assertEquals(toHex(into.subarray(0, 3)) + toHex(into.subarray(end)), "cc".repeat(23 - end));
      assertEquals(headerSize(length, maskBit !== 0), end - 3 + (maskBit === 0 ? 0 : 4));
    }
  });
}

for (const [length, header] of HEADERS) {
  Deno.test(`RFC 6455 5.2: the header of a frame of ${length} bytes is decoded, whole or split anywhere`, () => {
    // Twelve bytes more, so that all of the header is decoded at once.
    const bytes = hex(header + "00".repeat(Math.min(12, length)));
    for (let split = 0; split <= header.length / 2; split++) {
      let decoded = -1;
      const decoder: FrameDecoder = new FrameDecoder("client", {
        frameStart: () => decoded = decoder.length,
        frameData() {},
      });
      for (const part of [bytes.slice(0, split), bytes.slice(split)]) {
        decoder.decode(sourceOf(part), 0, part.length);
      }
      assertEquals(decoded, length);
    }
  });
}
