import { concat, hex, repeat, toHex, utf8 } from "../support/bytes.ts";
import {
  BINARY,
  CLOSE,
  closeFrame,
  closePayload,
  CONTINUATION,
  frame,
  PING,
  PONG,
  TEXT,
} from "../support/frames.ts";
import { randomBytes } from "../support/random.ts";

/** An answer that a case expects. */
export interface Answer {
  opcode: number;
  payload: Uint8Array;
}

/** A case of the Autobahn test suite: what the peer sends, and what an echo server has to answer. */
export interface SocketCase {
  /** The number in the suite. */
  id: string;
  name: string;
  /** Frames without a mask. */
  send: Uint8Array[];
  /** How the bytes are written: at once, frame by frame, or in pieces of a size. */
  chop: "whole" | "frames" | number;
  /** How many bytes at the end are never sent. The answer must not wait for them. */
  withhold: number;
  /** The answers before the end. */
  answers: Answer[];
  /**
   * How the case ends. `"peer"`: the peer closes with 1000, and gets an answer. `"echo"`: the case contains a close frame,
   * and the answer has the same payload. A number: the connection fails with that code.
   */
  end: "peer" | "echo" | number;
  /** For `"echo"`: the payload of the close frame that answers. */
  close: Uint8Array;
}

export const CASES: SocketCase[] = [];

function add(
  id: string,
  name: string,
  send: Uint8Array[],
  rest: Partial<SocketCase> = {},
): void {
  CASES.push({
    id,
    name,
    send,
    chop: "whole",
    withhold: 0,
    answers: [],
    end: "peer",
    close: new Uint8Array(0),
    ...rest,
  });
}

const text = (payload: string | Uint8Array): Answer => ({
  opcode: TEXT,
  payload: typeof payload === "string" ? utf8(payload) : payload,
});
const pong = (payload: string | Uint8Array = ""): Answer => ({ ...text(payload), opcode: PONG });
/** Makes a fragmented message with the given payloads. */
function fragments(opcode: number, parts: (string | Uint8Array)[]): Uint8Array[] {
  return parts.map((part, at) =>
    frame(at === 0 ? opcode : CONTINUATION, part, { fin: at === parts.length - 1 })
  );
}
/** Makes a fragmented message with payloads of `size` bytes. */
function fragmentsOf(opcode: number, payload: Uint8Array, size: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < payload.length; at += size) parts.push(payload.subarray(at, at + size));
  return fragments(opcode, parts);
}
const KIB = 1024, MIB = 1024 * KIB;
/** Makes a text of `length` bytes, with characters of one to four bytes. */
function longText(length: number): Uint8Array {
  const unit = utf8("Sluice-µ-€-😀 ");
  const payload = repeat(unit, Math.ceil(length / unit.length) + 1);
  let end = length;
  while ((payload[end] & 0xc0) === 0x80) end--;
  return concat(payload.subarray(0, end), new Uint8Array(length - end).fill(0x2a));
}
const WAYS = ["whole", "frames", 1] as const;

// 1 Framing
const LENGTHS = [0, 125, 126, 127, 128, 65_535, 65_536];
for (const [section, opcode] of [["1.1", TEXT], ["1.2", BINARY]] as const) {
  const kind = opcode === TEXT ? "text" : "binary";
  for (const [at, length] of LENGTHS.entries()) {
    const payload = new Uint8Array(length).fill(opcode === TEXT ? 0x2a : 0xfe);
    add(`${section}.${at + 1}`, `a ${kind} of ${length} bytes`, [frame(opcode, payload)], {
      answers: [{ opcode, payload }],
    });
  }
  const payload = opcode === TEXT ? longText(65_536) : randomBytes(65_536, 1);
  add(`${section}.8`, `a ${kind} of 65536 bytes in pieces of 997`, [frame(opcode, payload)], {
    chop: 997,
    answers: [{ opcode, payload }],
  });
}

