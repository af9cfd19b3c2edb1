import { assertEquals, assertThrows } from "@std/assert";
import { chooseSubprotocol } from "../../src/handshake/subprotocol.ts";
import { failure } from "../support/failure.ts";

Deno.test("RFC 6455 4.2.2: the server's most preferred of the offered subprotocols is selected, or none", () => {
  assertEquals(chooseSubprotocol(["a", "b"], ["b", "a"], undefined), "b");
  assertEquals(chooseSubprotocol(["a"], ["b"], undefined), "");
  assertEquals(chooseSubprotocol(["a"], [], undefined), "");
  assertEquals(chooseSubprotocol([], ["a"], undefined), "");
  assertEquals(chooseSubprotocol(["A"], ["a"], undefined), "");
});

Deno.test("selectProtocol may select only an offered subprotocol", async () => {
  const never = () => assertEquals("asked", "not asked");
  assertEquals(chooseSubprotocol([], ["a"], never), "");
  assertEquals(chooseSubprotocol(["a", "b"], ["a"], () => "b"), "b");
  for (const none of ["", undefined, null]) {
    assertEquals(chooseSubprotocol(["a"], ["a"], () => none), "");
    assertEquals(await chooseSubprotocol(["a"], ["a"], () => Promise.resolve(none)), "");
  }
  for (const wrong of ["c", "A", 1, true, {}, ["a"]]) {
    assertThrows(() => chooseSubprotocol(["a"], ["a"], () => wrong), TypeError, "wasn't offered");
    const later = chooseSubprotocol(["a"], ["a"], () => Promise.resolve(wrong));
    assertEquals((await failure(later as Promise<string>)).name, "TypeError");
  }
  assertEquals(await chooseSubprotocol(["a"], [], () => Promise.resolve("a")), "a");
  const thenable = { then: (resolve: (value: string) => void) => resolve("a") };
  assertEquals(await chooseSubprotocol(["a"], [], () => thenable), "a");
});
