/**
 * Sends four floats as a binary message, and gets them back.
 *
 *     deno run --allow-net examples/binary.ts
 *
 * @module
 */
import { Context } from "@sluice/websocket";

await using ctx = new Context();
const listener = ctx.listen({
  hostname: "127.0.0.1",
  onMessage(conn, data) {
    if (typeof data === "string") {
      conn.close(1003, "binary only");
      return;
    }
    // A payload may start anywhere in its buffer, so `byteOffset` belongs to the view.
    const floats = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const doubled = Float32Array.from(
      { length: data.length / 4 },
      (_, i) => floats.getFloat32(4 * i, true) * 2,
    );
    conn.send(doubled);
  },
});

await using conn = ctx.connect(listener.url);
await conn.opened;
conn.send(new Float32Array([1.5, -2, 3.25, 1e10]));
const reply = await conn.receive() as Uint8Array;
const view = new DataView(reply.buffer, reply.byteOffset, reply.byteLength);
for (let at = 0; at < reply.length; at += 4) console.log(`doubled: ${view.getFloat32(at, true)}`);