// 2 Pings and pongs
const ODD = hex("00 ff fe fd fc fb 00 ff");
const LONGEST = new Uint8Array(125).fill(0xfe);
add("2.1", "a ping without payload", [frame(PING)], { answers: [pong()] });
add("2.2", "a ping with text", [frame(PING, "Hello, world!")], {
  answers: [pong("Hello, world!")],
});
add("2.3", "a ping with bytes", [frame(PING, ODD)], { answers: [pong(ODD)] });
add("2.4", "a ping of 125 bytes", [frame(PING, LONGEST)], { answers: [pong(LONGEST)] });
add("2.5", "a ping of 126 bytes", [frame(PING, new Uint8Array(126))], { end: 1002 });
add("2.6", "a ping of 125 bytes, byte by byte", [frame(PING, LONGEST)], {
  chop: 1,
  answers: [pong(LONGEST)],
});
add("2.7", "a pong that wasn't requested", [frame(PONG)]);
add("2.8", "a pong that wasn't requested, with payload", [frame(PONG, "unsolicited")]);
add("2.9", "a pong that wasn't requested, then a ping", [
  frame(PONG, "unsolicited"),
  frame(PING, "p"),
], {
  answers: [pong("p")],
});
const TEN = Array.from({ length: 10 }, (_, n) => `payload-${n}`);
add("2.10", "ten pings at once", TEN.map((payload) => frame(PING, payload)), {
  answers: TEN.map(pong),
});
add("2.11", "ten pings, byte by byte", TEN.map((payload) => frame(PING, payload)), {
  chop: 1,
  answers: TEN.map(pong),
});

// 3 Reserved bits
const HELLO = "Hello, world!";
add("3.1", "a text with RSV 1", [frame(TEXT, HELLO, { rsv: 1 })], { end: 1002 });
for (const [at, chop] of WAYS.entries()) {
  add(
    `3.${at + 2}`,
    `a valid text, then one with RSV ${at + 2}, then a ping; cut: ${chop}`,
    [frame(TEXT, HELLO), frame(TEXT, HELLO, { rsv: at + 2 }), frame(PING)],
    { chop, answers: [text(HELLO)], end: 1002 },
  );
}
add("3.5", "a binary with RSV 5", [frame(BINARY, ODD, { rsv: 5 })], { end: 1002 });
add("3.6", "a ping with RSV 6", [frame(PING, HELLO, { rsv: 6 })], { end: 1002 });
add("3.7", "a close frame with RSV 7", [frame(CLOSE, closePayload(1000), { rsv: 7 })], {
  end: 1002,
});

// 4 Opcodes
for (const [section, first] of [["4.1", 3], ["4.2", 11]] as const) {
  add(`${section}.1`, `opcode ${first}`, [frame(first)], { end: 1002 });
  add(`${section}.2`, `opcode ${first + 1} with payload`, [frame(first + 1, "reserved")], {
    end: 1002,
  });
  for (const [at, chop] of WAYS.entries()) {
    const opcode = first + 2 + at;
    add(
      `${section}.${at + 3}`,
      `a valid text, then opcode ${opcode}, then a ping; cut: ${chop}`,
      [frame(TEXT, HELLO), frame(opcode, at === 0 ? "" : "reserved"), frame(PING)],
      { chop, answers: [text(HELLO)], end: 1002 },
    );
  }
}

// 5 Fragmentation
const [A, B] = ["fragment1", "fragment2"];
const parts = (fin: boolean) => ({ fin });
add("5.1", "a ping in two fragments", [frame(PING, A, parts(false)), frame(CONTINUATION, B)], {
  end: 1002,
});
add("5.2", "a pong in two fragments", [frame(PONG, A, parts(false)), frame(CONTINUATION, B)], {
  end: 1002,
});
for (const [at, chop] of WAYS.entries()) {
  add(`5.${3 + at}`, `a text in two fragments; cut: ${chop}`, fragments(TEXT, [A, B]), {
    chop,
    answers: [text(A + B)],
  });
  const [start, end] = fragments(TEXT, [A, B]);
  add(`5.${6 + at}`, `a ping between two fragments; cut: ${chop}`, [start, frame(PING, "p"), end], {
    chop,
    answers: [pong("p"), text(A + B)],
  });
  for (const [first, fin] of [[9, true], [12, false]] as const) {
    add(
      `5.${first + at}`,
      `a continuation without a message, FIN ${fin}; cut: ${chop}`,
      [frame(CONTINUATION, "non-continuation", { fin }), frame(TEXT, HELLO)],
      { chop, end: 1002 },
    );
  }
}
add(
  "5.15",
  "a text in two fragments, then a continuation without a message",
  [...fragments(TEXT, [A, B]), frame(CONTINUATION, "x", parts(false)), frame(TEXT, HELLO)],
  { answers: [text(A + B)], end: 1002 },
);
for (const [id, fin] of [["5.16", false], ["5.17", true]] as const) {
  const round = [frame(CONTINUATION, A, { fin }), ...fragments(TEXT, [A, B])];
  add(id, `a continuation, FIN ${fin}, then a fragmented text, twice`, [...round, ...round], {
    end: 1002,
  });
}
add("5.18", "a text whose second fragment is a text too", [
  frame(TEXT, A, parts(false)),
  frame(TEXT, B),
], { end: 1002 });
for (const [id, chop] of [["5.19", "whole"], ["5.20", "frames"]] as const) {
  const [one, two, three, four, five] = fragments(TEXT, ["f1", "f2", "f3", "f4", "f5"]);
  add(
    id,
    `a text in five fragments with two pings; cut: ${chop}`,
    [one, two, frame(PING, "p1"), three, four, frame(PING, "p2"), five],
    { chop, answers: [pong("p1"), pong("p2"), text("f1f2f3f4f5")] },
  );
}

