/** `trustProxy`: the client's address, as trusted proxies report it. The lists themselves: handshake/forwarded_test.ts. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Context, type ListenOptions } from "../../mod.ts";
import { concat, utf8 } from "../support/bytes.ts";
import { v1 } from "../support/proxy_head.ts";
import { RawPeer, upgradeRequest } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { type Telling, telling } from "./_peers.ts";

const LOCAL = ["127.0.0.0/8"];

/** Upgrades with some header fields; returns the address that the server has seen. */
async function seen(server: Telling, fields: Record<string, string>): Promise<string> {
  const { length } = server.connected;
  using _peer = await RawPeer.connect(server.listener.port, fields);
  await until(() => server.connected.length > length);
  assertEquals(server.asked.at(-1), server.connected.at(-1));
  return server.connected.at(-1)!;
}

for (
  const [name, trustProxy, fields, expected] of [
    ["the client", LOCAL, { "X-Forwarded-For": "192.0.2.7" }, "192.0.2.7 0"],
    ["a port", LOCAL, { "X-Forwarded-For": "192.0.2.7:4711" }, "192.0.2.7 4711"],
    [
      "the last untrusted hop",
      LOCAL,
      { "X-Forwarded-For": "6.6.6.6, 192.0.2.7, 127.9.9.9" },
      "192.0.2.7 0",
    ],
    ["no other header", LOCAL, { "Forwarded": "for=6.6.6.6" }, /^127\.0\.0\.1 \d+$/],
    [
      "Forwarded",
      { from: LOCAL, header: "forwarded" },
      { "Forwarded": 'for="[2001:db8::7]:99"' },
      "2001:db8::7 99",
    ],
    ["Forwarded, not the other", { from: LOCAL, header: "forwarded" }, {
      "X-Forwarded-For": "6.6.6.6",
    }, /^127\.0\.0\.1 \d+$/],
    [
      "an obfuscated name",
      { from: LOCAL, header: "forwarded" },
      { "Forwarded": "for=_secret" },
      /^127\.0\.0\.1 \d+$/,
    ],
    ["garbage", LOCAL, { "X-Forwarded-For": "<script>, " }, /^127\.0\.0\.1 \d+$/],
    ["nothing said", LOCAL, {}, /^127\.0\.0\.1 \d+$/],
    [
      "a stranger's word",
      ["198.51.100.0/24"],
      { "X-Forwarded-For": "6.6.6.6" },
      /^127\.0\.0\.1 \d+$/,
    ],
    ["nobody trusted", [], { "X-Forwarded-For": "6.6.6.6" }, /^127\.0\.0\.1 \d+$/],
  ] as [string, ListenOptions["trustProxy"], Record<string, string>, string | RegExp][]
) {
  Deno.test(`trustProxy: ${name}`, async () => {
    await using server = telling({ trustProxy });
    const address = await seen(server, fields);
    if (typeof expected === "string") assertEquals(address, expected);
    else assertMatch(address, expected);
  });
}

Deno.test("trustProxy: the field may be split into several lines, and request.url doesn't change", async () => {
  await using ctx = new Context();
  let url = "";
  const listener = ctx.listen({
    hostname: "127.0.0.1",
    trustProxy: LOCAL,
    onHandshake: (request) => void (url = request.url),
  });
  const lines = ["GET /path HTTP/1.1", "Host: chat.example", "Upgrade: websocket"]
    .concat("Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    .concat("Sec-WebSocket-Version: 13", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil")
    .concat("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7", "", "");
  using peer = await RawPeer.dial(listener.port);
  await peer.write(utf8(lines.join("\r\n")));
  await peer.readHead();
  await until(() => listener.connections.size === 1);
  const [conn] = listener.connections;
  assertEquals((conn.remoteAddress as Deno.NetAddr).hostname, "192.0.2.7");
  assertEquals(url, "http://chat.example/path");
});

