import { repeat, toHex, utf8 } from "../support/bytes.ts";
import type { DecodeOptions, Event } from "../support/decoding.ts";

/** A case by section. Its frames are literals `header|payload` without a mask; a server gets them masked. */
export interface Case extends DecodeOptions {
  section: string;
  name: string;
  frames: string[];
  events: Event[];
  /** For a failure: the number of bytes of the last frame after which a client fails. */
  failsAfter?: number;
  /** The same for a server. Default: four bytes of the key more, if the header has to be complete. */
  failsAfterMasked?: number;
}

const HELLO = "81 05|48 65 6c 6c 6f";
const same = (byte: string, count: number) =>
  toHex(repeat(Uint8Array.of(parseInt(byte, 16)), count));
const text = (value: string): Event => ["text", value];
const FAIL: Event = ["fail", 1002];
const BAD_TEXT: Event = ["fail", 1007];
const TOO_BIG: Event = ["fail", 1009];

export const CASES: Case[] = [
  // 5.2 The base framing protocol
  { section: "5.2", name: "a text in one frame", frames: [HELLO], events: [text("Hello")] },
  { section: "5.2", name: "an empty text", frames: ["81 00|"], events: [text("")] },
  { section: "5.2", name: "an empty binary", frames: ["82 00|"], events: [["binary", ""]] },
  {
    section: "5.2",
    name: "a binary of every byte",
    frames: ["82 7e 01 00|" + toHex(Uint8Array.from({ length: 256 }, (_, byte) => byte))],
    events: [["binary", toHex(Uint8Array.from({ length: 256 }, (_, byte) => byte))]],
  },
  ...[[1, "82 01"], [124, "82 7c"], [125, "82 7d"], [126, "82 7e 00 7e"], [127, "82 7e 00 7f"]].map(
    (
      [length, header],
    ): Case => ({
      section: "5.2",
      name: `a binary of ${length} bytes`,
      frames: [`${header}|${same("5a", length as number)}`, HELLO],
      events: [["binary", same("5a", length as number)], text("Hello")],
    }),
  ),
  {
    section: "5.2",
    name: "a binary of 65535 bytes, the longest 16-bit length",
    frames: [`82 7e ff ff|${same("11", 65535)}`, HELLO],
    events: [["binary", same("11", 65535)], text("Hello")],
  },
  {
    section: "5.2",
    name: "a binary of 65536 bytes, the shortest 64-bit length",
    frames: [`82 7f 00 00 00 00 00 01 00 00|${same("22", 65536)}`, HELLO],
    events: [["binary", same("22", 65536)], text("Hello")],
  },
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv): Case => ({
    section: "5.2",
    name: `reserved bits ${rsv} on a text`,
    frames: [HELLO, `${(0x81 | (rsv << 4)).toString(16)} 05|48 65 6c 6c 6f`],
    events: [text("Hello"), FAIL],
    failsAfter: 1,
    failsAfterMasked: 1,
  })),
  ...[0x88, 0x89, 0x8a].flatMap((first) =>
    [1, 2, 4].map((rsv): Case => ({
      section: "5.2",
      name: `reserved bit ${rsv} on the control frame ${first.toString(16)}`,
      frames: [`${(first | (rsv << 4)).toString(16)} 00|`],
      events: [FAIL],
      failsAfter: 1,
      failsAfterMasked: 1,
      allowedRsv: 0x70, // no extension uses them on control frames
    }))
  ),
  {
    section: "5.2",
    name: "a reserved bit that an extension uses",
    frames: ["c1 05|48 65 6c 6c 6f"],
    events: [text("Hello")],
    allowedRsv: 0x40,
  },
  {
    section: "5.2",
    name: "a reserved bit beside the one that an extension uses",
    frames: ["e1 05|48 65 6c 6c 6f"],
    events: [FAIL],
    allowedRsv: 0x40,
    failsAfter: 1,
    failsAfterMasked: 1,
  },
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) =>
    [0x80, 0x00].map((fin): Case => ({
      section: "5.2",
      name: `reserved opcode ${opcode}${fin === 0 ? ", a fragment" : ""}`,
      frames: [HELLO, `${(fin | opcode).toString(16).padStart(2, "0")} 00|`],
      events: [text("Hello"), FAIL],
      failsAfter: 1,
      failsAfterMasked: 1,
    }))
  ),
  ...[0, 1, 125].map((length): Case => ({
    section: "5.2",
    name: `a length of ${length} in 16 bits, which is not minimal`,
    frames: [`82 7e 00 ${length.toString(16).padStart(2, "0")}|${same("00", length)}`],
    events: [FAIL],
    failsAfter: 4,
    failsAfterMasked: 4,
  })),
  ...["00 00 00 05", "00 00 00 7e", "00 00 ff ff"].map((length): Case => ({
    section: "5.2",
    name: `a length of ${length} in 64 bits, which is not minimal`,
    frames: [`82 7f 00 00 00 00 ${length}|`],
    events: [FAIL],
    failsAfter: 10,
    failsAfterMasked: 10,
  })),
  {
    section: "5.2",
    name: "a 64-bit length with its highest bit set",
    frames: ["82 7f 80 00 00 00 00 00 00 01|"],
    events: [FAIL],
    failsAfter: 3,
    failsAfterMasked: 3,
  },
  {
    section: "5.2",
    name: "a length above 2^53",
    frames: ["82 7f 00 20 00 00 00 00 00 00|"],
    events: [TOO_BIG],
    failsAfter: 10,
    failsAfterMasked: 10,
  },
  {
    section: "5.2",
    name: "the longest 63-bit length",
    frames: ["82 7f 7f ff ff ff ff ff ff ff|"],
    events: [TOO_BIG],
    failsAfter: 9,
    failsAfterMasked: 9,
  },
  {
    section: "5.2",
    name: "a length of 2^53 - 1 against the limit",
    frames: ["82 7f 00 1f ff ff ff ff ff ff|"],
    events: [TOO_BIG],
    maxMessageSize: 1024,
    failsAfter: 10,
  },
  {
    section: "5.2",
    name: "a header that stays cut",
    frames: [HELLO, "82"],
    events: [text("Hello")],
  },
  {
    section: "5.2",
    name: "a payload that stays cut",
    frames: [HELLO, "82 05|01 02 03"],
    events: [text("Hello")],
  },

  // 5.4 Fragmentation
  {
    section: "5.4",
    name: "a text in two fragments",
    frames: ["01 03|48 65 6c", "80 02|6c 6f"],
    events: [text("Hello")],
  },
  {
    section: "5.4",
    name: "a binary in four fragments, some empty",
    frames: ["02 00|", "00 01|ff", "00 00|", "80 02|00 fe"],
    events: [["binary", "ff00fe"]],
  },
  {
    section: "5.4",
    name: "a text of empty fragments",
    frames: ["01 00|", "00 00|", "80 00|"],
    events: [text("")],
  },
  {
    section: "5.4",
    name: "first and last fragment empty",
    frames: ["01 00|", "00 05|48 65 6c 6c 6f", "80 00|"],
    events: [text("Hello")],
  },
  {
    section: "5.4",
    name: "two fragmented messages in a row",
    frames: ["01 01|61", "80 01|62", "02 01|63", "80 01|64"],
    events: [text("ab"), ["binary", "6364"]],
  },
  {
    section: "5.4",
    name: "control frames between fragments",
    frames: ["01 01|61", "89 01|70", "00 01|62", "8a 01|71", "89 00|", "80 01|63"],
    events: [["ping", "70"], ["pong", "71"], ["ping", ""], text("abc")],
  },
  {
    section: "5.4",
    name: "a close frame between fragments",
    frames: ["01 01|61", "88 02|03 e8", "80 01|62"],
    events: [["close", 1000, ""]],
  },
  {
    section: "5.4",
    name: "a continuation without a message",
    frames: ["80 01|61"],
    events: [FAIL],
    failsAfter: 2,
  },
  {
    section: "5.4",
    name: "an unfinished continuation without a message",
    frames: ["00 00|"],
    events: [FAIL],
    failsAfter: 2,
  },
  {
    section: "5.4",
    name: "a continuation after a finished message",
    frames: ["01 01|61", "80 01|62", "80 01|63"],
    events: [text("ab"), FAIL],
    failsAfter: 2,
  },
  {
    section: "5.4",
    name: "a text in the middle of an unfinished text",
    frames: ["01 01|61", "81 01|62"],
    events: [FAIL],
    failsAfter: 2,
  },
  {
    section: "5.4",
    name: "a binary in the middle of an unfinished text",
    frames: ["01 01|61", "89 00|", "02 01|62"],
    events: [["ping", ""], FAIL],
    failsAfter: 2,
  },

  // 5.5 Control frames
  { section: "5.5.2", name: "an empty ping", frames: ["89 00|"], events: [["ping", ""]] },
  {
    section: "5.5.2",
    name: "a ping of 125 bytes",
    frames: [`89 7d|${same("fe", 125)}`],
    events: [["ping", same("fe", 125)]],
  },
  {
    section: "5.5.2",
    name: "ten pings",
    frames: Array.from({ length: 10 }, (_, n) => `89 01|0${n}`),
    events: Array.from({ length: 10 }, (_, n): Event => ["ping", `0${n}`]),
  },
  {
    section: "5.5.3",
    name: "a pong that wasn't requested",
    frames: ["8a 02|ca fe"],
    events: [["pong", "cafe"]],
  },
  ...["88", "89", "8a"].flatMap((first) =>
    [`7e 00 7e|${same("00", 126)}`, `7f 00 00 00 00 00 01 00 00|`].map((rest): Case => ({
      section: "5.5",
      name: `the control frame ${first} with more than 125 bytes, ${rest.slice(0, 2)}`,
      frames: [`${first} ${rest}`],
      events: [FAIL],
      failsAfter: 2,
      failsAfterMasked: 2,
    }))
  ),
  ...["08", "09", "0a"].map((first): Case => ({
    section: "5.5",
    name: `the control frame ${first} in fragments`,
    frames: [`${first} 02|03 e8`],
    events: [FAIL],
    failsAfter: 1,
    failsAfterMasked: 1,
  })),

  // 5.5.1 and 7 Closing
  {
    section: "5.5.1",
    name: "an empty close frame",
    frames: ["88 00|", HELLO],
    events: [["close", 1005, ""]],
  },
  { section: "5.5.1", name: "a payload of one byte", frames: ["88 01|03"], events: [FAIL] },
  {
    section: "5.5.1",
    name: "frames after a close frame are ignored",
    frames: ["88 02|03 e8", "ff ff|ff ff"],
    events: [["close", 1000, ""]],
  },
  {
    section: "7.1.6",
    name: "the longest reason",
    frames: [`88 7d|03 e8 ${same("78", 123)}`],
    events: [["close", 1000, "x".repeat(123)]],
  },
  {
    section: "7.1.6",
    name: "a reason of several bytes per character",
    frames: [`88 10|03 e9 ${toHex(utf8("κόσμε😀"))}`],
    events: [["close", 1001, "κόσμε😀"]],
  },
  {
    section: "7.1.6",
    name: "a reason that begins with a byte order mark",
    frames: ["88 06|03 e8 ef bb bf 61"],
    events: [["close", 1000, "\ufeffa"]],
  },
  ...["ff", "c3", "e2 82", "ed a0 80", "c0 80"].map((bytes): Case => ({
    section: "7.1.6",
    name: `a reason that is not UTF-8: ${bytes}`,
    frames: [`88 ${toHex(Uint8Array.of(2 + bytes.split(" ").length))}|03 e8 ${bytes}`],
    events: [BAD_TEXT],
  })),
  ...[
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    3999,
    4000,
    4999,
  ]
    .map((code): Case => ({
      section: "7.4",
      name: `the code ${code}`,
      frames: [`88 02|${code.toString(16).padStart(4, "0")}`],
      events: [["close", code, ""]],
    })),
  ...[0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535].map((code): Case => ({
    section: "7.4",
    name: `the code ${code}, which must not be sent`,
    frames: [`88 02|${code.toString(16).padStart(4, "0")}`],
    events: [FAIL],
  })),

  // 8.1 UTF-8; the sequences are tested in utf8_test.ts
  {
    section: "8.1",
    name: "a character cut by a fragment",
    frames: ["01 01|e2", "00 01|82", "80 01|ac"],
    events: [text("€")],
  },
  {
    section: "8.1",
    name: "a character cut by a fragment and a ping",
    frames: ["01 02|f0 9f", "89 02|98 80", "80 02|98 80"],
    events: [["ping", "9880"], text("😀")],
  },
  {
    section: "8.1",
    name: "a byte order mark is text",
    frames: ["81 04|ef bb bf 61", "01 02|ef bb", "80 01|bf"],
    events: [text("\ufeffa"), text("\ufeff")],
  },
  {
    section: "8.1",
    name: "a text that ends in the middle of a character",
    frames: ["81 02|e2 82"],
    events: [BAD_TEXT],
    failsAfter: 4,
  },
  {
    section: "8.1",
    name: "a fragmented text that ends in the middle of a character",
    frames: ["01 01|61", "80 02|e2 82"],
    events: [BAD_TEXT],
  },
  {
    section: "8.1",
    name: "an impossible byte fails before the fragment has ended",
    frames: ["01 0a|61 ed a0 80 62 63 64 65 66 67"],
    events: [BAD_TEXT],
    failsAfter: 5,
  },
  {
    section: "8.1",
    name: "an impossible byte in a later fragment",
    frames: ["01 01|f4", "00 05|90 61 62 63 64"],
    events: [BAD_TEXT],
    failsAfter: 3,
  },
  {
    section: "8.1",
    name: "binary may be anything",
    frames: ["82 02|ff fe"],
    events: [["binary", "fffe"]],
  },

  // 7.4.1, 10.4 Limits
  {
    section: "10.4",
    name: "a message as long as the limit",
    frames: [HELLO],
    events: [text("Hello")],
    maxMessageSize: 5,
  },
  {
    section: "10.4",
    name: "a message over the limit fails at its header",
    frames: [HELLO, "81 06|48 65 6c 6c 6f 21"],
    events: [text("Hello"), TOO_BIG],
    maxMessageSize: 5,
    failsAfter: 2,
  },
  {
    section: "10.4",
    name: "fragments that add up to the limit",
    frames: ["02 03|01 02 03", "80 02|04 05"],
    events: [["binary", "0102030405"]],
    maxMessageSize: 5,
  },
  {
    section: "10.4",
    name: "fragments that add up to more",
    frames: ["02 03|01 02 03", "00 00|", "80 03|04 05 06"],
    events: [TOO_BIG],
    maxMessageSize: 5,
    failsAfter: 2,
  },
  {
    section: "10.4",
    name: "the limit applies to messages and not to control frames",
    frames: [`89 7d|${same("00", 125)}`, HELLO],
    events: [["ping", same("00", 125)], text("Hello")],
    maxMessageSize: 5,
  },
];
