/**
 * A client and a server in one program: two echoes of text, then a clean close.
 *
 *     deno run --allow-net examples/echo.ts [URL]
 *
 * With a URL it talks to that server instead of its own.
 *
 * @module
 */
import { Context } from "@sluice/websocket";

await using ctx = new Context();
const url = Deno.args[0] ?? ctx.listen({
  hostname: "127.0.0.1",
  onMessage: (conn, data) => conn.send(data),
}).url;

const conn = ctx.connect(url);
await conn.opened;
for (const text of ["hello", "a second message"]) {
  conn.send(text);
  console.log(`sent ${text}, received ${await conn.receive()}`);
}
conn.close(1000, "done");
console.log(String(await conn.closed));