// 6 UTF-8
add("6.1.1", "an empty text", [frame(TEXT)], { answers: [text("")] });
add("6.1.2", "three empty fragments", fragments(TEXT, ["", "", ""]), { answers: [text("")] });
add("6.1.3", "one fragment between two empty ones", fragments(TEXT, ["", "middle", ""]), {
  answers: [text("middle")],
});
const MIXED = "Hello-µ@ßöäüàá-UTF-8!!";
const bytewise = (payload: Uint8Array) => fragmentsOf(TEXT, payload, 1);
add("6.2.1", "a text", [frame(TEXT, MIXED)], { answers: [text(MIXED)] });
add(
  "6.2.2",
  "two fragments, cut between characters",
  fragments(TEXT, ["Hello-µ@ßöä", "üàá-UTF-8!!"]),
  {
    answers: [text(MIXED)],
  },
);
add("6.2.3", "fragments of one byte", bytewise(utf8(MIXED)), { answers: [text(MIXED)] });
const KOSME = hex("ce ba e1 bd b9 cf 83 ce bc ce b5");
add("6.2.4", "κόσμε in fragments of one byte", bytewise(KOSME), { answers: [text(KOSME)] });
const SURROGATE = concat(KOSME, hex("ed a0 80"), utf8("edited"));
add("6.3.1", "a surrogate", [frame(TEXT, SURROGATE)], { end: 1007 });
add("6.3.2", "a surrogate in fragments of one byte", bytewise(SURROGATE), { end: 1007 });
// Failing fast: the rest of the message is never sent.
const ABOVE = [KOSME, hex("f4 90 80 80"), utf8("edited")];
const ABOVE_CUT = [KOSME, hex("f4 90"), concat(hex("80 80"), utf8("edited"))];
for (const [at, [one, two, three]] of [ABOVE, ABOVE_CUT].entries()) {
  add(`6.4.${1 + at}`, "above U+10FFFF in the second fragment, the third unsent", [
    frame(TEXT, one, parts(false)),
    frame(CONTINUATION, two, parts(false)),
  ], { end: 1007 });
  add(`6.4.${3 + at}`, "above U+10FFFF in a frame whose end is unsent", [
    frame(TEXT, concat(one, two, three)),
  ], { end: 1007, withhold: three.length });
}

/** Adds a case with a text message for each sequence. */
function sequences(section: string, what: string, list: (string | Uint8Array)[], isValid: boolean) {
  for (const [at, sequence] of list.entries()) {
    const payload = typeof sequence === "string" ? hex(sequence) : sequence;
    const shown = payload.length > 24 ? `${payload.length} bytes` : toHex(payload);
    add(
      `${section}.${at + 1}`,
      `${what}: ${shown}`,
      [frame(TEXT, payload)],
      isValid ? { answers: [text(payload)] } : { end: 1007 },
    );
  }
}
sequences(
  "6.5",
  "valid",
  ["hello$world", "hello¢world", "hello€world", "hello𤭢world", "κόσμε"].map(utf8),
  true,
);
for (let length = 1; length <= 11; length++) {
  const payload = KOSME.subarray(0, length);
  const isValid = [2, 5, 7, 9, 11].includes(length);
  add(
    `6.6.${length}`,
    `the first ${length} bytes of κόσμε`,
    [frame(TEXT, payload)],
    isValid ? { answers: [text(payload)] } : { end: 1007 },
  );
}
sequences("6.7", "first of its length", ["00", "c280", "e0a080", "f0908080"], true);
sequences("6.8", "first of its length", ["f888808080", "fc8480808080"], false);
sequences("6.9", "last of its length", ["7f", "dfbf", "efbfbf", "f48fbfbf"], true);
sequences("6.10", "last of its length", ["f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"], false);
sequences("6.11", "at a boundary", ["ed9fbf", "ee8080", "efbfbd", "f48fbfbf"], true);
add("6.11.5", "at a boundary: f4908080", [frame(TEXT, hex("f4908080"))], { end: 1007 });
const range = (from: number, to: number) =>
  Uint8Array.from({ length: to - from + 1 }, (_, at) => from + at);
