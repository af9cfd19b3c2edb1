/**
 * An echo server over TLS.
 *
 *     deno run --allow-net --allow-read examples/tls_server.ts --cert FILE --key FILE [--port N]
 *
 * Try it with a certificate that you make:
 *
 *     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
 *       -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem
 *
 * start it with `--cert cert.pem --key key.pem --port 8443`, then `sluice connect wss://localhost:8443 --ca cert.pem`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "cert": { type: "string" },
    "key": { type: "string" },
    "port": { type: "string", default: "0" },
  },
});
if (args.cert === undefined || args.key === undefined) {
  console.error("usage: tls_server.ts --cert FILE --key FILE [--port N]");
  Deno.exit(2);
}

const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  port: Number(args.port),
  tls: { cert: Deno.readTextFileSync(args.cert), key: Deno.readTextFileSync(args.key) },
  onMessage: (conn, data) => conn.send(data),
  // Clients that don't trust the certificate end up here.
  onHandshakeError: (error) => console.error((error as Error).message),
});
console.log(`listening on ${listener.url}`);
