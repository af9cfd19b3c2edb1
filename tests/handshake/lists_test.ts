import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  checkExtensions,
  formatExtensions,
  parseExtensions,
} from "../../src/handshake/extension_list.ts";
import { checkProtocols, listContains, parseProtocols } from "../../src/handshake/token_list.ts";
import { INJECTIONS } from "./_bytes.ts";

Deno.test("RFC 9110 5.6.1: listContains finds a member in any case and place", () => {
  for (const list of ["Upgrade", "keep-alive, UPGRADE", ",upgrade ,", "a,\tupgrade\t,b"]) {
    assert(listContains(list, "upgrade"), list);
  }
  for (const list of ["", "upgraded", "up grade", "upgrade/1", "keep-alive; upgrade", "upgrad"]) {
    assert(!listContains(list, "upgrade"), list);
  }
  assert(!listContains(null, "upgrade"));
  // `toLowerCase` converts U+212A to k. For HTTP it isn't the letter K.
  assert(!listContains("websoc\u212aet", "websocket"));
});

Deno.test("RFC 9110 5.6.1.2: lists of tokens are parsed, and empty members skipped", () => {
  assertEquals(parseProtocols("a, B ,\tc"), ["a", "B", "c"]);
  assertEquals(parseProtocols(" , a,, "), ["a"]);
  assertEquals(parseProtocols(""), []);
  for (const list of ["a b", "a;b", '"a"', "a, \xe9", "a/b", "a\0", "(a)"]) {
    assertThrows(() => parseProtocols(list), SyntaxError, "not a token", list);
  }
});

Deno.test("RFC 6455 4.1: subprotocols are distinct tokens, in order", () => {
  assertEquals(parseProtocols("soap, wamp, SOAP"), ["soap", "wamp", "SOAP"]);
  assertThrows(() => parseProtocols("a, b, a"), SyntaxError, "twice");
});

Deno.test("RFC 6455 4.1: the option protocols is checked", () => {
  assertEquals(checkProtocols(undefined), []);
  assertEquals(checkProtocols("chat"), ["chat"]);
  assertEquals(checkProtocols(["a", "b"]), ["a", "b"]);
  assertThrows(() => checkProtocols(["a", "a"]), TypeError, "twice");
  for (const bad of ["", "a,b", "a b", "\xe9", ...INJECTIONS]) {
    assertThrows(() => checkProtocols([bad]), TypeError, "token");
    assertThrows(() => checkProtocols(bad), TypeError, "token");
  }
  // deno-lint-ignore no-explicit-any
  for (const bad of [1, null, {}, [1], true] as any[]) {
    assertThrows(() => checkProtocols(bad), TypeError, "Cannot use");
  }
});

Deno.test("RFC 6455 9.1: extension lists are parsed", () => {
  assertEquals(parseExtensions(""), []);
  assertEquals(parseExtensions(" , foo"), [{ name: "foo", params: [] }]);
  assertEquals(parseExtensions("foo, bar; baz=2"), [
    { name: "foo", params: [] },
    { name: "bar", params: [["baz", "2"]] },
  ]);
  assertEquals(parseExtensions('a;b;b=1 ; c\t=\t"x\\y" ,d'), [
    { name: "a", params: [["b", true], ["b", "1"], ["c", "xy"]] },
    { name: "d", params: [] },
  ]);
  assertEquals(
    parseExtensions("permessage-deflate; client_max_window_bits, permessage-deflate"),
    [
      { name: "permessage-deflate", params: [["client_max_window_bits", true]] },
      { name: "permessage-deflate", params: [] },
    ],
  );
});

const BAD_EXTENSIONS = [
  ";",
  "a;",
  "a;;b",
  "a b",
  "a;b=",
  "a;=1",
  "a=1",
  'a;b="',
  'a;b="x',
  'a;b="x\\',
  'a;b="x\\"',
  'a;b=""',
  'a;b="x y"',
  'a;b="x,y"',
  'a;b="x"y',
  "a;b=1=2",
  "\xe9",
  "a;b=\xe9",
  "(a)",
  "a\0",
];

for (const list of BAD_EXTENSIONS) {
  Deno.test(`RFC 6455 9.1: an extension list is refused: ${JSON.stringify(list)}`, () => {
    assertThrows(() => parseExtensions(list), SyntaxError, "extension list");
  });
}

Deno.test("RFC 6455 9.1: formatted extensions are parsed unchanged", () => {
  const text = "a; b; c=1, d";
  assertEquals(formatExtensions(parseExtensions(text)), text);
  assertEquals(formatExtensions([]), "");
  assertEquals(checkExtensions(["a; b", { name: "c", params: [["d", "1"]] }]), [
    { name: "a", params: [["b", true]] },
    { name: "c", params: [["d", "1"]] },
  ]);
  for (const bad of ["", "a b", ...INJECTIONS]) {
    assertThrows(() => formatExtensions([{ name: bad, params: [] }]), TypeError, "token");
    assertThrows(() => formatExtensions([{ name: "a", params: [[bad, true]] }]), TypeError);
    assertThrows(() => formatExtensions([{ name: "a", params: [["b", bad]] }]), TypeError);
    assertThrows(() => checkExtensions([{ name: bad, params: [] }]), TypeError);
    if (bad !== "") assertThrows(() => checkExtensions([bad]), TypeError, "Cannot use");
  }
});

Deno.test("hostile lists take linear time", () => {
  const shapes = [",", " ", "a;", "a,", 'a;b="', "\\", "a;b=1;", "\t,", 'a;b="\\'];
  const time = (act: () => void): number => {
    const start = performance.now();
    try {
      act();
    } catch { /* most of these are malformed, which is fine */ }
    return performance.now() - start;
  };
  for (const shape of shapes) {
    const list = shape.repeat(400_000 / shape.length);
    for (
      const parse of [parseExtensions, parseProtocols, (text: string) => listContains(text, "x")]
    ) {
      const ms = time(() => parse(list));
      assert(ms < 1000, `${JSON.stringify(shape)} took ${ms} ms`);
    }
  }
});
