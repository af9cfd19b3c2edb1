// Two handshakes with a cookie, with a listener with or without a rule: cookie.ts none|origins|onHandshake|no-cookie
import { Context } from "../../../mod.ts";
import { RawPeer } from "../../support/raw_peer.ts";

const [rule] = Deno.args;
const ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  ...(rule === "origins" ? { origins: /./ } : {}),
  ...(rule === "onHandshake" ? { onHandshake: () => true } : {}),
});
const statuses: string[] = [];
for (let i = 0; i < 2; i++) {
  const headers = rule === "no-cookie" ? {} : { Cookie: "session=1", Origin: "https://a.example" };
  using peer = await RawPeer.connect(listener.port, headers as Record<string, string>);
  statuses.push(peer.head.slice(9, 12));
}
console.log(statuses.join(" "));
await ctx.shutdown({ timeout: 0 });
