import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { stackless } from "../../src/util/stackless.ts";

Deno.test("an error without a stack still shows its class and its message", () => {
  const error = stackless(() => new TypeError("what and why"));
  assertEquals(error.stack, "TypeError: what and why");
  assertMatch(new TypeError("another").stack!, /stackless_test/);
});

Deno.test("later errors have their stack, even if making one without has failed", () => {
  const before = Error.stackTraceLimit;
  assertThrows(
    () =>
      stackless(() => {
        throw new RangeError("not made");
      }),
    RangeError,
    "not made",
  );
  assertEquals(Error.stackTraceLimit, before);
});

Deno.test("an error is made where Error can't be changed", () => {
  const property = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")!;
  Object.defineProperty(Error, "stackTraceLimit", { ...property, writable: false });
  try {
    assertEquals(stackless(() => new TypeError("what and why")).message, "what and why");
  } finally {
    Object.defineProperty(Error, "stackTraceLimit", property);
  }
});
