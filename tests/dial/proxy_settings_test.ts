import { assert, assertEquals, assertThrows } from "@std/assert";
import { isInBlock, parseAddress } from "../../src/util/ip_address.ts";
import { proxyFromEnvironment, readPermittedVariable } from "../../src/client/proxy/environment.ts";
import { parseProxyUrl } from "../../src/client/proxy/proxy_url.ts";

Deno.test("parseProxyUrl parses every kind of proxy URL", () => {
  const none = { username: undefined, password: "" };
  for (
    const [url, proxy] of [
      ["http://proxy", { kind: "http", hostname: "proxy", port: 80, ...none }],
      ["http://proxy:3128/", { kind: "http", hostname: "proxy", port: 3128, ...none }],
      ["https://proxy", { kind: "https", hostname: "proxy", port: 443, ...none }],
      ["socks5://10.0.0.1", { kind: "socks5", hostname: "10.0.0.1", port: 1080, ...none }],
      ["socks5h://p:1", { kind: "socks5", hostname: "p", port: 1, ...none }],
      ["socks5://[::1]:9", { kind: "socks5", hostname: "::1", port: 9, ...none }],
      ["http://[2001:db8::1]", { kind: "http", hostname: "2001:db8::1", port: 80, ...none }],
      ["http://u:p%40%3A%C3%A5@h", {
        kind: "http",
        hostname: "h",
        port: 80,
        username: "u",
        password: "p@:å",
      }],
      ["http://u@h", { kind: "http", hostname: "h", port: 80, username: "u", password: "" }],
      ["socks5://u:p@h", {
        kind: "socks5",
        hostname: "h",
        port: 1080,
        username: "u",
        password: "p",
      }],
    ] as const
  ) {
    assertEquals(parseProxyUrl(url), proxy as unknown as ReturnType<typeof parseProxyUrl>);
    assertEquals(parseProxyUrl(new URL(url)), parseProxyUrl(url));
  }
});

Deno.test("parseProxyUrl refuses invalid URLs, and doesn't show a password", () => {
  for (
    const [url, why] of [
      ["", "not a valid URL"],
      ["proxy:3128", "the scheme must be"],
      ["ftp://proxy", "the scheme must be"],
      ["socks4://proxy", "the scheme must be"],
      ["http://u:secret@proxy/path", "no path"],
      ["http://proxy?x", "no path"],
      ["http://proxy#x", "no path"],
      ["http://proxy:0", "port 0"],
      ["http://u:secret@proxy:99999", "not a valid URL"],
      ["socks5://", "no host"],
      ["socks5://a%0d%0ab", "isn't a host name"],
      ["http://u%0d%0aX:secret@h", "control character"],
      ["http://%ff:secret@h", "percent-encoding"],
      ["http://u%3a:secret@h", "colon"],
      ["socks5://u@h", "1 to 255 bytes"],
      [`socks5://u:${"x".repeat(256)}@h`, "1 to 255 bytes"],
    ]
  ) {
    const error = assertThrows(() => parseProxyUrl(url), TypeError, why) as unknown as Error;
    assert(!error.message.includes("secret"), error.message);
  }
  assertThrows(
    () => parseProxyUrl(1 as unknown as string),
    TypeError,
    "Cannot use 1 as the proxy: use the URL of one",
  );
});

const from = (variables: Record<string, string>, secure = true, host = "example.com", port = 443) =>
  proxyFromEnvironment(secure, host, port, (name) => variables[name])?.hostname;

Deno.test("the environment's proxy depends on the scheme, and lower-case variables come first", () => {
  assertEquals(from({}), undefined);
  assertEquals(from({ https_proxy: "http://a", http_proxy: "http://b" }), "a");
  assertEquals(from({ https_proxy: "http://a", http_proxy: "http://b" }, false), "b");
  assertEquals(from({ HTTPS_PROXY: "http://a", https_proxy: "http://b" }), "b");
  assertEquals(from({ HTTPS_PROXY: "http://a" }), "a");
  assertEquals(from({ HTTP_PROXY: "http://a" }, false), "a");
  assertEquals(from({ HTTP_PROXY: "http://a", REQUEST_METHOD: "GET" }, false), undefined);
  assertEquals(from({ all_proxy: "socks5://a" }), "a");
  assertEquals(from({ ALL_PROXY: "socks5://a" }, false), "a");
  assertEquals(from({ all_proxy: "http://a", https_proxy: "http://b" }), "b");
  assertEquals(from({ all_proxy: "http://a", https_proxy: "" }), undefined);
  assertEquals(from({ https_proxy: "proxy:3128" }), "proxy");
  assertEquals(from({ https_proxy: "http://a", no_proxy: "example.com" }), undefined);
  assertEquals(from({ https_proxy: "http://a", NO_PROXY: "*" }), undefined);
  assertEquals(from({ https_proxy: "http://a", no_proxy: "", NO_PROXY: "*" }), "a");
  assertThrows(() => from({ https_proxy: "gopher://u:secret@a" }), TypeError, "gopher://…@a");
});

