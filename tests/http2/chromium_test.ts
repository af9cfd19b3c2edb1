// Chromium over TLS: a page and its WebSockets share one connection (RFC 8441).
import { assertEquals } from "@std/assert";
import { type Connection, Context } from "../../mod.ts";
import { Browser, chromium } from "../browser/_chromium.ts";
import { EventLog } from "../support/event_log.ts";
import { skip } from "../support/needs.ts";
import { makeCertificates } from "../transport/certificates.ts";

const PAGE = `<!doctype html><title>sockets</title><script>
globalThis.got = [];
const url = location.href.replace("https", "wss");
let at = 0;
function open() {
  const n = at++, socket = new WebSocket(url + "socket" + n);
  socket.onopen = () => socket.send("hello " + n);
  socket.onmessage = ({ data }) => {
    got.push(data);
    if (at < 3) open();
    else if (got.length === 3) fetch("page", { method: "POST", body: "x".repeat(100000) })
      .then((answer) => answer.text()).then((text) => got.push(text));
  };
}
open();
</script>`;

Deno.test({
  name: "Chromium loads a page, sends a POST and opens three WebSockets over one connection",
  ignore: skip(chromium, "chromium"),
  async fn() {
    using certificates = makeCertificates();
    await using ctx = new Context();
    const opened = new EventLog<Connection>();
    const requests = new EventLog<number>();
    const { port } = ctx.listen({
      hostname: "127.0.0.1",
      tls: certificates.server,
      http2: true,
      compression: true,
      async handler(request, { remoteAddr }) {
        requests.push((remoteAddr as Deno.NetAddr).port);
        const text = request.method === "POST" ? await request.text() : "";
        return text === ""
          ? new Response(PAGE, { headers: { "content-type": "text/html" } })
          : new Response(`posted ${text.length}`);
      },
      onConnect: (conn) => opened.push(conn),
      onMessage: (conn, data) => void conn.send(data),
    });
    await using browser = await Browser.start(["--ignore-certificate-errors"]);
    const tab = await browser.open(`https://localhost:${port}/`);
    await tab.until("got.length === 4");
    assertEquals(await tab.evaluate("got"), ["hello 0", "hello 1", "hello 2", "posted 100000"]);
    const accepted = await requests.next();
    for (let n = 0; n < 3; n++) {
      const conn = await opened.next();
      assertEquals(conn.httpVersion, "2");
      assertEquals((conn.remoteAddress as Deno.NetAddr).port, accepted);
      assertEquals(conn.request!.headers.get("origin"), `https://localhost:${port}`);
    }
    await tab.evaluate("location.href = 'about:blank'");
  },
});
