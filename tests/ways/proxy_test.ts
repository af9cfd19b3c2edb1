import { assert, assertEquals, assertInstanceOf, assertMatch } from "@std/assert";
import { Context, HandshakeError } from "../../mod.ts";
import { findProgram, skip, startServer } from "../support/needs.ts";
import { freePort } from "../support/raw_peer.ts";
import { makeCertificates } from "../transport/certificates.ts";
import { runText } from "../support/child.ts";
import { failure, mayFail, readToEnd } from "../support/failure.ts";
import { echoing, exercise, holdBack, ROOM } from "./_exercise.ts";

const certificates = makeCertificates();
const { ca, server, client } = certificates;
addEventListener("unload", () => certificates[Symbol.dispose]());

/** Runs tinyproxy on a port, with further lines of configuration. */
async function tinyproxy(program: string, lines = ""): Promise<AsyncDisposable & { port: number }> {
  const port = freePort();
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${dir}/conf`,
    `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nAllow 127.0.0.1\n${lines}`,
  );
  const running = await startServer(program, ["-d", "-c", `${dir}/conf`], port);
  return {
    port,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** Connects in a process with another environment; returns `open`, or the status of the refusal. */
async function connectOnce(
  url: string,
  env: Record<string, string>,
  options = "",
  permissions = ["-A"],
): Promise<string> {
  const code = `import { Context } from "${new URL("../../mod.ts", import.meta.url)}";
    const conn = new Context().connect(${JSON.stringify(url)}, { ${options} });
    console.log(await conn.opened.then(() => "open", (error) => error.status ?? error.message));
    conn.terminate();`;
  const { stdout } = await runText(code, ["--no-prompt", "--no-config", ...permissions], [], env);
  return stdout.trim();
}

const TINYPROXY = findProgram("tinyproxy");
const MICROSOCKS = findProgram("microsocks");

Deno.test({
  name:
    "through tinyproxy, ws, wss and a client certificate work, and the target's refusal is reported",
  ignore: skip(TINYPROXY, "tinyproxy"),
  fn: async () => {
    await using proxy = await tinyproxy(TINYPROXY!);
    const url = `http://127.0.0.1:${proxy.port}`;
    await using ctx = new Context({ proxy: url, tls: { caCerts: [ca] } });
    const plain = ctx.listen({ port: 0, ...echoing() });
    await exercise(ctx.connect(plain.url, ROOM));
    const mutual = ctx.listen({ port: 0, tls: { ...server, clientCaCerts: ca }, ...echoing() });
    const tls = { caCerts: [ca], ...client };
    await exercise(ctx.connect(`wss://localhost:${mutual.port}/`, { ...ROOM, tls }));
    const refused = await failure(ctx.connect(`ws://127.0.0.1:${freePort()}/`).opened);
    assertInstanceOf(refused, HandshakeError);
    assertMatch(refused.message, /through the proxy: it answered 5\d\d/);
  },
});

Deno.test({
  name: "through tinyproxy, a password works from the option and from the environment",
  ignore: skip(TINYPROXY, "tinyproxy"),
  fn: async () => {
    await using proxy = await tinyproxy(TINYPROXY!, "BasicAuth user secret\n");
    await using ctx = new Context();
    const listener = ctx.listen({ port: 0, ...echoing() });
    const url = `http://user:secret@127.0.0.1:${proxy.port}`;
    await exercise(ctx.connect(listener.url, { ...ROOM, proxy: url }));
    await holdBack(ctx.connect(listener.url, { ...ROOM, proxy: url }));
    const wrong = await failure(
      ctx.connect(listener.url, { proxy: `http://user:wrong@127.0.0.1:${proxy.port}` }).opened,
    ) as HandshakeError;
    assert(wrong.status === 401 || wrong.status === 407, wrong.message);
    // In processes of their own, since the environment is shared by all tests.
    const bare = `http://127.0.0.1:${proxy.port}`;
    assertEquals(await connectOnce(listener.url, { http_proxy: bare }), "407");
    assertEquals(await connectOnce(listener.url, { http_proxy: url }), "open");
    assertEquals(
      await connectOnce(listener.url, { HTTP_PROXY: url, no_proxy: "a.example" }),
      "open",
    );
    assertEquals(await connectOnce(listener.url, { all_proxy: bare }), "407");
    assertEquals(
      await connectOnce(listener.url, { http_proxy: bare, no_proxy: "127.0.0.0/8" }),
      "open",
    );
    assertEquals(await connectOnce(listener.url, { http_proxy: bare }, "proxy: null"), "open");
    // Without the permission to read the environment no proxy is used.
    assertEquals(
      await connectOnce(listener.url, { http_proxy: bare }, "", ["--allow-net"]),
      "open",
    );
  },
});

