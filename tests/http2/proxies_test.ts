// Other HTTP/2 programs: curl as a client, HAProxy, Apache and nghttpx in front of a listener, and Hypercorn as a server.
import { assertEquals } from "@std/assert";
import { type Connection, Context, type Listener } from "../../mod.ts";
import { exchange } from "../support/exchange.ts";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { type Certificates, makeCertificates } from "../transport/certificates.ts";

/** A listener that echoes messages, and answers requests. */
function serve(ctx: Context, certificates: Certificates | null): Listener {
  return ctx.listen({
    hostname: "127.0.0.1",
    http2: true,
    ...(certificates === null ? {} : { tls: certificates.server }),
    maxMessageSize: 0,
    async handler(request) {
      const { pathname } = new URL(request.url);
      return new Response(
        `${request.method} ${pathname} ${(await request.arrayBuffer()).byteLength}`,
      );
    },
    onMessage: (conn, data) => {
      if (!conn.send(data)) return conn.drained().catch(() => {});
    },
  });
}

const CURL = findProgram("curl");
Deno.test({
  name: "curl sends requests over h2, with TLS and by prior knowledge",
  ignore: skip(CURL, "curl"),
  async fn() {
    using certificates = makeCertificates();
    await using ctx = new Context();
    for (const secure of [true, false]) {
      const { port } = serve(ctx, secure ? certificates : null);
      const how = secure ? ["--http2", "--cacert", `${certificates.dir}/ca.pem`] : [
        "--http2-prior-knowledge",
      ];
      const body = `${certificates.dir}/body`;
      await Deno.writeFile(body, new Uint8Array(3 << 20));
      for (const [args, said] of [[[], "GET /a 0"], [["-T", body], "PUT /a 3145728"]] as const) {
        const { stdout } = await new Deno.Command(CURL!, {
          args: [
            ...["-s", ...how, ...args, "-w", " %{http_version}"],
            `${secure ? "https://localhost" : "http://127.0.0.1"}:${port}/a`,
          ],
          stdin: "null",
        }).output();
        assertEquals(new TextDecoder().decode(stdout), `${said} 2`);
      }
    }
  },
});

const MODULES = "/usr/lib/apache2/modules";

/** A proxy that accepts h2 with TLS, in front of a port. */
type Proxy = (
  certificates: Certificates,
  front: number,
  back: number,
  backVersion: string,
) => Promise<AsyncDisposable>;

const PROXIES: Record<string, { program: string; backs: string[]; start: Proxy }> = {
  HAProxy: {
    program: "haproxy",
    backs: ["1.1", "2"],
    async start({ dir, server }, front, back, version) {
      await Deno.writeTextFile(`${dir}/both.pem`, server.cert + server.key);
      await Deno.writeTextFile(
        `${dir}/haproxy.cfg`,
        `defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:${front} ssl crt ${dir}/both.pem alpn h2,http/1.1
  default_backend out
backend out
  server sluice 127.0.0.1:${back} ${version === "2" ? "proto h2" : ""}
`,
      );
      return await startServer(findProgram("haproxy")!, ["-db", "-f", `${dir}/haproxy.cfg`], front);
    },
  },
  nghttpx: {
    program: "nghttpx",
    backs: ["1.1", "2"],
    async start({ dir, server }, front, back, version) {
      await Deno.writeTextFile(`${dir}/front.key`, server.key);
      await Deno.writeTextFile(`${dir}/front.crt`, server.cert);
      const proto = version === "2" ? ";;proto=h2" : "";
      return await startServer(findProgram("nghttpx")!, [
        "--conf=/dev/null",
        "--workers=1",
        `--frontend=127.0.0.1,${front}`,
        `--backend=127.0.0.1,${back}${proto}`,
        `${dir}/front.key`,
        `${dir}/front.crt`,
      ], front);
    },
  },
  Apache: {
    program: "apache2",
    // Apache's proxy module for HTTP/2 supports requests only.
    backs: ["1.1"],
    async start({ dir, server }, front, back) {
      await Deno.writeTextFile(`${dir}/front.key`, server.key);
      await Deno.writeTextFile(`${dir}/front.crt`, server.cert);
      const modules = ["mpm_event", "authz_core", "ssl", "http2", "proxy", "proxy_http"];
      await Deno.writeTextFile(
        `${dir}/apache.conf`,
        `${modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join("\n")}
ServerName localhost
ServerRoot ${dir}
DefaultRuntimeDir ${dir}
PidFile ${dir}/apache.pid
ErrorLog ${dir}/apache.log
Listen 127.0.0.1:${front}
SSLEngine on
SSLCertificateFile ${dir}/front.crt
SSLCertificateKeyFile ${dir}/front.key
Protocols h2 http/1.1
H2WebSockets on
ProxyPass / http://127.0.0.1:${back}/ upgrade=websocket
`,
      );
      return await startServer(findProgram("apache2")!, ["-X", "-f", `${dir}/apache.conf`], front);
    },
  },
};