sequences("6.12", "continuation bytes alone", [
  "80",
  "bf",
  "80bf",
  "80bf80",
  "80bf80bf",
  "80bf80bf80",
  "80bf80bf80bf",
  range(0x80, 0xbf),
], false);
const lonely = (from: number, to: number) => {
  return concat(...Array.from(range(from, to), (byte) => Uint8Array.of(byte, 0x20)));
};
sequences("6.13", "first bytes alone", [
  lonely(0xc0, 0xdf),
  lonely(0xe0, 0xef),
  lonely(0xf0, 0xf7),
  lonely(0xf8, 0xfb),
  lonely(0xfc, 0xfd),
], false);
const CUT = ["c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf"];
CUT.push("fdbfbfbfbf");
sequences("6.14", "the last byte missing", CUT, false);
sequences("6.15", "all of those", [CUT.join("")], false);
sequences("6.16", "impossible", ["fe", "ff", "fefeffff"], false);
sequences("6.17", "overlong", ["c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"], false);
sequences("6.18", "overlong", ["c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"], false);
sequences("6.19", "overlong", ["c080", "e08080", "f0808080", "f880808080", "fc8080808080"], false);
const SINGLE = ["eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"];
sequences("6.20", "a surrogate", SINGLE, false);
sequences("6.21", "a pair of surrogates", [
  "eda080edb080",
  "eda080edbfbf",
  "edadbfedb080",
  "edadbfedbfbf",
  "edae80edb080",
  "edae80edbfbf",
  "edafbfedb080",
  "edafbfedbfbf",
], false);
const NONCHARACTERS = Array.from({ length: 17 }, (_, plane) =>
  [0xfffe, 0xffff].map((low) => {
    return utf8(String.fromCodePoint(plane * 0x10000 + low));
  })).flat();
sequences("6.22", "not a character", NONCHARACTERS, true);
sequences(
  "6.23",
  "special",
  Array.from(range(0xb9, 0xbf), (last) => {
    return Uint8Array.of(0xef, 0xbf, last);
  }),
  true,
);

// 7 Closing
const NORMAL = closePayload(1000);
const closed = (payload: Uint8Array = NORMAL): Partial<SocketCase> => ({
  end: "echo",
  close: payload,
});
add("7.1.1", "a text, then a close frame", [frame(TEXT, HELLO), closeFrame(1000)], {
  ...closed(),
  answers: [text(HELLO)],
});
add("7.1.2", "two close frames", [closeFrame(1000), closeFrame(1001)], closed());
add("7.1.3", "a ping after a close frame", [closeFrame(1000), frame(PING)], closed());
add("7.1.4", "a text after a close frame", [closeFrame(1000), frame(TEXT, HELLO)], closed());
add("7.1.5", "a close frame between fragments", [
  frame(TEXT, A, parts(false)),
  closeFrame(1000),
  frame(CONTINUATION, B),
], closed());
const LARGE = longText(256 * KIB);
add("7.1.6", "256 KiB, then a close frame, then a ping", [
  frame(TEXT, LARGE),
  closeFrame(1000),
  frame(PING),
], { ...closed(), answers: [text(LARGE)] });
add("7.3.1", "a close frame without payload", [closeFrame()], closed(new Uint8Array(0)));
add("7.3.2", "a payload of one byte", [frame(CLOSE, "a")], { end: 1002 });
add("7.3.3", "a code alone", [closeFrame(1000)], closed());
add("7.3.4", "a code and a reason", [closeFrame(1000, HELLO)], closed(closePayload(1000, HELLO)));
const FULL = closePayload(1000, "*".repeat(123));
add("7.3.5", "the longest reason", [frame(CLOSE, FULL)], closed(FULL));
add("7.3.6", "a reason too long", [frame(CLOSE, closePayload(1000, "*".repeat(124)))], {
  end: 1002,
});
add("7.5.1", "a reason that is not UTF-8", [closeFrame(1000, SURROGATE)], { end: 1007 });
for (
  const [at, code] of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
    .entries()
) {
  add(`7.7.${at + 1}`, `the code ${code}`, [closeFrame(code)], closed(closePayload(code)));
}
for (
  const [at, code] of [0, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999]
    .entries()
) {
  // 1012 to 1014 were registered after the suite was written.
  const isRegistered = code >= 1012 && code <= 1014;
  add(
    `7.9.${at + 1}`,
    `the code ${code}`,
    [closeFrame(code)],
    isRegistered ? closed(closePayload(code)) : { end: 1002 },
  );
}
add("7.13.1", "the code 5000", [closeFrame(5000)], { end: 1002 });
add("7.13.2", "the code 65535", [closeFrame(65_535)], { end: 1002 });

