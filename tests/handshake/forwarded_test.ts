import { assertEquals, assertThrows } from "@std/assert";
import { forwardedPeer } from "../../src/handshake/forwarded.ts";
import { parseRequestHead } from "../../src/handshake/request_head.ts";
import { AddressBlocks } from "../../src/util/cidr.ts";

const PEER = { hostname: "10.0.0.1", port: 5000 };
const blocks = new AddressBlocks("listen", "trustProxy", ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]);

function found(header: "x-forwarded-for" | "forwarded", lines: string[], peer = PEER): string {
  const head = ["GET / HTTP/1.1", "Host: x", ...lines, "", ""].join("\r\n");
  const { hostname, port } = forwardedPeer(
    parseRequestHead(head).fields,
    header,
    peer,
    (hostname) => blocks.has(hostname),
  );
  return `${hostname} ${port}`;
}

const XFF: [value: string, client: string][] = [
  ["203.0.113.9", "203.0.113.9 0"],
  ["203.0.113.9:4711", "203.0.113.9 4711"],
  ["1.1.1.1, 203.0.113.9", "203.0.113.9 0"],
  ["203.0.113.9, 10.9.9.9", "203.0.113.9 0"],
  ["203.0.113.9, 10.9.9.9 , 192.0.2.1", "203.0.113.9 0"],
  ["10.1.1.1, 10.2.2.2", "10.1.1.1 0"],
  ["2001:db8::1", "2001:db8::1 0"],
  ["[2001:db8::1]", "2001:db8::1 0"],
  ["[2001:db8::1]:443", "2001:db8::1 443"],
  ["203.0.113.9, garbage", "10.0.0.1 5000"],
  ["203.0.113.9, garbage, 10.9.9.9", "10.9.9.9 0"],
  ["unknown", "10.0.0.1 5000"],
  ["", "10.0.0.1 5000"],
  [",,203.0.113.9", "203.0.113.9 0"],
  ["203.0.113.9,", "10.0.0.1 5000"],
  ["203.0.113.9:99999", "203.0.113.9 0"],
  ["fe80::1%eth0", "10.0.0.1 5000"],
];

for (const [value, client] of XFF) {
  Deno.test(`X-Forwarded-For: ${JSON.stringify(value)}`, () => {
    assertEquals(found("x-forwarded-for", [`X-Forwarded-For: ${value}`]), client);
  });
}

const FORWARDED: [value: string, client: string][] = [
  ["for=203.0.113.9", "203.0.113.9 0"],
  ["For=203.0.113.9;proto=https;by=10.0.0.1", "203.0.113.9 0"],
  ["proto=https; for=203.0.113.9", "203.0.113.9 0"],
  ['for="203.0.113.9:4711"', "203.0.113.9 4711"],
  ['for="[2001:db8::1]:443"', "2001:db8::1 443"],
  ['for="[2001:db8::1]"', "2001:db8::1 0"],
  ['for="203.0.113.9:_port"', "203.0.113.9 0"],
  ["for=203.0.113.9, for=10.2.2.2", "203.0.113.9 0"],
  ["for=1.1.1.1, for=203.0.113.9", "203.0.113.9 0"],
  ['for=203.0.113.9;ext="a, for=6.6.6.6", for=10.2.2.2', "203.0.113.9 0"],
  ['for="203.0.113.\\9"', "203.0.113.9 0"],
  ["for=_hidden", "10.0.0.1 5000"],
  ["for=unknown, for=10.2.2.2", "10.2.2.2 0"],
  ["proto=https", "10.0.0.1 5000"],
  ["xfor=203.0.113.9", "10.0.0.1 5000"],
  ['for="203.0.113.9', "10.0.0.1 5000"],
];

for (const [value, client] of FORWARDED) {
  Deno.test(`Forwarded: ${value}`, () => {
    assertEquals(found("forwarded", [`Forwarded: ${value}`]), client);
  });
}

Deno.test("only the chosen header is read, its lines are joined, and untrusted peers are ignored", () => {
  const both = ["Forwarded: for=6.6.6.6", "X-Forwarded-For: 203.0.113.9"];
  assertEquals(found("x-forwarded-for", both), "203.0.113.9 0");
  assertEquals(found("forwarded", both), "6.6.6.6 0");
  assertEquals(
    found("x-forwarded-for", ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 10.3.3.3"]),
    "203.0.113.9 0",
  );
  const stranger = { hostname: "198.51.100.1", port: 1 };
  assertEquals(found("x-forwarded-for", both, stranger), "198.51.100.1 1");
  const mapped = { hostname: "::ffff:10.0.0.1", port: 1 };
  assertEquals(found("x-forwarded-for", both, mapped), "203.0.113.9 0");
});

Deno.test("blocks of addresses are matched", () => {
  const has = (block: string, address: string) =>
    new AddressBlocks("listen", "from", [block]).has(address);
  assertEquals(has("10.0.0.0/8", "10.255.1.1"), true);
  assertEquals(has("10.0.0.0/8", "11.0.0.1"), false);
  assertEquals(has("10.1.2.3", "10.1.2.3"), true);
  assertEquals(has("10.1.2.2/31", "10.1.2.3"), true);
  assertEquals(has("10.1.2.2/32", "10.1.2.3"), false);
  assertEquals(has("0.0.0.0/0", "1.2.3.4"), true);
  assertEquals(has("0.0.0.0/0", "::1"), false);
  assertEquals(has("fd00::/8", "fdff::1"), true);
  assertEquals(has("::1", "::1"), true);
  assertEquals(has("10.0.0.0/8", "no address"), false);
  for (
    const block of [
      "10.0.0.0/33",
      "10.0.0.0/",
      "10.0.0/8",
      "::/129",
      "10.0.0.0/8/8",
      "fe80::1%lo",
      "x",
      "",
    ]
  ) {
    assertThrows(
      () => new AddressBlocks("listen", "from", [block]),
      TypeError,
      "Cannot listen with from",
    );
  }
  assertThrows(
    () => new AddressBlocks("listen", "from", "10.0.0.0/8" as never),
    TypeError,
    "not a list",
  );
});
