/**
 * Many WebSockets on one connection: HTTP/2 (RFC 8441), which browsers use by themselves where a server offers it.
 *
 *     deno run --allow-net --allow-read examples/http2.ts --cert FILE --key FILE [--ca FILE] [--port N]
 *
 * Try it with a certificate of your own making:
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
 *       -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
 *
 * Without a port it shows itself at work and ends; or start it with `--port 8443`, and open https://localhost:8443/ in a
 * browser, which will warn of the certificate.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const PAGE = `<!doctype html>
<meta name="viewport" content="width=device-width">
<title>HTTP/2</title>
<h1>Ten WebSockets</h1>
<ol id="log"></ol>
<script>
  for (let i = 0; i < 10; i++) {
    new WebSocket(location.href.replace("http", "ws")).onmessage = ({ data }) => {
      log.append(Object.assign(document.createElement("li"), { textContent: data }));
    };
  }
</script>
`;

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "cert": { type: "string" },
    "key": { type: "string" },
    "ca": { type: "string" },
    "port": { type: "string" },
  },
});
if (args.cert === undefined || args.key === undefined) {
  console.error("usage: http2.ts --cert FILE --key FILE [--ca FILE] [--port N]");
  Deno.exit(2);
}
const cert = Deno.readTextFileSync(args.cert);

await using server = new Context();
const listener = server.listen({
  hostname: "127.0.0.1",
  port: Number(args.port ?? 0),
  tls: { cert, key: Deno.readTextFileSync(args.key) },
  http2: true,
  handler: () => new Response(PAGE, { headers: { "content-type": "text/html" } }),
  onConnect(conn) {
    const { port } = conn.remoteAddress as Deno.NetAddr;
    conn.send(`HTTP/${conn.httpVersion}, by the connection from port ${port}`);
  },
  onMessage: (conn, data) => void conn.send(data),
});
const url = `wss://localhost:${listener.port}/`;

if (args.port === undefined) await show();
else {
  console.log(`listening on ${url}`);
  await listener.finished;
}

/** Opens three WebSockets, pauses one, and uses another. */
async function show(): Promise<void> {
  // A self-signed certificate is its own authority.
  const ca = args.ca === undefined ? cert : Deno.readTextFileSync(args.ca);
  await using client = new Context({ tls: { caCerts: [ca] } });
  const connect = () => client.connect(url, { http2: true, readAhead: 0 });
  const [one, two, three] = [connect(), connect(), connect()];
  for (const conn of [one, two, three]) console.log(await conn.receive());

  one.pause();
  for (let i = 0; i < 100; i++) one.send(new Uint8Array(16 * 1024));
  two.send("a paused WebSocket doesn't affect the others");
  console.log(await two.receive());

  const older = client.connect(url); // over HTTP/1.1: a connection of its own
  console.log(await older.receive());
}
