import { assertEquals } from "@std/assert";
import { headerSize, writeHeader } from "../../src/protocol/frame_header.ts";
import { toHex } from "../support/bytes.ts";

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
