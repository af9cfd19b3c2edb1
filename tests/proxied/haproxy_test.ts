/** Servers behind a real HAProxy: both versions of the PROXY protocol, TLS terminated and passed through, and headers. */
import { assertEquals } from "@std/assert";
import { Context } from "../../mod.ts";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { until } from "../support/until.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { CLIENT, Origin } from "./_origin.ts";
import { type Telling, telling } from "./_peers.ts";

const HAPROXY = findProgram("haproxy");
const LOCAL = ["127.0.0.1"];

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name: `behind HAProxy: ${name}`, ignore: skip(HAPROXY, "haproxy"), fn });

/** Runs HAProxy with a frontend, and with a server as its backend. */
async function haproxy(
  dir: string,
  server: Telling,
  { front = "", back = "", mode = "tcp" },
): Promise<AsyncDisposable & { port: number }> {
  const port = freePort(), config = `${dir}/haproxy.cfg`;
  await Deno.writeTextFile(
    config,
    `defaults
  mode ${mode}
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:${port} ${front}
  ${mode === "http" ? "option forwardfor" : ""}
  default_backend out
backend out
  server sluice 127.0.0.1:${server.listener.port} ${back}
`,
  );
  const child = await startServer(HAPROXY!, ["-db", "-f", config], port);
  return Object.assign(child, { port });
}

/** Connects from {@linkcode CLIENT}; returns the address that the server has seen. */
async function visit(
  server: Telling,
  port: number,
  url: string,
  options: { ca?: string; forged?: boolean; from?: string } = {},
): Promise<string> {
  using origin = new Origin(port, options.from);
  const { length } = server.connected;
  await using ctx = new Context();
  const conn = ctx.connect(url, {
    address: origin.address,
    tls: options.ca === undefined ? {} : { caCerts: [options.ca] },
    headers: options.forged ? { "x-forwarded-for": "6.6.6.6" } : {},
  });
  await conn.opened;
  conn.send("hello");
  assertEquals(await conn.receive(), "hello");
  await until(() => server.connected.length > length);
  conn.close();
  await conn.closed;
  return server.connected.at(-1)!.split(" ")[0];
}

for (const version of ["send-proxy", "send-proxy-v2"]) {
  for (const tls of ["without TLS", "TLS passed through", "TLS ended there"]) {
    test(`${version}, ${tls}`, async () => {
      using certificates = makeCertificates();
      const { ca, server: pair, dir } = certificates;
      await Deno.writeTextFile(`${dir}/both.pem`, pair.cert + pair.key);
      await using server = telling({
        proxyProtocol: { from: LOCAL },
        maxConnectionsPerAddress: 1,
        ...(tls === "TLS passed through" ? { tls: pair } : {}),
      });
      await using proxy = await haproxy(dir, server, {
        front: tls === "TLS ended there" ? `ssl crt ${dir}/both.pem` : "",
        back: version,
      });
      const secure = tls !== "without TLS";
      const url = `${secure ? "wss" : "ws"}://localhost:${proxy.port}/`;
      const visitor = visit.bind(null, server, proxy.port, url);
      assertEquals(await visitor({ ca }), CLIENT);
      // The limit per address counts the client, not HAProxy.
      using held = new Origin(proxy.port);
      await using ctx = new Context({ tls: { caCerts: [ca] } });
      const first = ctx.connect(url, { address: held.address });
      await first.opened;
      const second = ctx.connect(url, { address: held.address, onError: () => {} });
      assertEquals((await second.closed).code, 1006);
      assertEquals(await visitor({ ca, from: "127.0.0.78" }), "127.0.0.78");
      first.close();
      await first.closed;
      await until(() => server.listener.connections.size === 0);
      assertEquals(await visitor({ ca }), CLIENT);
    });
  }
}

test("health checks of HAProxy don't count as clients", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await using server = telling({ proxyProtocol: { from: LOCAL } });
    await using proxy = await haproxy(dir, server, {
      back: "send-proxy-v2 check inter 5ms check-send-proxy",
    });
    // A health check sends LOCAL and resets, often before it is accepted. It must not disturb clients.
    for (let i = 0; i < 10; i++) {
      assertEquals(await visit(server, proxy.port, `ws://localhost:${proxy.port}/`), CLIENT);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

test("a client can't forge X-Forwarded-For", async () => {
  using certificates = makeCertificates();
  const { ca, server: pair, dir } = certificates;
  await Deno.writeTextFile(`${dir}/both.pem`, pair.cert + pair.key);
  await using server = telling({ trustProxy: LOCAL });
  await using proxy = await haproxy(dir, server, {
    mode: "http",
    front: `ssl crt ${dir}/both.pem`,
  });
  const url = `wss://localhost:${proxy.port}/`;
  assertEquals(await visit(server, proxy.port, url, { ca }), CLIENT);
  assertEquals(await visit(server, proxy.port, url, { ca, forged: true }), CLIENT);
  // A server that doesn't trust HAProxy ignores the field.
  await using strict = telling({ trustProxy: ["192.0.2.0/24"] });
  const forged = { "x-forwarded-for": "6.6.6.6" };
  await using ctx = new Context();
  await ctx.connect(strict.listener.url, { headers: forged }).opened;
  await until(() => strict.connected.length === 1);
  assertEquals(strict.connected[0].split(" ")[0], "127.0.0.1");
});
