/**
 * An echo server with a certificate of Let's Encrypt, in the layout that certbot leaves: `fullchain.pem` and `privkey.pem`
 * of a name are links, which a renewal points to new files. The directory is watched, and new handshakes get the new
 * certificate; open connections stay. No restart, no hook of certbot's.
 *
 *     deno run --allow-net --allow-read examples/lets_encrypt.ts --live /etc/letsencrypt/live/NAME [--port N] [--hostname H]
 *
 * Try it without certbot: put any `fullchain.pem` and `privkey.pem` into a directory, start it with
 * `--live DIRECTORY --port 8443`, then `sluice connect wss://localhost:8443 --ca DIRECTORY/fullchain.pem`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { Context } from "@sluice/websocket";

const { values: args } = parseArgs({
  args: Deno.args,
  options: {
    "live": { type: "string" },
    "hostname": { type: "string", default: "127.0.0.1" },
    "port": { type: "string", default: "0" },
  },
});
const { live } = args;
if (live === undefined) {
  console.error("usage: lets_encrypt.ts --live DIRECTORY [--port N] [--hostname H]");
  Deno.exit(2);
}

async function readPair(): Promise<{ cert: string; key: string }> {
  const [cert, key] = await Promise.all(
    ["fullchain.pem", "privkey.pem"].map((file) => Deno.readTextFile(`${live}/${file}`)),
  );
  return { cert, key };
}

// Watched before they are read, so that no change is missed.
const changes = Deno.watchFs(live);
let served = await readPair();
const ctx = new Context();
const listener = ctx.listen({
  hostname: args.hostname,
  port: Number(args.port),
  tls: served,
  onMessage: (conn, data) => void conn.send(data),
  onHandshakeError: (error) => console.error((error as Error).message),
});
console.log(`listening on ${listener.url}`);

for await (const _ of changes) {
  try {
    const pair = await readPair();
    if (pair.cert === served.cert && pair.key === served.key) continue;
    // Throws in the middle of a renewal, when key and certificate don't match yet. The old pair stays, and the next
    // change is near.
    listener.setTls(pair);
    served = pair;
    console.log("serving the new certificate");
  } catch (error) {
    console.error(`Not yet: ${(error as Error).message}`);
  }
}
