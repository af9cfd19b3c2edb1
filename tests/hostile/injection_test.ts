import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  type ConnectOptions,
  Context,
  type HandshakeAcceptance,
  type ListenOptions,
} from "../../mod.ts";
import { utf8 } from "../support/bytes.ts";
import { rawListener, RawPeer, upgradeRequest, urlOf } from "../support/raw_peer.ts";
import { victim } from "./_support.ts";
import { mayFail, readToEnd } from "../support/failure.ts";

const BREAKS = ["\r\nX-Injected: 1", "\nX-Injected: 1", "\rX-Injected: 1", "\0X-Injected: 1"];
const WIDE = "\u010d\u010aX-Injected: 1"; // becomes CR LF if code units are truncated to bytes

/** The bytes that a client sends; `""` if the call throws before. */
async function sentBy(url: string, options: ConnectOptions, listener: Deno.TcpListener) {
  await using ctx = new Context({ onError: () => {} });
  try {
    ctx.connect(url, { connectTimeout: 5000, ...options });
  } catch (error) {
    assert(error instanceof TypeError || error instanceof RangeError, String(error));
    return "";
  }
  using peer = new RawPeer(await listener.accept(), "server");
  const head = await peer.readHead();
  peer.close();
  return head;
}

/** Checks that a head has only lines of the application. */
function clean(head: string, what: string): void {
  assert(!/(^|[\r\n\0])X-Injected/i.test(head), `${what}: ${JSON.stringify(head)}`);
  for (const line of head.split("\r\n")) assert(!/[\r\n\0]/.test(line), JSON.stringify(line));
}

const CLIENT: Record<string, (text: string, port: number) => [string | null, ConnectOptions]> = {
  "a header's value": (text) => [null, { headers: { "X-Ours": `a${text}` } }],
  "a header's name": (text) => [null, { headers: { [`X-Ours${text}`]: "a" } }],
  "a subprotocol": (text) => [null, { protocols: [`chat${text}`] }],
  "an extension's name": (text) => [null, { extensions: [{ name: `x${text}`, params: [] }] }],
  "an extension's value": (text) => [null, {
    extensions: [{ name: "x", params: [["a", `b${text}`]] }],
  }],
  "the path": (text, port) => [`ws://127.0.0.1:${port}/a${text}`, {}],
  "the query": (text, port) => [`ws://127.0.0.1:${port}/?a=${text}`, {}],
  "the host": (text, port) => [`ws://127.0.0.1${text}:${port}/`, {}],
  "the host of a proxy": (text, port) => ["ws://x.invalid/", {
    proxy: `http://127.0.0.1${text}:${port}`,
  }],
  "the user of a proxy": (text, port) => ["ws://x.invalid/", {
    proxy: `http://u${encodeURIComponent(text)}:p@127.0.0.1:${port}`,
  }],
  "the password of a proxy": (text, port) => ["ws://x.invalid/", {
    proxy: `http://u:p${text}@127.0.0.1:${port}`,
  }],
  "the target behind a proxy": (text, port) => [`ws://x${text}.invalid/${text}`, {
    proxy: `http://127.0.0.1:${port}`,
  }],
};

for (const [what, make] of Object.entries(CLIENT)) {
  Deno.test(`header injection by a client: ${what}`, async () => {
    using listener = rawListener();
    for (const text of [...BREAKS, WIDE]) {
      const [url, options] = make(text, listener.addr.port);
      clean(await sentBy(url ?? urlOf(listener), options, listener), what);
    }
    // Without the injection, the client connects.
    const [url, options] = make("", listener.addr.port);
    assertMatch(await sentBy(url ?? urlOf(listener), options, listener), /^(GET|CONNECT) /);
  });
}

/** The response of a server; `""` if `listen` throws. */
async function answeredBy(options: ListenOptions, offer: Record<string, string>): Promise<string> {
  let server;
  try {
    server = victim(options);
  } catch (error) {
    assert(error instanceof TypeError, String(error));
    return "";
  }
  await using _ = server;
  using peer = await RawPeer.dial(server.port);
  await peer.write(upgradeRequest(offer));
  await peer.readHead();
  return peer.head;
}