Deno.test({
  name: "microsocks works with and without a password, and with remote DNS",
  ignore: skip(MICROSOCKS, "microsocks"),
  fn: async () => {
    await using ctx = new Context({ tls: { caCerts: [ca] } });
    const listener = ctx.listen({ port: 0, hostname: "127.0.0.1", ...echoing() });
    const secure = ctx.listen({ port: 0, hostname: "127.0.0.1", tls: server, ...echoing() });
    const open = freePort();
    await using _open = await startServer(MICROSOCKS!, ["-i", "127.0.0.1", "-p", `${open}`], open);
    const proxy = `socks5://127.0.0.1:${open}`;
    await exercise(ctx.connect(`ws://localhost:${listener.port}/`, { ...ROOM, proxy }));
    await exercise(ctx.connect(`wss://localhost:${secure.port}/`, { ...ROOM, proxy }));
    // In one direction only: while one side blocks, microsocks doesn't read the other one, and echoes use both directions.
    const reader = ctx.connect(listener.url, { ...ROOM, proxy });
    await reader.opened;
    const [writer] = listener.connections;
    await holdBack(reader, writer);
    const refused = await failure(ctx.connect(`ws://127.0.0.1:${freePort()}/`, { proxy }).opened);
    assertMatch(refused.message, /connection refused \(5\)/);

    const shut = freePort();
    const args = ["-i", "127.0.0.1", "-p", `${shut}`, "-u", "user", "-P", "secret"];
    await using _shut = await startServer(MICROSOCKS!, args, shut);
    await exercise(
      ctx.connect(listener.url, { ...ROOM, proxy: `socks5://user:secret@127.0.0.1:${shut}` }),
    );
    for (const login of ["", "user:wrong@"]) {
      const error = await failure(
        ctx.connect(listener.url, { proxy: `socks5://${login}127.0.0.1:${shut}` }).opened,
      );
      assertInstanceOf(error, HandshakeError);
    }
  },
});

Deno.test("an https proxy works, and one that hangs is ended by the timeout", async () => {
  await using ctx = new Context({ tls: { caCerts: [ca] } });
  const listener = ctx.listen({ port: 0, hostname: "127.0.0.1", tls: server, ...echoing() });
  using hanging = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (const scheme of ["http", "https", "socks5"]) {
    const conn = ctx.connect(`ws://127.0.0.1:${listener.port}/`, {
      proxy: `${scheme}://localhost:${hanging.addr.port}`,
      connectTimeout: 60,
    });
    const accepted = await hanging.accept();
    const error = await failure(conn.opened);
    assertEquals(error.name, "TimeoutError");
    assertMatch(error.message, /while connecting through the proxy/);
    await conn.closed;
    // The connection to the proxy is closed.
    await readToEnd(accepted);
    accepted.close();
  }
  // A CONNECT proxy behind the library's TLS acceptor.
  const { TlsAcceptor } = await import("../../src/transport/tls_server.ts");
  const acceptor = new TlsAcceptor(server);
  using socket = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const proxying = (async () => {
    const outer = await acceptor.accept(await socket.accept());
    const buffer = new Uint8Array(4096);
    await outer.read(buffer);
    const inner = await Deno.connect({ port: listener.port });
    await outer.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
    const pump = async (from: typeof outer, to: typeof outer) => {
      const bytes = new Uint8Array(65536);
      for (;;) {
        const count = await mayFail(from.read(bytes), "a reset is an end") ?? null;
        if (count === null) break;
        for (let at = 0; at < count;) at += await to.write(bytes.subarray(at, count));
      }
    };
    await mayFail(
      Promise.race([pump(outer, inner), pump(inner, outer)]),
      "one end may close before the other",
    );
    outer.close();
    inner.close();
  })();
  const proxy = `https://localhost:${socket.addr.port}`;
  await exercise(ctx.connect(`wss://localhost:${listener.port}/`, { ...ROOM, proxy }));
  await proxying;
});