for (const [name, { program, backs, start }] of Object.entries(PROXIES)) {
  for (const version of backs) {
    Deno.test({
      name: `${name} relays a client over h2 to a listener over HTTP/${version}`,
      ignore: skip(findProgram(program), program),
      async fn() {
        using certificates = makeCertificates();
        await using ctx = new Context();
        const listener = serve(ctx, null), front = freePort();
        await using _proxy = await start(certificates, front, listener.port, version);
        const tls = { caCerts: [certificates.ca] };
        const conns = Array.from({ length: 3 }, () => {
          return ctx.connect(`wss://localhost:${front}/`, { http2: true, tls, maxMessageSize: 0 });
        });
        for (const conn of conns) {
          await conn.opened;
          assertEquals(conn.httpVersion, "2");
        }
        const versions = [...listener.connections].map((conn) => conn.httpVersion);
        assertEquals(versions, [version, version, version]);
        await exchange(conns[0]);
        conns[1].pause();
        await exchange(conns[2]);
        const end = async (conn: Connection) => {
          const { code, wasClean, cause } = await conn.closed;
          assertEquals([code, wasClean, cause], [4001, true, undefined]);
        };
        conns[0].close(4001, "bye");
        await end(conns[0]);
        for (const conn of listener.connections) conn.close(4001, "bye");
        await end(conns[1]);
        await end(conns[2]);
      },
    });
  }
}

const HYPERCORN = findProgram("hypercorn");
Deno.test({
  name: "clients over h2 exchange messages with Hypercorn, and either end closes",
  ignore: skip(HYPERCORN, "hypercorn"),
  async fn() {
    using certificates = makeCertificates();
    const { dir, server, ca } = certificates, port = freePort();
    await Deno.writeTextFile(`${dir}/server_key.pem`, server.key);
    await Deno.writeTextFile(`${dir}/server_cert.pem`, server.cert);
    await Deno.writeTextFile(
      `${dir}/echo.py`,
      `async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    version = scope["http_version"].encode()
    protocol = next(iter(scope["subprotocols"]), None)
    await send({"type": "websocket.accept", "subprotocol": protocol, "headers": [(b"x-version", version)]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001})
            return
        await send({**message, "type": "websocket.send"})
`,
    );
    await using _server = await startServer(HYPERCORN!, [
      ...["--bind", `127.0.0.1:${port}`],
      ...["--certfile", `${dir}/server_cert.pem`, "--keyfile", `${dir}/server_key.pem`],
      `${dir}/echo:app`,
    ], port);
    // Hypercorn closes the connection after the first END_STREAM that follows close frames, so the other streams are reset first.
    for (const end of ["client", "server"]) {
      await using ctx = new Context();
      const conns = Array.from({ length: 3 }, () => {
        return ctx.connect(`wss://localhost:${port}/`, {
          http2: true,
          tls: { caCerts: [ca] },
          protocols: ["echo"],
          compression: true,
          maxMessageSize: 0,
        });
      });
      for (const conn of conns) {
        const { headers } = await conn.opened;
        assertEquals([conn.httpVersion, conn.protocol, headers.get("x-version")], [
          "2",
          "echo",
          "2",
        ]);
      }
      await exchange(conns[0]);
      conns[1].pause();
      await exchange(conns[2]);
      conns[0].terminate();
      conns[1].terminate();
      conns[2].send("still here");
      assertEquals(await conns[2].receive(), "still here");
      if (end === "client") conns[2].close(4001, "bye");
      else conns[2].send("close");
      const { code, wasClean, cause } = await conns[2].closed;
      assertEquals([code, wasClean, cause], [4001, true, undefined]);
    }
  },
});
