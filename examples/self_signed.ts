/**
 * A client of a server whose certificate no authority has signed: refused by default, accepted with its certificate as
 * an authority, or without any check.
 *
 *     deno run --allow-net --allow-read --allow-env examples/self_signed.ts URL [--ca FILE]
 *
 * Try it with the URL of `tls_server.ts`, such as `wss://localhost:8443 --ca cert.pem`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type ConnectTlsOptions, Context } from "@sluice/websocket";

const { values: args, positionals: [url] } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    "ca": { type: "string" },
  },
});
const ways: [string, ConnectTlsOptions][] = [["by default", {}], ["insecure", { insecure: true }]];
if (args.ca !== undefined) {
  ways.push(["with the authority", { caCerts: [await Deno.readTextFile(args.ca)] }]);
}

await using ctx = new Context();
for (const [way, tls] of ways) {
  const conn = ctx.connect(url, { tls, onError: () => {} });
  try {
    await conn.opened;
    conn.send("over TLS");
    console.log(`${way}: received ${await conn.receive()}`);
  } catch (error) {
    console.log(`${way}: refused, ${(error as Error).name}`);
  }
}