Deno.test("no_proxy supports domains, addresses, blocks, ports and *", () => {
  for (
    const [list, host, port, excepted] of [
      ["example.com", "example.com", 443, true],
      ["example.com", "EXAMPLE.com.", 443, true],
      ["example.com", "www.example.com", 443, true],
      ["example.com", "notexample.com", 443, false],
      [".example.com", "www.example.com", 443, true],
      [".example.com", "example.com", 443, true],
      ["*.example.com", "a.b.example.com", 443, true],
      ["example.com:8080", "example.com", 8080, true],
      ["example.com:8080", "example.com", 443, false],
      ["a, b c,,example.com", "example.com", 443, true],
      ["*", "anything", 1, true],
      ["", "example.com", 443, false],
      [".", "example.com", 443, false],
      ["com", "example.com", 443, true],
      ["127.0.0.1", "127.0.0.1", 80, true],
      ["127.0.0.1:81", "127.0.0.1", 80, false],
      ["127.0.0.1:80", "127.0.0.1", 80, true],
      ["10.0.0.0/8", "10.200.3.4", 80, true],
      ["10.0.0.0/8", "11.0.0.1", 80, false],
      ["192.168.4.0/22", "192.168.7.255", 80, true],
      ["192.168.4.0/22", "192.168.8.0", 80, false],
      ["0.0.0.0/0", "8.8.8.8", 80, true],
      ["10.0.0.0/33", "10.0.0.1", 80, false],
      ["10.0.0.0/x", "10.0.0.1", 80, false],
      ["10.0.0.0/8", "10.example", 80, false],
      ["0.0.1", "10.0.0.1", 80, false],
      ["::1", "::1", 80, true],
      ["[::1]", "::1", 80, true],
      ["[::1]:80", "::1", 80, true],
      ["[::1]:81", "::1", 80, false],
      ["0:0:0:0:0:0:0:1", "::1", 80, true],
      ["2001:db8::/32", "2001:db8:ffff::1", 80, true],
      ["[2001:db8::]/32", "2001:db9::1", 80, false],
      ["fe80::/10", "fe80::1%eth0", 80, true],
      ["127.0.0.0/8", "::1", 80, false],
    ] as [string, string, number, boolean][]
  ) {
    const variables: Record<string, string> = { http_proxy: "http://a", no_proxy: list };
    const proxy = proxyFromEnvironment(false, host, port, (name) => variables[name]);
    assertEquals(proxy === undefined, excepted, `${list} for ${host}:${port}`);
  }
});

Deno.test("IP addresses are parsed", () => {
  for (
    const text of ["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "::1::", ":1", "1:2", "g::", ""]
  ) {
    assertEquals(parseAddress(text), undefined, text);
  }
  assertEquals(parseAddress("1.2.3.4"), new Uint8Array([1, 2, 3, 4]));
  assertEquals(parseAddress("::ffff:1.2.3.4")?.slice(10), new Uint8Array([255, 255, 1, 2, 3, 4]));
  assertEquals(parseAddress("::"), new Uint8Array(16));
  assertEquals(parseAddress("1:2:3:4:5:6:7:8")?.[15], 8);
  assertEquals(parseAddress("1:2:3:4:5:6:7::8"), undefined);
  assert(isInBlock(new Uint8Array([1, 2, 3, 4]), new Uint8Array([1, 2, 3, 0]), 24));
});

Deno.test({
  name: "the environment is read only with the permission",
  permissions: { env: ["SLUICE_PERMITTED"] },
  fn: () => {
    Deno.env.set("SLUICE_PERMITTED", "http://a");
    try {
      assertEquals(readPermittedVariable("SLUICE_PERMITTED"), "http://a");
      assertEquals(readPermittedVariable("https_proxy"), undefined);
      assertEquals(proxyFromEnvironment(true, "example.com", 443), undefined);
    } finally {
      Deno.env.delete("SLUICE_PERMITTED");
    }
  },
});
