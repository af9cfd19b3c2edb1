// Upgrades handshakes with cookies, three times with origins and three times without.
import { Context } from "../../../mod.ts";
import { RawPeer } from "../../support/raw_peer.ts";

const ctx = new Context();
let guarded = true;
const server = Deno.serve(
  { port: 0, hostname: "127.0.0.1", onListen: () => {} },
  (request) => ctx.upgrade(request, guarded ? { origins: /./ } : {}).response,
);
for (let i = 0; i < 6; i++) {
  guarded = i % 2 === 0;
  const peer = await RawPeer.connect(server.addr.port, { Cookie: "session=1" });
  peer.close();
}
// Deno's own server may wait for ever for clients that have disconnected.
Deno.exit(0);