// 9 Limits and performance. The frames are made when a case is run, since they are large.
/** A case whose frames are made when it is run. */
export interface LargeCase {
  id: string;
  name: string;
  make(): SocketCase;
}

export const LARGE_CASES: LargeCase[] = [];

function addLarge(
  id: string,
  name: string,
  opcode: number,
  length: number,
  { fragment = Infinity, chop = "whole" as SocketCase["chop"], count = 1 } = {},
): void {
  LARGE_CASES.push({
    id,
    name: `${name}; ${opcode === TEXT ? "text" : "binary"}`,
    make: () => {
      const payload = opcode === TEXT ? longText(length) : randomBytes(length, length + 1);
      const send = fragment < length
        ? fragmentsOf(opcode, payload, fragment)
        : [frame(opcode, payload)];
      const answers = Array.from({ length: count }, () => ({ opcode, payload }));
      return {
        id,
        name,
        send: count === 1 ? send : Array.from({ length: count }, () => send[0]),
        chop,
        withhold: 0,
        answers,
        end: "peer",
        close: new Uint8Array(0),
      };
    },
  });
}
const SIZES = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
const FRAGMENTS = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
for (const opcode of [TEXT, BINARY]) {
  const second = opcode === TEXT ? [1, 3, 5, 7] : [2, 4, 6, 8];
  for (const [at, size] of SIZES.entries()) {
    addLarge(`9.${second[0]}.${at + 1}`, `${size} bytes`, opcode, size);
  }
  for (const [at, fragment] of FRAGMENTS.entries()) {
    addLarge(`9.${second[1]}.${at + 1}`, `4 MiB in fragments of ${fragment}`, opcode, 4 * MIB, {
      fragment,
    });
  }
  for (const [at, chop] of [64, 128, 256, 512, 1024, 2048].entries()) {
    addLarge(`9.${second[2]}.${at + 1}`, `1 MiB in pieces of ${chop}`, opcode, MIB, { chop });
  }
  for (const [at, size] of [0, 16, 64, 256, 1024, 4096].entries()) {
    addLarge(`9.${second[3]}.${at + 1}`, `1000 messages of ${size}`, opcode, size, { count: 1000 });
  }
}
// 10 An echo must not depend on the fragmentation of the message.
addLarge("10.1.1", "65536 bytes in fragments of 1300", TEXT, 65_536, { fragment: 1300 });

// Not in the suite: every length at which the header changes, up to 16 MiB, in pieces of 64 to 4096 bytes.
for (const length of [0, 125, 126, 127, 128, 65_535, 65_536, 65_537, MIB + 1]) {
  for (const chop of [64, 1000, 4096]) {
    addLarge("sizes", `${length} bytes in pieces of ${chop}`, BINARY, length, { chop });
  }
}
addLarge("sizes", "16 MiB in pieces of 4096", BINARY, 16 * MIB, { chop: 4096 });
addLarge("sizes", "16 MiB less 3 in pieces of 4096", TEXT, 16 * MIB - 3, { chop: 4096 });