const SERVER: Record<string, (text: string) => ListenOptions> = {
  "a header of every 101": (text) => ({ headers: { "X-Ours": `a${text}` } }),
  "a header of onHandshake's": (text) => answer({ headers: [["X-Ours", `a${text}`]] }),
  "a header's name": (text) => answer({ headers: [[`X-Ours${text}`, "a"]] }),
  "a subprotocol": (text) => answer({ protocol: `chat${text}` }),
  "a chosen subprotocol": (text) => ({ selectProtocol: () => `chat${text}` }),
  "an extension": (text) => answer({ extensions: [{ name: `x${text}`, params: [] }] }),
  "the status text of a refusal": (text) => ({
    onHandshake: () => new Response("no", { status: 403, statusText: `No${text}` }),
  }),
};

function answer(value: HandshakeAcceptance): ListenOptions {
  return { onHandshake: () => value };
}

for (const [what, make] of Object.entries(SERVER)) {
  Deno.test(`header injection by a server: ${what}`, async () => {
    const offer = { "Sec-WebSocket-Protocol": "chat", "Sec-WebSocket-Extensions": "x" };
    for (const text of [...BREAKS, WIDE]) clean(await answeredBy(make(text), offer), what);
    assertMatch(await answeredBy(make(""), offer), /^HTTP\/1\.1 (101|403) /);
  });
}

Deno.test("header injection by a request: a refusal doesn't echo refused input in its head", async () => {
  const head = await answeredBy({}, { "Sec-WebSocket-Version": "13\tX-Injected: 1" });
  clean(head, "version");
  assertMatch(head, /^HTTP\/1\.1 426 /);
});

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
const AMBIGUOUS: Record<string, string> = {
  "both framings": "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "two lengths": "Content-Length: 0\r\nContent-Length: 36\r\n\r\n",
  "a list of lengths": "Content-Length: 0, 36\r\n\r\n",
  "a signed length": "Content-Length: +0\r\n\r\n",
  "a hexadecimal length": "Content-Length: 0x0\r\n\r\n",
  "a length of white space": "Content-Length: \t\r\n\r\n",
  "a space before the colon": "Content-Length : 36\r\n\r\n",
  "a folded line": "X: y\r\n Content-Length: 36\r\n\r\n",
  "a bare line feed": "X: y\nContent-Length: 36\r\n\r\n",
  "a bare carriage return": "X: y\rContent-Length: 36\r\n\r\n",
  "an unknown coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
  "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
  "a quoted coding": 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
  "a tab in the coding": "Transfer-Encoding: chunked\t, x\r\n\r\n0\r\n\r\n",
  "a chunk size with a sign": "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n",
  "a chunk size with a prefix": "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
  "a chunk size that overflows": "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
  "a chunk line that ends in LF": "Transfer-Encoding: chunked\r\n\r\n0\n\r\n",
  "chunk data longer than said": "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
  "a NUL in a field": "X: \0\r\n\r\n",
};

for (const [what, rest] of Object.entries(AMBIGUOUS)) {
  Deno.test(`request smuggling through the front door: ${what}`, async () => {
    const paths: string[] = [];
    await using server = victim({
      handler: async (request) => {
        paths.push(new URL(request.url).pathname);
        await mayFail(request.arrayBuffer(), "its framing may be broken");
        return new Response("ok");
      },
    });
    // As the first request of a connection, and after another one.
    for (const first of ["", "GET /first HTTP/1.1\r\nHost: x\r\n\r\n"]) {
      using conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      const head = `${first}POST /a HTTP/1.1\r\nHost: x\r\n${rest}${SMUGGLED}`;
      await conn.write(utf8(head));
      let text = "";
      const buffer = new Uint8Array(4096);
      for (
        let count;
        (count = await mayFail(conn.read(buffer), "a reset is an end") ?? null) !== null;
      ) {
        text += new TextDecoder().decode(buffer.subarray(0, count));
      }
      assertMatch(text, /HTTP\/1\.1 (400|501) /, text);
      if (first !== "") assertMatch(text, /^HTTP\/1\.1 200 /);
    }
    assert(!paths.includes("/smuggled"), paths.join(" "));
  });
}

Deno.test("request smuggling: a handshake with a body is refused, and bytes after it aren't frames", async () => {
  await using server = victim({ handler: () => new Response("ok") });
  for (const [name, value] of [["Content-Length", "5"], ["Transfer-Encoding", "chunked"]]) {
    using peer = await RawPeer.dial(server.port);
    await peer.write(upgradeRequest({ [name]: value }));
    assertEquals((await peer.response()).status, 400);
    assertEquals(await readToEnd(peer.conn), 0);
  }
});
