import { assert, assertEquals } from "@std/assert";
import { Context, HandshakeError } from "../../mod.ts";
import { readToEnd } from "../support/failure.ts";

Deno.test("a refusal whose body never ends is reported as a refusal when the time is up", async () => {
  using host = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    using conn = await host.accept();
    await conn.read(new Uint8Array(4096));
    await conn.write(
      new TextEncoder().encode(
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nnot you, and",
      ),
    );
    // No more bytes are sent, until the client disconnects.
    await readToEnd(conn);
  })();
  await using ctx = new Context();
  const conn = ctx.connect(`ws://127.0.0.1:${host.addr.port}/`, { connectTimeout: 200 });
  const error = await conn.opened.then(() => null, (error) => error);
  assert(error instanceof HandshakeError, String(error));
  assertEquals(error.status, 403);
  assertEquals(new TextDecoder().decode(error.body), "not you, and");
  await serving;
});
