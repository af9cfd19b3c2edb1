import { assertEquals, assertThrows } from "@std/assert";
import {
  checkClose,
  closeCodeName,
  decodeClosePayload,
  encodeClosePayload,
  isCloseCode,
} from "../../src/protocol/close_code.ts";
import { ClosingHandshake } from "../../src/protocol/closing_handshake.ts";
import { ProtocolError } from "../../src/protocol/protocol_error.ts";
import { concat, hex, toHex, utf8 } from "../support/bytes.ts";

const SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];

Deno.test("RFC 6455 7.4: exactly the valid codes of all 16-bit numbers are accepted", () => {
  for (let code = 0; code <= 65535; code++) {
    const expected = SENDABLE.includes(code) || (code >= 3000 && code <= 4999);
    if (isCloseCode(code) !== expected) throw new Error(`Code ${code}`);
  }
  for (const odd of [-1, 1000.5, NaN, Infinity, 65536 + 1000, "1000", null, undefined]) {
    assertEquals(isCloseCode(odd as number), false, String(odd));
  }
});

Deno.test("RFC 6455 5.5.1: payloads of close frames are encoded and decoded", () => {
  assertEquals(toHex(encodeClosePayload(1000, "")), "03e8");
  assertEquals(toHex(encodeClosePayload(4999, "hé")), "138768c3a9");
  assertEquals(encodeClosePayload(1005, "").length, 0);
  assertEquals(decodeClosePayload(new Uint8Array(0)), { code: 1005, reason: "" });
  for (const reason of ["", "bye", "κόσμε", "\ufeffmark", "x".repeat(123)]) {
    assertEquals(decodeClosePayload(encodeClosePayload(3000, reason)), { code: 3000, reason });
  }
});

function codeOf(payload: Uint8Array): number {
  const error = assertThrows(() => decodeClosePayload(payload), ProtocolError) as ProtocolError;
  return error.closeCode;
}

Deno.test("RFC 6455 5.5.1: invalid payloads of close frames fail the connection", () => {
  assertEquals(codeOf(hex("03")), 1002);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]) {
    assertEquals(codeOf(Uint8Array.of(code >> 8, code & 255)), 1002, String(code));
  }
  for (const reason of ["ff", "c3", "61 ed a0 80", "f4 90 80 80"]) {
    assertEquals(codeOf(concat(hex("03 e8"), hex(reason))), 1007, reason);
  }
});

Deno.test("the arguments of close are checked before anything is sent", () => {
  for (const code of SENDABLE) checkClose(code, "");
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1000.5, NaN]) {
    assertThrows(() => checkClose(code, ""), RangeError, `Cannot close with code ${code}`);
  }
  checkClose(1000, "x".repeat(123));
  assertThrows(() => checkClose(1000, "x".repeat(124)), RangeError, "124 bytes: at most 123");
  checkClose(1000, "€".repeat(41));
  assertThrows(() => checkClose(1000, "€".repeat(41) + "x"), RangeError, "124 bytes");
  assertThrows(() => checkClose(1000, 7 as unknown as string), TypeError, "received number");
  assertEquals(utf8("€".repeat(41)).length, 123);
  checkClose(null, "");
  assertThrows(() => checkClose(null, "why"), TypeError, "without a code");
  assertThrows(() => checkClose(undefined as unknown as null, ""), RangeError, "undefined");
});

Deno.test("registered codes have names", () => {
  assertEquals(closeCodeName(1000), "normal closure");
  assertEquals(closeCodeName(1013), "try again later");
  assertEquals(closeCodeName(3000), "registered");
  assertEquals(closeCodeName(4000), "private use");
  assertEquals(closeCodeName(2999), "unknown");
});

Deno.test("RFC 6455 7.1: the closing handshake completes in each order of the close frames", () => {
  const here = new ClosingHandshake();
  assertEquals([here.initiator, here.complete], [null, false]);
  assertEquals(here.send(1000, "done"), { code: 1000, reason: "done" });
  assertEquals(here.send(1001, "again"), null);
  assertEquals([here.complete, here.initiator], [false, "local"]);
  here.receive({ code: 1000, reason: "" });
  assertEquals([here.complete, here.initiator], [true, "local"]);
  assertEquals(here.sent, { code: 1000, reason: "done" });

  const there = new ClosingHandshake();
  there.receive({ code: 1001, reason: "x" });
  assertEquals([there.complete, there.initiator], [false, "remote"]);
  assertEquals(there.send(1001, "x"), { code: 1001, reason: "x" });
  assertEquals([there.complete, there.initiator], [true, "remote"]);
});

Deno.test("fault 22: no call makes an invalid close frame", () => {
  for (const code of [-1, 0, 999, 1004, 1006, 1015, 2999, 5000, 9999, 70_000, NaN]) {
    assertEquals(toHex(encodeClosePayload(code, "x")), "03f378", String(code));
  }
  const cuts: [string, number][] = [
    ["x".repeat(124), 123],
    ["ä".repeat(120), 122],
    ["€".repeat(42), 123],
    ["x" + "€".repeat(42), 121],
    ["🙂".repeat(31), 120],
    ["\ud800".repeat(42), 123],
  ];
  for (const [reason, length] of cuts) {
    const payload = encodeClosePayload(1000, reason);
    assertEquals(payload.length, 2 + length);
    // The record has the code and the reason of the frame.
    const handshake = new ClosingHandshake();
    assertEquals(handshake.send(1000, reason), decodeClosePayload(payload));
    assertEquals(
      handshake.sent!.reason,
      reason.toWellFormed().slice(0, handshake.sent!.reason.length),
    );
  }
});