Deno.test("trustProxy: each ordinary request of a proxy's connection has a client of its own", async () => {
  await using server = telling({ trustProxy: LOCAL, maxConnectionsPerAddress: 1 });
  using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.listener.port });
  const ask = async (address: string, more = ""): Promise<string> => {
    const fields = address === "" ? "" : `X-Forwarded-For: ${address}\r\n`;
    await conn.write(utf8(`GET / HTTP/1.1\r\nHost: x\r\n${fields}${more}\r\n`));
    const buffer = new Uint8Array(4096);
    let text = "";
    while (!/\r\n\r\n.+/s.test(text)) {
      const count = await conn.read(buffer);
      if (count === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, count));
    }
    return text.slice(text.indexOf("\r\n\r\n") + 4);
  };
  assertEquals(await ask("192.0.2.7"), "192.0.2.7 0");
  assertEquals(await ask("192.0.2.8"), "192.0.2.8 0");
  assertEquals(await ask("192.0.2.7"), "192.0.2.7 0");
  assertMatch(await ask(""), /^127\.0\.0\.1 \d+$/);
  // Then an upgrade of a third client on the same connection.
  await conn.write(upgradeRequest({ "X-Forwarded-For": "192.0.2.9" }));
  await until(() => server.connected.length === 1);
  assertEquals(server.connected, ["192.0.2.9 0"]);
});

Deno.test("trustProxy: limits per address count the clients of upgrades and of requests, until they end", async () => {
  const gate = Promise.withResolvers<Response>();
  await using server = telling({
    trustProxy: LOCAL,
    maxConnectionsPerAddress: 1,
    handler: (request) => request.url.endsWith("/slow") ? gate.promise : new Response("quick"),
  });
  const { port } = server.listener;
  const upgrade = async (address: string) => {
    const peer = await RawPeer.dial(port);
    await peer.write(upgradeRequest({ "X-Forwarded-For": address }));
    await peer.readHead();
    return peer;
  };
  const get = (path: string, address: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { "x-forwarded-for": address } });
  const status = async (answer: Promise<Response>) => {
    const response = await answer;
    await response.body?.cancel();
    return response.status;
  };
  using first = await upgrade("192.0.2.7");
  using second = await upgrade("192.0.2.7");
  using other = await upgrade("192.0.2.8");
  assertEquals([first, second, other].map(({ head }) => head.split(" ")[1]), ["101", "503", "101"]);
  assertEquals(await status(get("/", "192.0.2.7")), 503);
  assertEquals(await status(get("/", "192.0.2.9")), 200);
  // A request counts until it is answered, even if its connection stays open.
  const slow = get("/slow", "192.0.2.9");
  await until(() => server.listener.connections.size === 2);
  while (await status(get("/", "192.0.2.9")) !== 503);
  gate.resolve(new Response("at last"));
  assertEquals(await (await slow).text(), "at last");
  while (await status(get("/", "192.0.2.9")) !== 200);
  first.conn.close();
  await until(() => server.listener.connections.size === 1);
  assertEquals(await status(get("/", "192.0.2.7")), 200);
  await until(() => server.failed.length >= 3);
  assert(
    server.failed.every(([address]) => /^192\.0\.2\.[79] 0$/.test(address)),
    `${server.failed}`,
  );
});

Deno.test("trustProxy applies to the address of the PROXY head, and may trust the peer of a Unix socket", async () => {
  const head = v1("10.1.1.1", 5);
  const upgrade = upgradeRequest({ "X-Forwarded-For": "192.0.2.7" });
  for (const [from, expected] of [["10.0.0.0/8", "192.0.2.7 0"], ["127.0.0.1", "10.1.1.1 5"]]) {
    await using server = telling({ proxyProtocol: { from: LOCAL }, trustProxy: [from] });
    using peer = await RawPeer.dial(server.listener.port);
    await peer.write(concat(head, upgrade));
    await peer.readHead();
    await until(() => server.connected.length === 1);
    assertEquals(server.connected, [expected]);
  }
  const dir = await Deno.makeTempDir();
  try {
    const unix = `${dir}/socket`;
    await using server = telling({ unix, trustProxy: ["unix"] });
    for (const address of ["192.0.2.7", "unix"]) {
      const { length } = server.connected;
      using peer = new RawPeer(await Deno.connect({ transport: "unix", path: unix }), "client");
      await peer.request({ "X-Forwarded-For": address });
      await until(() => server.connected.length > length);
    }
    assertEquals(server.connected, ["192.0.2.7 0", "unix"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("trustProxy: invalid options throw at once", () => {
  const ctx = new Context();
  for (
    const trustProxy of [
      null,
      "127.0.0.1",
      {},
      { from: "127.0.0.1" },
      ["127.0.0.1/33"],
      ["all"],
      { from: [], header: "x-real-ip" },
    ]
  ) {
    assertThrows(
      () => ctx.listen({ port: 0, trustProxy: trustProxy as never }),
      TypeError,
      "Cannot listen with trustProxy",
    );
  }
});
